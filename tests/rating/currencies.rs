//! Currencies: ISO's minor units, and bills in them.

use weighbridge::domain::{Currency, Decimal, Rounding};

/// Every currency of ISO 4217 (list one, 2026-01-01) whose minor unit is not a hundredth.
const UNUSUAL: &[(u16, &[&str])] = &[
    (
        0,
        &[
            "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
            "XOF", "XPF",
        ],
    ),
    (3, &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]),
    (4, &["CLF", "UYW"]),
];

fn letters() -> impl Iterator<Item = char> {
    'A'..='Z'
}

#[test]
fn minor_units_are_those_of_iso() {
    let unusual = |code: &str| UNUSUAL.iter().find(|(_, codes)| codes.contains(&code)).map(|(places, _)| *places);
    let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    let mut known = 0;
    for code in codes {
        let Ok(currency) = Currency::parse("currency", &code) else {
            assert_eq!(unusual(&code), None, "{code} is missing");
            continue;
        };
        assert_eq!(currency.decimal_places(), unusual(&code).unwrap_or(2), "{code}");
        assert_eq!(currency.code(), code);
        assert_eq!(Currency::parse("currency", &code.to_lowercase()).unwrap(), currency);
        known += 1;
    }
    assert!(known > 160, "{known}");
}

#[test]
fn what_is_no_currency_is_refused() {
    for (code, says) in [
        ("", "`currency` must be a currency of ISO 4217 such as \"USD\", got \"\""),
        ("US", "must be a currency"),
        ("USDT", "must be a currency"),
        ("ZZZ", "must be a currency"),
        ("€", "must be a currency"),
        ("ÄÖÜ", "must be a currency"),
        (" USD", "must be a currency"),
        ("XAU", "no minor unit"),
        ("XXX", "no minor unit"),
    ] {
        let error = Currency::parse("currency", code).unwrap_err();
        assert!(error.message.contains(says), "{code}: {error}");
    }
    let error = Rounding::parse("mode", "half_up").unwrap_err();
    assert_eq!(error.message, "`mode` must be \"half_away_from_zero\" or \"half_even\", got \"half_up\"");
}

#[test]
fn a_bill_is_rounded_once_to_the_minor_unit() {
    for (amount, code, away, even) in [
        ("2.5", "JPY", "3", "2"),
        ("3.5", "JPY", "4", "4"),
        ("1.005", "USD", "1.01", "1.00"),
        ("10", "USD", "10.00", "10.00"),
        ("0.0005", "KWD", "0.001", "0.000"),
        ("1.5", "KWD", "1.500", "1.500"),
        ("0.00005", "CLF", "0.0001", "0.0000"),
        ("-0.005", "USD", "-0.01", "0.00"),
        ("-0.001", "USD", "0.00", "0.00"),
        (
            "999999999999999999999999999999.995",
            "EUR",
            "1000000000000000000000000000000.00",
            "1000000000000000000000000000000.00",
        ),
    ] {
        let currency = Currency::parse("currency", code).unwrap();
        let amount = Decimal::parse("amount", amount).unwrap();
        let rounded = |rounding| currency.format(&currency.round(&amount, rounding));
        assert_eq!(rounded(Rounding::HalfAwayFromZero), away, "{amount} {code}");
        assert_eq!(rounded(Rounding::HalfEven), even, "{amount} {code}");
    }
    // What a bill has not rounded yet keeps its digits.
    assert_eq!(
        Currency::parse("currency", "USD").unwrap().format(&Decimal::parse("amount", "0.0021").unwrap()),
        "0.0021"
    );
}
