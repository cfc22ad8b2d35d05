//! Rating: what a quantity costs at a price.
//!
//! | model | what it costs |
//! |---|---|
//! | [`PerUnit`] | every unit the same |
//! | [`Package`] | packages of so many units; a package that was begun counts whole |
//! | [`graduated`] | every unit what the tier asks in which it lies |
//! | [`volume`] | every unit what the tier asks in which the whole quantity lies |
//! | [`Percentage`] | a rate in per cent of the quantity, and a fixed amount for each event |
//! | `graduated_percentage` | like [`graduated`], at rates in per cent |
//!
//! Semantics shared by all of it:
//! - **Exact**: nothing here rounds. An amount has as many digits as it needs; [`Currency::round`](super::currency) rounds
//!   it once, at the end.
//! - **Total**: a [`Price`] that could be read prices every quantity from 0. Whatever contradicts itself is refused when it
//!   is read.
//! - **Tiers** cover `(lower bound, upper bound]`: `upTo: '10'` covers the 10th unit, and 10.5 lies in the next tier. The
//!   first one also covers 0. The last one has no bound.
//! - **Flat amounts** are due where their tier is reached: that of the first tier always, also at quantity 0. So is the flat
//!   amount of a price without tiers.
//! - **Free units** are taken from the front of the quantity.
//! - **Minimum and maximum** bound the total, also at quantity 0; each line still adds up (see [`Line`]).
//!
//! The models are those of Stripe (<https://docs.stripe.com/products-prices/pricing-models>) and Lago
//! (<https://docs.getlago.com/guide/plans/charges/charge-models>), by their names there.

mod bounds;
mod event;
pub mod graduated;
mod package;
mod per_unit;
mod percentage;
mod price;
mod quote;
mod tiers;
pub mod volume;

pub use bounds::Bounds;
pub use package::Package;
pub use per_unit::PerUnit;
pub use percentage::Percentage;
pub use price::{Model, Price};
pub use quote::{Line, Quote, Usage};
pub use tiers::{Charge, PriceTiers};
