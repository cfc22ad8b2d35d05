//! Catalogs that are refused: every mistake, each at its place, with advice.

use serde_json::{Value as Json, json};

use crate::{parse, valid};

fn messages(catalog: &Json) -> Vec<String> {
    parse(catalog).expect_err("a mistake").into_iter().map(|mistake| mistake.message).collect()
}

/// The first mistake that comes of putting a value at a place.
fn mistake(pointer: &str, value: Json) -> String {
    let mut catalog = valid();
    *catalog.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    let found = messages(&catalog);
    // What follows from it, such as a feature that is no longer declared, comes behind.
    found.into_iter().next().expect("a mistake")
}

#[test]
fn a_mistake_is_shown_at_its_place() {
    for (pointer, value, says) in [
        ("/id", json!(""), "`catalog.id` must not be empty"),
        ("/version", json!(5), "`catalog.version` must be a string, got 5"),
        ("/currency", json!("EURO"), "`catalog.currency` must be a currency of ISO 4217"),
        ("/features/2", json!(true), "`catalog.features[2]` must be a string, got true"),
        ("/meters", json!(["api_request", "tokens", "tokens"]), "`catalog.meters[2]`: \"tokens\" is listed twice"),
        (
            "/meters",
            json!(["api_request", "tokens", "money"]),
            "`catalog.meters[2]` must be a name of 1 to 64 characters out of a to z, 0 to 9, `_`, `.` and `-`, and not \"money\", \
             got \"money\"",
        ),
        (
            "/prices/0/meter",
            json!("api_requests"),
            "`catalog.prices[0].meter`: there is no meter \"api_requests\"; did you mean \"api_request\"?",
        ),
        (
            "/prices/0/meter",
            json!("disk"),
            "`catalog.prices[0].meter`: there is no meter \"disk\"; the meters are: api_request, tokens",
        ),
        (
            "/prices/3/tier",
            json!("enterprse"),
            "`catalog.prices[3].tier`: there is no tier \"enterprse\"; did you mean \"enterprise\"?",
        ),
        (
            "/tiers/1/features/0",
            json!("exports"),
            "`catalog.tiers[1].features[0]`: there is no feature \"exports\"; did you mean \"export\"?",
        ),
        (
            "/tiers/1/extends",
            json!("fre"),
            "`catalog.tiers[1].extends`: there is no tier \"fre\"; did you mean \"free\"?",
        ),
        ("/tiers/1/baseAmount", json!("-1"), "`catalog.tiers[1].baseAmount` must be a decimal from 0"),
        ("/tiers/1/priceId", json!(""), "`catalog.tiers[1].priceId` must not be empty"),
        (
            "/tiers/2/interval",
            json!("yearly"),
            "`catalog.tiers[2].interval`: there is no \"yearly\"; did you mean \"year\"?",
        ),
        (
            "/tiers/0/limits/0/per",
            json!("minute"),
            "`catalog.tiers[0].limits[0].per`: there is no \"minute\"; there are: month, day, hour",
        ),
        (
            "/tiers/0/limits/0/per",
            json!(60),
            "`catalog.tiers[0].limits[0].per` must be \"month\", \"day\", \"hour\" or",
        ),
        (
            "/tiers/0/limits/1/per/slidingSeconds",
            json!(0),
            "`catalog.tiers[0].limits[1].per.slidingSeconds` must be from 1 to 2678400",
        ),
        (
            "/tiers/0/limits/0/units",
            json!(1.5),
            "`catalog.tiers[0].limits[0].units` must be a whole number from 0, got 1.5",
        ),
        (
            "/tiers/0/limits/0/units",
            json!("9007199254740992"),
            "`catalog.tiers[0].limits[0].units` must be at most Number.MAX_SAFE_INTEGER",
        ),
        (
            "/tiers/1/limits/1/soft",
            json!("yes"),
            "`catalog.tiers[1].limits[1].soft` must be true or false, got \"yes\"",
        ),
        (
            "/tiers/0/included/0/overage",
            json!("blocked"),
            "`catalog.tiers[0].included[0].overage`: there is no \"blocked\"; did you mean \"block\"?",
        ),
        (
            "/tiers/0/included/0/overage",
            json!(5),
            "`catalog.tiers[0].included[0].overage` must be \"block\", \"charge\" or a price",
        ),
        (
            "/tiers/1/included/0/overage/unitAmount",
            json!("x"),
            "`catalog.tiers[1].included[0].overage.unitAmount` must be a decimal",
        ),
        ("/prices/1/route", json!("POST api"), "`catalog.prices[1].route`: the price list cannot hold \"POST api\""),
        ("/prices/2/dimensions", json!({}), "`catalog.prices[2].dimensions` must name at least one"),
        ("/prices/2/dimensions/model", json!(4), "`catalog.prices[2].dimensions.model` must be a string, got 4"),
        (
            "/prices/1/price/tiers/0/upTo",
            json!(null),
            "`catalog.prices[1].price.tiers[0].upTo` must be a decimal: only the last tier is without",
        ),
        (
            "/prices/1/price/tiers/1/upTo",
            json!("100"),
            "`catalog.prices[1].price.tiers[1].upTo` must be null, got 100: the last tier covers",
        ),
        (
            "/routes/0/requires/0",
            json!("expotr"),
            "`catalog.routes[0].requires[0]`: there is no feature \"expotr\"; did you mean \"export\"?",
        ),
        (
            "/routes/1/requiredTier",
            json!("gold"),
            "`catalog.routes[1].requiredTier`: there is no tier \"gold\"; the tiers are: free, professional, enterprise",
        ),
    ] {
        let found = mistake(pointer, value.clone());
        assert!(found.contains(says), "{pointer} {value}: {found}");
    }
}

