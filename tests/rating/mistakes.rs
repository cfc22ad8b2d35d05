//! Prices that are refused, with the place of the mistake; and whatever else one may write, which never panics.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weighbridge::Code;
use weighbridge::domain::Decimal;
use weighbridge::domain::json::Value;
use weighbridge::domain::rating::Usage;

use crate::{price, quote_events};

fn tiers(bounds: &[Option<&str>]) -> Json {
    bounds.iter().map(|up_to| json!({ "upTo": up_to, "unitAmount": "1" })).collect()
}

#[test]
fn a_mistake_is_shown_at_its_place() {
    let per_unit = |fields: Json| {
        let mut price = json!({ "model": "per_unit", "unitAmount": "1" });
        price.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        price
    };
    for (wrong, says) in [
        (json!(null), "`price` must be an object, got null"),
        (json!("per_unit"), "`price` must be an object, got \"per_unit\""),
        (json!([]), "`price` must be an object, got []"),
        (json!({}), "`price.model` is missing"),
        (json!({ "model": 5 }), "`price.model` must be a string, got 5"),
        (json!({ "model": "per-unit" }), "`price.model`: there is no model \"per-unit\"; did you mean \"per_unit\"?"),
        (json!({ "model": "xyz" }), "the models are: per_unit, package, graduated, volume, percentage, graduated_perc"),
        (json!({ "model": "per_unit" }), "`price.unitAmount` is missing"),
        (json!({ "model": "per_unit", "unitAmout": "1" }), "unknown field \"unitAmout\"; did you mean \"unitAmount\"?"),
        (per_unit(json!({ "zzz": 1 })), "the fields are: model, unitAmount, freeUnits, flatAmount, minimumAmount, max"),
        (per_unit(json!({ "tiers": [] })), "`price`: unknown field \"tiers\""),
        (per_unit(json!({ "unitAmount": null })), "`price.unitAmount` must be a decimal string or a number, got null"),
        (per_unit(json!({ "unitAmount": true })), "`price.unitAmount` must be a decimal string or a number, got true"),
        (per_unit(json!({ "unitAmount": "-1" })), "`price.unitAmount` must be a decimal from 0, got \"-1\""),
        (per_unit(json!({ "unitAmount": -0.5 })), "`price.unitAmount` must be a decimal from 0, got -0.5"),
        (
            per_unit(json!({ "unitAmount": "1e3" })),
            "`price.unitAmount` must be a decimal such as \"0.10\", got \"1e3\"",
        ),
        (
            per_unit(json!({ "unitAmount": "NaN" })),
            "`price.unitAmount` must be a decimal such as \"0.10\", got \"NaN\"",
        ),
        (per_unit(json!({ "freeUnits": "-1" })), "`price.freeUnits` must be a decimal from 0"),
        (per_unit(json!({ "flatAmount": "ten" })), "`price.flatAmount` must be a decimal such as"),
        (per_unit(json!({ "minimumAmount": [] })), "`price.minimumAmount` must be a decimal string or a number"),
        (per_unit(json!({ "maximumAmount": {} })), "`price.maximumAmount` must be a decimal string or a number"),
        (json!({ "model": "package", "amount": 1 }), "`price.packageSize` is missing"),
        (json!({ "model": "package", "packageSize": 1 }), "`price.amount` is missing"),
        (
            json!({ "model": "package", "amount": 1, "packageSize": "0" }),
            "`price.packageSize` must be a decimal above 0",
        ),
        (
            json!({ "model": "package", "amount": 1, "packageSize": "-1" }),
            "`price.packageSize` must be a decimal above 0",
        ),
        (json!({ "model": "percentage" }), "`price.rate` is missing"),
        (json!({ "model": "percentage", "rate": "5%" }), "`price.rate` must be a decimal such as"),
        (json!({ "model": "percentage", "rate": 1, "freeEvents": "0.5" }), "`price.freeEvents` must be a whole number"),
        (json!({ "model": "volume" }), "`price.tiers` is missing"),
        (json!({ "model": "volume", "tiers": {} }), "`price.tiers` must be an array, got {}"),
        (json!({ "model": "volume", "tiers": [5] }), "`price.tiers[0]` must be an object, got 5"),
        (json!({ "model": "volume", "tiers": [{ "unitAmount": 1 }] }), "`price.tiers[0].upTo` is missing"),
        (json!({ "model": "volume", "tiers": [{ "upTo": null }] }), "`price.tiers[0].unitAmount` is missing"),
        (
            json!({ "model": "graduated", "tiers": [{ "upTo": null, "unitAmount": 1, "flatAmont": 1 }] }),
            "`price.tiers[0]`: unknown field \"flatAmont\"; did you mean \"flatAmount\"?",
        ),
        (
            json!({ "model": "graduated", "tiers": [{ "upTo": "inf", "unitAmount": 1 }] }),
            "`price.tiers[0].upTo` must be a decimal such as",
        ),
        (
            json!({ "model": "graduated_percentage", "tiers": [{ "upTo": null, "unitAmount": 1 }] }),
            "`price.tiers[0]`: unknown field \"unitAmount\"; the fields are: upTo, rate, flatAmount",
        ),
    ] {
        let error = price(&wrong).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument, "{wrong}: {error}");
        assert!(error.message.contains(says), "{wrong}: {error}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (bounds, says) in [
        (tiers(&[]), "`price.tiers` must hold at least one tier"),
        (tiers(&[Some("10")]), "`price.tiers[0].upTo` must be null, got 10: the last tier covers whatever is above 0"),
        (tiers(&[Some("10"), Some("20")]), "`price.tiers[1].upTo` must be null, got 20: the last tier covers"),
        (tiers(&[None, None]), "`price.tiers[0].upTo` must be a decimal: only the last tier is without a bound"),
        (tiers(&[Some("0"), None]), "`price.tiers[0].upTo` must be above 0 (0), got 0"),
        (
            tiers(&[Some("10"), Some("10"), None]),
            "`price.tiers[1].upTo` must be above the bound of the tier before it (10)",
        ),
        (
            tiers(&[Some("10"), Some("9.5"), None]),
            "`price.tiers[1].upTo` must be above the bound of the tier before it",
        ),
        (tiers(&[Some("10"), Some("10.00"), None]), "`price.tiers[1].upTo` must be above"),
    ] {
        for model in ["graduated", "volume"] {
            let error = price(&json!({ "model": model, "tiers": bounds })).unwrap_err();
            assert_eq!(error.code, Code::InvalidCatalog, "{bounds}: {error}");
            assert!(error.message.contains(says), "{bounds}: {error}");
        }
    }
    let crossed = json!({ "model": "per_unit", "unitAmount": 1, "minimumAmount": 2, "maximumAmount": "1.5" });
    let error = price(&crossed).unwrap_err();
    assert_eq!(error.code, Code::InvalidCatalog);
    assert_eq!(error.message, "`price.maximumAmount` (1.5) must not be below `price.minimumAmount` (2)");
}

