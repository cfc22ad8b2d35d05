//! Which price recorded usage has. Whoever asks for millions of events mostly asks what was asked before.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::RecordedUsage;
use super::texts::texts;
use crate::domain::catalog::{Catalog, CatalogPrice, Question, Request};

/// How many answers are remembered: paths and metadata may be as many as events.
const REMEMBERED: usize = 1 << 16;
const METHOD: &str = "method";

/// A meter and one of its prices, for the finder that gave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId(u32);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line<'c> {
    pub meter: Box<str>,
    /// Its id; `None` for usage without a price.
    pub price: Option<&'c str>,
}

pub struct PriceFinder<'c> {
    catalog: &'c Catalog,
    /// What prices ask of metadata.
    names: BTreeSet<&'c str>,
    asks_method: bool,
    /// The endpoints of routes that end with a wildcard. What was recorded under one of them was a request of that route.
    wildcards: BTreeSet<&'c str>,
    lines: Vec<Line<'c>>,
    ids: HashMap<Line<'c>, LineId>,
    /// By usage as it was recorded, word for word: so metadata need not be read.
    recorded: HashMap<Box<[u8]>, LineId>,
    /// By what of it matters: so no price need be compared.
    asked: HashMap<Box<[u8]>, LineId>,
    /// Whether metadata can matter, by meter and endpoint.
    told_by_endpoint: HashMap<Box<[u8]>, bool>,
    key: Vec<u8>,
}

impl<'c> PriceFinder<'c> {
    pub fn new(catalog: &'c Catalog) -> Self {
        let prices = catalog.prices();
        let mut names: BTreeSet<&str> =
            prices.iter().flat_map(|price| price.dimensions.keys()).map(String::as_str).collect();
        let asks_method = prices.iter().any(names_method);
        if asks_method {
            names.insert(METHOD);
        }
        let routes = prices.iter().filter_map(|price| price.route.as_ref());
        let routes = routes.chain(catalog.rules().iter().map(|rule| &rule.route));
        let wildcards = routes.filter(|route| route.ends_with_wildcard()).map(|route| route.endpoint.as_str());
        Self {
            catalog,
            names,
            asks_method,
            wildcards: wildcards.collect(),
            lines: Vec::new(),
            ids: HashMap::new(),
            recorded: HashMap::new(),
            asked: HashMap::new(),
            told_by_endpoint: HashMap::new(),
            key: Vec::new(),
        }
    }

    pub fn catalog(&self) -> &'c Catalog {
        self.catalog
    }

    pub fn line(&self, id: LineId) -> &Line<'c> {
        &self.lines[id.0 as usize]
    }

    /// The line of usage by a customer of a tier, by its place in the catalog. Without one it has no price.
    pub fn find(&mut self, tier: Option<usize>, usage: &RecordedUsage<'_>) -> LineId {
        let metadata = usage.metadata.filter(|_| !self.names.is_empty());
        let method = usage.method.filter(|_| self.asks_method);
        write_key(&mut self.key, tier, &[Some(usage.meter), usage.endpoint, method, metadata]);
        if let Some(line) = self.recorded.get(self.key.as_slice()) {
            return *line;
        }
        let key = self.key.clone();
        let line = self.ask(tier, usage, method, metadata);
        remember(&mut self.recorded, &key, line);
        line
    }

    fn ask(
        &mut self,
        tier: Option<usize>,
        usage: &RecordedUsage<'_>,
        method: Option<&str>,
        metadata: Option<&str>,
    ) -> LineId {
        let texts = metadata.map(|json| texts(json, |name| self.names.get(name).copied())).unwrap_or_default();
        let values = self.names.iter().map(|name| texts.get(name).map(String::as_str));
        let parts: Vec<Option<&str>> = [Some(usage.meter), usage.endpoint, method].into_iter().chain(values).collect();
        write_key(&mut self.key, tier, &parts);
        if let Some(line) = self.asked.get(self.key.as_slice()) {
            return *line;
        }
        let method = method.or_else(|| texts.get(METHOD).map(String::as_str)).map(str::to_ascii_uppercase);
        let request = |endpoint| Request {
            is_pattern: self.wildcards.contains(endpoint),
            ..Request::of_endpoint(endpoint, method.as_deref())
        };
        let dimensions: BTreeMap<String, String> =
            texts.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
        let price = tier.and_then(|tier| self.catalog.tiers().get(tier)).and_then(|tier| {
            self.catalog.find(&Question {
                meter: usage.meter,
                tier: Some(&tier.id),
                request: usage.endpoint.map(request),
                dimensions: &dimensions,
            })
        });
        let line = self.id_of(Line { meter: usage.meter.into(), price: price.map(|price| price.id.as_str()) });
        let key = std::mem::take(&mut self.key);
        remember(&mut self.asked, &key, line);
        line
    }

    /// The id of another finder's line.
    pub fn id_of(&mut self, line: Line<'c>) -> LineId {
        if let Some(id) = self.ids.get(&line) {
            return *id;
        }
        // Cannot be cut off: there is one for each meter and price, which fit into memory.
        let id = LineId(self.lines.len() as u32);
        self.lines.push(line.clone());
        self.ids.insert(line, id);
        id
    }

    /// Whether meter and endpoint tell the price, so that metadata need not be known.
    pub fn is_told_by_endpoint(&mut self, meter: &str, endpoint: Option<&str>) -> bool {
        write_key(&mut self.key, None, &[Some(meter), endpoint]);
        if let Some(is_told) = self.told_by_endpoint.get(self.key.as_slice()) {
            return *is_told;
        }
        let may_apply = |price: &&CatalogPrice| {
            let matches = |route: &crate::domain::catalog::Route| {
                let method = route.method.as_deref();
                endpoint.is_some_and(|endpoint| route.matches(&Request::of_endpoint(endpoint, method)).is_some())
            };
            price.meter == meter && price.route.as_ref().is_none_or(matches)
        };
        let mut applying = self.catalog.prices().iter().filter(may_apply);
        let is_told = applying.all(|price| price.dimensions.is_empty() && !names_method(price));
        self.told_by_endpoint.insert(self.key.as_slice().into(), is_told);
        is_told
    }
}

fn names_method(price: &CatalogPrice) -> bool {
    price.route.as_ref().is_some_and(|route| route.method.is_some())
}

/// Each part after its length, so that no two lists of parts give the same bytes.
fn write_key(key: &mut Vec<u8>, tier: Option<usize>, parts: &[Option<&str>]) {
    key.clear();
    key.extend(tier.unwrap_or(usize::MAX).to_le_bytes());
    for part in parts {
        key.extend(part.map_or(usize::MAX, str::len).to_le_bytes());
        key.extend(part.unwrap_or_default().as_bytes());
    }
}

fn remember(answers: &mut HashMap<Box<[u8]>, LineId>, key: &[u8], line: LineId) {
    if answers.len() >= REMEMBERED {
        answers.clear();
    }
    answers.insert(key.into(), line);
}