#[test]
fn what_contradicts_something_else_is_refused() {
    for (pointer, value, says) in [
        ("/tiers/2/id", json!("free"), "`catalog.tiers[2].id`: \"free\" is already the id at `catalog.tiers[0].id`"),
        (
            "/prices/1/id",
            json!("request"),
            "`catalog.prices[1].id`: \"request\" is already the id at `catalog.prices[0].id`",
        ),
        ("/prices/0/id", json!("professional.tokens.overage"), "is already the id at `catalog.prices[0].id`"),
        (
            "/tiers/0/limits/1",
            json!({ "meter": "api_request", "per": "month", "units": 5 }),
            "`catalog.tiers[0].limits[1]`: there is already a limit on \"api_request\" a month",
        ),
        (
            "/tiers/1/limits/1/units",
            json!(100_000),
            "`catalog.tiers[1]`: the soft limit of 100000 \"api_request\" a month is never reached",
        ),
        (
            "/tiers/0/limits/1",
            json!({ "meter": "tokens", "per": "month", "units": 10_000, "soft": true }),
            "`catalog.tiers[0]`: the soft limit of 10000 \"tokens\" a month is never reached, because 10000 are the limit",
        ),
        (
            "/tiers/1/included",
            json!([{ "meter": "tokens", "units": 1, "overage": "block" }, { "meter": "tokens", "units": 2, "overage": "block" }]),
            "`catalog.tiers[1].included[1]`: units of \"tokens\" are already included",
        ),
        (
            "/routes/1/route",
            json!("/API/export/"),
            "`catalog.routes[1].route`: the same requests match `catalog.routes[0].route`",
        ),
        ("/routes/1/route", json!("/api/:funding/*path"), ""),
        (
            "/prices/3/tier",
            json!(null),
            "`catalog.prices[3]`: \"gpt-4 for enterprises\" applies to just what `catalog.prices[2]` (\"gpt-4\") applies to",
        ),
    ] {
        if says.is_empty() {
            let mut catalog = valid();
            *catalog.pointer_mut(pointer).unwrap() = value;
            assert!(parse(&catalog).is_ok());
            continue;
        }
        let mut catalog = valid();
        *catalog.pointer_mut(pointer).unwrap() = value;
        let found = messages(&catalog);
        assert!(found.iter().any(|message| message.contains(says)), "{pointer}: {found:#?}");
    }
}

#[test]
fn what_is_charged_has_a_price() {
    let mut catalog = valid();
    catalog["tiers"][0]["included"][0]["overage"] = json!("charge");
    catalog["prices"].as_array_mut().unwrap().retain(|price| price["id"] != "gpt-4");
    let found = messages(&catalog);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0]
            .starts_with("`catalog.tiers[0]`: units of \"tokens\" above the included ones are charged, but no price")
    );
}

#[test]
fn one_currency_is_for_all() {
    let mut catalog = valid();
    catalog["tiers"][1]["currency"] = json!("EUR");
    catalog["prices"][0]["currency"] = json!("gbp");
    catalog["prices"][1]["currency"] = json!("USD");
    assert_eq!(
        messages(&catalog),
        [
            "`catalog.prices[0].currency` is GBP, but the catalog is in USD: a catalog has one currency",
            "`catalog.tiers[1].currency` is EUR, but the catalog is in USD: a catalog has one currency",
        ]
    );
}