#[test]
fn a_quantity_is_a_decimal_from_0_and_events_are_whole() {
    for (usage, says) in [
        (json!({}), "`quantity` is missing"),
        (json!({ "quantity": null }), "`quantity` must be a decimal string or a number, got null"),
        (json!({ "quantity": "-1" }), "`quantity` must be a decimal from 0, got \"-1\""),
        (json!({ "quantity": "1 000" }), "`quantity` must be a decimal such as"),
        (json!({ "quantity": "1", "events": "1.5" }), "`events` must be a whole number from 0, got \"1.5\""),
        (json!({ "quantity": "1", "events": -1 }), "`events` must be a decimal from 0, got -1"),
    ] {
        let text = usage.to_string();
        let error = Value::parse("", &text).and_then(|usage| Usage::read(&usage.object()?)).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains(says), "{usage}: {error}");
    }
}

#[test]
fn a_message_shows_no_more_than_it_must() {
    let error = price(&json!({ "model": "volume", "tiers": "ü".repeat(10_000) })).unwrap_err();
    assert!(error.message.chars().count() < 120, "{error}");
    let error = price(&json!({ "model": "per_unit", "unitAmount": "9".repeat(10_000) })).unwrap_err();
    assert_eq!(error.message, "`price.unitAmount` must be a decimal of at most 1000 characters, got 10000 of them");
}

