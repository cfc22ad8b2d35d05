//! Four prices, of every kind that the oracle knows.

use num_rational::BigRational;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::oracle::{Tiers, grains, grains_text, integer, millionths, millionths_text, packages};

#[derive(Debug, Clone)]
pub struct Prices {
    pub per_unit: u64,
    pub package: (u64, u64),
    pub graduated: Tiers,
    pub volume: Tiers,
}

impl Prices {
    pub fn arbitrary() -> impl Strategy<Value = Self> {
        let package = (0..3_000_000_000u64, 1..60u64);
        (0..3_000_000_000u64, package, Tiers::arbitrary(), Tiers::arbitrary())
            .prop_map(|(per_unit, package, graduated, volume)| Self { per_unit, package, graduated, volume })
    }

    pub fn json(&self) -> [Json; 4] {
        [
            json!({ "model": "per_unit", "unitAmount": millionths_text(self.per_unit) }),
            json!({
                "model": "package",
                "amount": millionths_text(self.package.0),
                "packageSize": grains_text(self.package.1),
            }),
            json!({ "model": "graduated", "tiers": self.graduated.json("unitAmount") }),
            json!({ "model": "volume", "tiers": self.volume.json("unitAmount") }),
        ]
    }

    /// What a quantity in grains costs at the price with this index.
    pub fn amount(&self, index: usize, quantity: u64) -> BigRational {
        match index {
            0 => millionths(self.per_unit) * grains(quantity),
            1 => millionths(self.package.0) * integer(packages(quantity, 0, self.package.1)),
            2 => self.graduated.graduated(quantity),
            _ => self.volume.volume(quantity),
        }
    }
}
