//! Takes some texts out of a JSON object and passes over all else.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The values under some names, where they are texts. Of a name that is there twice the last counts, as in JavaScript. What is
/// no JSON object has none.
pub fn texts<'n>(json: &str, wanted: impl Fn(&str) -> Option<&'n str>) -> BTreeMap<&'n str, String> {
    let mut json = serde_json::Deserializer::from_str(json);
    Texts(wanted).deserialize(&mut json).unwrap_or_default()
}

struct Texts<Wanted>(Wanted);

impl<'n, 'de, Wanted: Fn(&str) -> Option<&'n str>> DeserializeSeed<'de> for Texts<Wanted> {
    type Value = BTreeMap<&'n str, String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'n, 'de, Wanted: Fn(&str) -> Option<&'n str>> Visitor<'de> for Texts<Wanted> {
    type Value = BTreeMap<&'n str, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<Map: MapAccess<'de>>(self, mut map: Map) -> Result<Self::Value, Map::Error> {
        let mut texts = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            match self.0(&name) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(name) => {
                    texts.remove(name);
                    if let serde_json::Value::String(text) = map.next_value()? {
                        texts.insert(name, text);
                    }
                }
            }
        }
        Ok(texts)
    }
}
