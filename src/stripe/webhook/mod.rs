//! What Stripe tells by itself. Pure: the bytes of a request and the time come in, an event and what it says go out.
//!
//! | file        | what it is                                                                                   |
//! |-------------|----------------------------------------------------------------------------------------------|
//! | `signature` | whether Stripe has sent it: over the raw bytes, before anything is read                        |
//! | `event`     | the envelope of an event, of any API version                                                  |
//! | `report`    | what an event says of a subscription                                                          |

pub mod event;
pub mod report;
pub mod signature;

pub use event::Event;