/// Names that prices have, so that arbitrary JSON comes near to one.
fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "model",
        "unitAmount",
        "amount",
        "packageSize",
        "freeUnits",
        "freeEvents",
        "flatAmount",
        "rate",
        "fixedAmount",
        "tiers",
        "upTo",
        "minimumAmount",
        "maximumAmount",
    ]);
    prop_oneof![9 => known.prop_map(str::to_owned), 1 => any::<String>()]
}

fn json() -> impl Strategy<Value = Json> {
    let models =
        prop::sample::select(vec!["per_unit", "package", "graduated", "volume", "percentage", "graduated_percentage"]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (0u8..30).prop_map(Json::from),
        "-?[0-9]{0,25}\\.?[0-9]{0,25}".prop_map(Json::from),
        models.prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::hash_map(name(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A price that lacks little to be one: a model, and arbitrary fields.
fn nearly_a_price() -> impl Strategy<Value = Json> {
    let amount = || prop_oneof![4 => (0u32..50).prop_map(|n| Json::from(n.to_string())), 1 => json()];
    let tier = (prop_oneof![amount(), Just(Json::Null)], amount(), prop::bool::ANY)
        .prop_map(|(up_to, charge, rate)| json!({ "upTo": up_to, if rate { "rate" } else { "unitAmount" }: charge }));
    let unit = (amount(), amount(), amount())
        .prop_map(|(unit, free, maximum)| json!({ "model": "per_unit", "unitAmount": unit, "freeUnits": free, "maximumAmount": maximum }));
    let package = (amount(), amount(), amount())
        .prop_map(|(amount, size, minimum)| json!({ "model": "package", "amount": amount, "packageSize": size, "minimumAmount": minimum }));
    let tiered =
        (prop::sample::select(vec!["graduated", "volume", "graduated_percentage"]), prop::collection::vec(tier, 0..4))
            .prop_map(|(model, tiers)| json!({ "model": model, "tiers": tiers }));
    prop_oneof![unit, package, tiered]
}

/// Whatever is read prices everything, from 0; whatever is not is one of two errors.
fn is_read_or_refused(json: &Json) {
    match price(json) {
        Ok(_) => {
            for (quantity, events) in [("0", None), ("0.1", Some(0)), ("17", Some(3)), ("99999999999999999999.9", None)]
            {
                let quote = quote_events(json, quantity, events);
                assert!(!quote.amount().is_negative());
                assert!(!quote.lines.is_empty());
            }
        }
        Err(error) => {
            assert!(matches!(error.code, Code::InvalidArgument | Code::InvalidCatalog), "{error}");
            assert!(error.message.contains("price"), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_json_never_panics(json in json()) {
        is_read_or_refused(&json);
    }

    #[test]
    fn what_is_nearly_a_price_never_panics(json in nearly_a_price()) {
        is_read_or_refused(&json);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*|[\\[\\]{}\":,0-9eE.+-]*") {
        if let Ok(value) = Value::parse("price", &text) {
            let _ = weighbridge::domain::rating::Price::read(&value);
        }
        let _ = Decimal::parse("amount", &text);
        let _ = Decimal::from_number("amount", &text);
    }
}

#[test]
fn brackets_without_end_do_not_exhaust_the_stack() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let text = format!("{{\"model\":\"volume\",\"tiers\":{deep}}}");
    let value = Value::parse("price", &text).unwrap();
    assert!(weighbridge::domain::rating::Price::read(&value).is_err());
}
