//! What prices cost, in rational numbers and by other ways than the models go: by walking through a quantity grain by
//! grain, by buying packages one after the other, and by adding up what changes at each bound.

use bigdecimal::num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use serde_json::json;

/// A quarter of a unit: what the walks are made in.
pub const GRAINS_PER_UNIT: u64 = 4;

/// An amount as a test writes it: so many millionths.
pub type Millionths = u64;

pub fn integer(number: u64) -> BigRational {
    BigRational::from_integer(number.into())
}

/// The value of a plain decimal string.
pub fn rational(text: &str) -> BigRational {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-'), "{text} is no plain decimal");
    let digits: BigInt = format!("{whole}{fraction}").parse().expect("digits");
    BigRational::new(digits, BigInt::from(10).pow(fraction.len() as u32))
}

pub fn millionths(amount: Millionths) -> BigRational {
    BigRational::new(amount.into(), 1_000_000.into())
}

pub fn grains(grains: u64) -> BigRational {
    BigRational::new(grains.into(), GRAINS_PER_UNIT.into())
}

pub fn millionths_text(amount: Millionths) -> String {
    format!("{}.{:06}", amount / 1_000_000, amount % 1_000_000)
}

pub fn grains_text(grains: u64) -> String {
    format!("{}.{:02}", grains / GRAINS_PER_UNIT, grains % GRAINS_PER_UNIT * 100 / GRAINS_PER_UNIT)
}

/// Tiers by rising bounds in grains; the last one has none, whatever it says.
#[derive(Debug, Clone)]
pub struct Tiers(pub Vec<(u64, Millionths, Millionths)>);

impl Tiers {
    pub fn arbitrary() -> impl Strategy<Value = Tiers> {
        let tier = (1u64..60, 0..3_000_000_000u64, prop_oneof![Just(0), 0..3_000_000_000u64]);
        prop::collection::vec(tier, 1..6).prop_map(|steps| {
            let mut bound = 0;
            Tiers(
                steps
                    .into_iter()
                    .map(|(width, charge, flat)| {
                        bound += width;
                        (bound, charge, flat)
                    })
                    .collect(),
            )
        })
    }

    /// `charge` is `unitAmount` or `rate`.
    pub fn json(&self, charge: &str) -> serde_json::Value {
        let last = self.0.len() - 1;
        let tier = |(index, (bound, amount, flat)): (usize, &(u64, Millionths, Millionths))| {
            json!({
                "upTo": (index != last).then(|| grains_text(*bound)),
                charge: millionths_text(*amount),
                "flatAmount": millionths_text(*flat),
            })
        };
        self.0.iter().enumerate().map(tier).collect()
    }

    /// The tier of the grain that ends at `end`.
    fn tier_of(&self, end: u64) -> usize {
        let last = self.0.len() - 1;
        (0..last).find(|index| self.0[*index].0 >= end).unwrap_or(last)
    }

    pub fn graduated(&self, quantity: u64) -> BigRational {
        let mut amount = millionths(self.0[0].2);
        let mut tier = 0;
        for end in 1..=quantity {
            let next = self.tier_of(end);
            assert!(next - tier <= 1, "every tier is wider than a grain");
            if next > tier {
                amount += millionths(self.0[next].2);
                tier = next;
            }
            amount += millionths(self.0[tier].1) / integer(GRAINS_PER_UNIT);
        }
        amount
    }

    pub fn volume(&self, quantity: u64) -> BigRational {
        let (_, unit_amount, flat) = self.0[self.tier_of(quantity)];
        let mut amount = millionths(flat);
        for _ in 0..quantity {
            amount += millionths(unit_amount) / integer(GRAINS_PER_UNIT);
        }
        amount
    }

    /// For quantities too large to walk: at each bound the price of a unit changes by so much, for all that lies above.
    pub fn graduated_by_changes(&self, quantity: &BigRational) -> BigRational {
        let mut amount = millionths(self.0[0].2);
        let mut before = integer(0);
        for (index, (_, unit_amount, flat)) in self.0.iter().enumerate() {
            let bound = if index == 0 { integer(0) } else { grains(self.0[index - 1].0) };
            if quantity > &bound {
                amount += (millionths(*unit_amount) - &before) * (quantity - &bound);
                amount += if index == 0 { integer(0) } else { millionths(*flat) };
            }
            before = millionths(*unit_amount);
        }
        amount
    }
}

/// Buys packages until they suffice.
pub fn packages(quantity: u64, free: u64, size: u64) -> u64 {
    let (mut bought, mut covered) = (0, free);
    while covered < quantity {
        bought += 1;
        covered += size;
    }
    bought
}
