//! Arbitrary bytes, and catalogs in which something was changed at random: whatever is read holds what catalogs hold, and
//! whatever is not says where the mistake is.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::entry::check;
use crate::{VALID, valid};

/// Where the parts of a JSON text are.
fn pointers(json: &Json, prefix: &str, found: &mut Vec<String>) {
    found.push(prefix.to_owned());
    match json {
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{prefix}/{index}"), found));
        }
        Json::Object(fields) => fields.iter().for_each(|(name, value)| {
            pointers(value, &format!("{prefix}/{}", name.replace('~', "~0").replace('/', "~1")), found)
        }),
        _ => {}
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Replace(Json),
    /// By what is at another place.
    ReplaceByOther(prop::sample::Index),
    Remove,
    Repeat,
    Rename(String),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        (0u8..20).prop_map(Json::from),
        "[0-9]{0,20}\\.?[0-9]{0,20}".prop_map(Json::from),
        prop::sample::select(vec![
            "free",
            "professional",
            "tokens",
            "export",
            "gpt-4",
            "block",
            "charge",
            "/a/:id",
            "USD",
            "volume"
        ])
        .prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    prop_oneof![
        3 => leaf.prop_map(Mutation::Replace),
        2 => any::<prop::sample::Index>().prop_map(Mutation::ReplaceByOther),
        1 => Just(Mutation::Remove),
        2 => Just(Mutation::Repeat),
        1 => "[a-z.\\[\\]\"]{0,4}".prop_map(Mutation::Rename),
    ]
}

fn mutate(catalog: &mut Json, place: prop::sample::Index, mutation: Mutation) {
    let mut found = Vec::new();
    pointers(catalog, "", &mut found);
    let pointer = &found[place.index(found.len())];
    let here = catalog.pointer(pointer).expect("a place").clone();
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    match mutation {
        Mutation::Replace(value) => *catalog.pointer_mut(pointer).expect("a place") = value,
        Mutation::ReplaceByOther(other) => {
            let other = catalog.pointer(&found[other.index(found.len())]).expect("a place").clone();
            *catalog.pointer_mut(pointer).expect("a place") = other;
        }
        Mutation::Remove | Mutation::Repeat | Mutation::Rename(_) => {
            match catalog.pointer_mut(parent).expect("a parent") {
                Json::Array(items) => match mutation {
                    Mutation::Remove => drop(items.remove(last.parse().expect("an index"))),
                    _ => items.push(here),
                },
                Json::Object(fields) => {
                    fields.remove(&last.replace("~1", "/").replace("~0", "~"));
                    if let Mutation::Rename(name) = mutation {
                        fields.insert(name, here);
                    }
                }
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*|[\\[\\]{}\":,0-9a-e.+-]*") {
        check(text.as_bytes());
    }

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn changed_catalogs_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), mutation()), 1..6)) {
        let mut catalog = valid();
        for (place, mutation) in changes {
            mutate(&mut catalog, place, mutation);
        }
        check(catalog.to_string().as_bytes());
    }
}

#[test]
fn brackets_without_end_do_not_exhaust_the_stack() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    check(VALID.replace("\"0.0000150\"", &deep).as_bytes());
    check(VALID.replace("\"block\"", &deep).as_bytes());
    check(deep.as_bytes());
}
