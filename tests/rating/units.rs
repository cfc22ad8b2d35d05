//! What a unit costs by itself, where that does not depend on others.

use proptest::prelude::*;
use serde_json::{Value, json};
use weighbridge::domain::{Decimal, Money};

use crate::{price, quote_events};

fn amount() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["0", "0.5", "2", "0.000000000001"]).prop_map(str::to_owned)
}

fn any_price() -> impl Strategy<Value = Value> {
    let fields = (amount(), amount(), amount(), amount());
    let model = prop::sample::select(vec!["per_unit", "percentage", "package", "graduated", "volume"]);
    (model, fields).prop_map(|(model, (amount, first, second, third))| match model {
        "per_unit" => json!({ "model": model, "unitAmount": amount, "freeUnits": first, "flatAmount": second }),
        "percentage" => {
            json!({ "model": model, "rate": amount, "fixedAmount": first, "freeUnits": second, "minimumAmount": third })
        }
        "package" => json!({ "model": model, "amount": amount, "packageSize": 3, "freeUnits": first }),
        _ => json!({
            "model": model,
            "tiers": [{ "upTo": "5", "unitAmount": amount, "flatAmount": first }, { "upTo": null, "unitAmount": second }],
        }),
    })
}

proptest! {
    /// Any usage then costs its units times that, in however many events it came.
    #[test]
    fn a_unit_price_is_one_for_any_usage(model in any_price(), units in 0u64..40, events in 1u64..5) {
        if let Some(of_unit) = price(&model).unwrap().of_unit() {
            let cost = of_unit.checked_mul(units).unwrap();
            let quoted = quote_events(&model, &units.to_string(), Some(events)).amount();
            prop_assert_eq!(Decimal::parse("cost", &cost.to_string()).unwrap(), quoted, "{} × {}", units, model);
        }
    }
}

#[test]
fn what_the_period_decides_has_no_unit_price() {
    let of_unit = |model: Value| price(&model).unwrap().of_unit();
    let money = |text: &str| Some(Money::parse("amount", text).unwrap());
    assert_eq!(of_unit(json!({ "model": "per_unit", "unitAmount": "0.02" })), money("0.02"));
    assert_eq!(of_unit(json!({ "model": "percentage", "rate": "2.9" })), money("0.029"));
    for model in [
        json!({ "model": "per_unit", "unitAmount": "1", "freeUnits": 1 }),
        json!({ "model": "per_unit", "unitAmount": "1", "flatAmount": 1 }),
        json!({ "model": "per_unit", "unitAmount": "1", "maximumAmount": 1 }),
        json!({ "model": "per_unit", "unitAmount": "0.0000000000001" }),
        json!({ "model": "percentage", "rate": "2.9", "fixedAmount": "0.3" }),
        json!({ "model": "package", "amount": "1", "packageSize": 1 }),
        json!({ "model": "volume", "tiers": [{ "upTo": null, "unitAmount": "1" }] }),
    ] {
        assert_eq!(of_unit(model.clone()), None, "{model}");
    }
}
