//! Credits through the public interface: against an oracle that moves unit by unit, and what always holds.

mod examples;
mod mistakes;
mod oracle;
mod properties;
mod world;