#[test]
fn tiers_that_extend_each_other_are_a_circle() {
    let mut catalog = valid();
    catalog["tiers"][0]["extends"] = json!("enterprise");
    assert_eq!(
        messages(&catalog),
        [
            "`catalog.tiers[0].extends` goes in a circle: \"free\" extends \"enterprise\" extends \"professional\" extends \"free\"",
        ]
    );
    let mut catalog = valid();
    catalog["tiers"][1]["extends"] = json!("professional");
    let found = messages(&catalog);
    assert_eq!(found[0], "`catalog.tiers[1].extends` goes in a circle: \"professional\" extends \"professional\"");
}

#[test]
fn prices_of_which_neither_is_more_specific_are_ambiguous() {
    let mut catalog = valid();
    let price = |id: &str, dimensions: Json| json!({ "id": id, "meter": "tokens", "dimensions": dimensions, "price": { "model": "per_unit", "unitAmount": 1 } });
    let prices = catalog["prices"].as_array_mut().unwrap();
    prices.push(price("of Europe", json!({ "region": "eu" })));
    let found = messages(&catalog);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(
        "`catalog.prices[4]`: \"of Europe\" and `catalog.prices[2]` (\"gpt-4\") both apply where model = \"gpt-4\" and \
         region = \"eu\", and neither is more specific: add a price for that"
    ));
    catalog["prices"].as_array_mut().unwrap().push(price("both", json!({ "region": "eu", "model": "gpt-4" })));
    assert!(parse(&catalog).is_ok());
}

#[test]
fn all_mistakes_are_found_at_once() {
    let catalog = json!({
        "id": "public",
        "currency": "XAU",
        "meter": [],
        "meters": ["tokens"],
        "tiers": [
            { "id": "a", "extends": "b", "features": ["export"], "limits": [{ "meter": "token", "per": "week", "units": -1 }] },
            { "id": "b", "extends": "a", "baseAmount": "1,5" },
            "c",
        ],
        "prices": [
            {
                "id": "p",
                "meter": "tokens",
                "tier": "d",
                "price": {
                    "model": "graduated",
                    "tiers": [
                        { "upTo": "10", "unitAmount": "x" },
                        { "upTo": "5", "unitAmount": "1", "flatAmount": -1 },
                        { "upTo": "4", "unitAmount": "1" },
                        { "upTo": "3", "unitAmount": "1" },
                    ],
                },
            },
            { "id": "q", "meter": "tokens", "price": { "model": "per_unit", "unitAmout": 1, "freeUnits": [] } },
        ],
        "routes": [{ "route": "a", "requires": "export" }],
    });
    let places: Vec<String> =
        parse(&catalog).unwrap_err().into_iter().map(|mistake| mistake.place.expect("a place")).collect();
    assert_eq!(
        places,
        [
            "catalog.meter",
            "catalog.version",
            "catalog.currency",
            "catalog.prices[0].tier",
            "catalog.prices[0].price.tiers[0].unitAmount",
            "catalog.prices[0].price.tiers[1].flatAmount",
            "catalog.prices[0].price.tiers[3].upTo",
            "catalog.prices[1].price.unitAmout",
            "catalog.prices[1].price.unitAmount",
            "catalog.prices[1].price.freeUnits",
            "catalog.tiers[0].features[0]",
            "catalog.tiers[0].limits[0].meter",
            "catalog.tiers[0].limits[0].per",
            "catalog.tiers[0].limits[0].units",
            "catalog.tiers[1].baseAmount",
            "catalog.tiers[2]",
            "catalog.routes[0].route",
            "catalog.routes[0].requires",
        ]
    );
}

#[test]
fn what_is_no_catalog_is_refused() {
    for (text, says) in [
        ("", "`catalog` is no JSON"),
        ("{", "`catalog` is no JSON"),
        ("[]", "`catalog` must be an object, got []"),
        ("null", "`catalog` must be an object, got null"),
    ] {
        let mistakes = weighbridge::domain::Catalog::parse(text).unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].message.starts_with(says), "{}", mistakes[0]);
    }
    let empty = json!({ "id": "a", "version": "1", "currency": "EUR" });
    assert_eq!(messages(&empty), ["`catalog.tiers` must hold at least one tier"]);
}
