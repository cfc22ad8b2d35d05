//! Currencies and the one place where money is rounded.

use std::fmt;

use super::decimal::{Decimal, Rounding};
use crate::{Error, Result};

/// A currency of ISO 4217 that has a minor unit, in which payments can be made.
///
/// The yen has no decimal places, the dollar two, the Kuwaiti dinar three, the Unidad de Fomento four. Metals and codes for
/// tests (`XAU`, `XXX`) have no minor unit and are none here. A currency that was given up (`HRK`) still is one, because
/// old bills are in it.
///
/// This is ISO's table, not Stripe's: in Stripe's API `UGX` and `ISK` have two places that must be zero, `MGA` has none, and
/// amounts in three-place currencies must end in a zero (<https://docs.stripe.com/currencies>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency {
    code: iso_currency::Currency,
    decimal_places: u16,
}

impl Currency {
    /// `code` in capitals, as ISO writes it, or in small letters, as Stripe does.
    pub fn parse(place: &str, code: &str) -> Result<Self> {
        let currency = iso_currency::Currency::from_code(&code.to_ascii_uppercase()).ok_or_else(|| {
            Error::invalid(format!("`{place}` must be a currency of ISO 4217 such as \"USD\", got {code:?}")).at(place)
        })?;
        let decimal_places = currency.exponent().ok_or_else(|| {
            Error::invalid(format!("`{place}` is {code:?}, which has no minor unit that one could round to")).at(place)
        })?;
        Ok(Self { code: currency, decimal_places })
    }

    /// In capitals.
    pub fn code(self) -> &'static str {
        self.code.code()
    }

    /// How many decimal places its minor unit has.
    pub fn decimal_places(self) -> u16 {
        self.decimal_places
    }

    /// The nearest amount that can be paid.
    pub fn round(self, amount: &Decimal, rounding: Rounding) -> Decimal {
        amount.round(self.decimal_places, rounding)
    }

    /// An amount as a bill prints it: with all decimal places of the minor unit, and more where it has more.
    pub fn format(self, amount: &Decimal) -> String {
        amount.with_places(self.decimal_places)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

impl Rounding {
    /// `half_away_from_zero` or `half_even`.
    pub fn parse(place: &str, name: &str) -> Result<Self> {
        match name {
            "half_away_from_zero" => Ok(Self::HalfAwayFromZero),
            "half_even" => Ok(Self::HalfEven),
            _ => {
                Err(Error::invalid(format!("`{place}` must be \"half_away_from_zero\" or \"half_even\", got {name:?}")))
            }
        }
    }
}
