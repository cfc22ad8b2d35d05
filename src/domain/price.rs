//! The price list: what a call of an endpoint costs, and which tier it needs.
//!
//! A request has one identity for price, limit and record: the pattern of the price list that its full path matches, by
//! the rules by which Express routes it. By default these ignore case and one trailing slash; Express's settings `case
//! sensitive routing` and `strict routing` change that, and so each comes with the request.

use std::collections::{BTreeMap, BTreeSet};

use path_tree::PathTree;

use super::Money;
use super::event::MAX_TEXT_BYTES;
use crate::{Code, Error, Result};

/// How Express compares paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct RoutingRules {
    pub case_sensitive: bool,
    /// A trailing slash makes another path.
    pub strict: bool,
}

impl RoutingRules {
    const ALL: [RoutingRules; 4] = [
        RoutingRules { case_sensitive: false, strict: false },
        RoutingRules { case_sensitive: false, strict: true },
        RoutingRules { case_sensitive: true, strict: false },
        RoutingRules { case_sensitive: true, strict: true },
    ];

    fn index(self) -> usize {
        usize::from(self.case_sensitive) * 2 + usize::from(self.strict)
    }

    pub(super) fn normalize(self, path: &str) -> String {
        let path = match path.strip_suffix('/') {
            Some(without_slash) if !self.strict && !without_slash.is_empty() => without_slash,
            _ => path,
        };
        if self.case_sensitive { path.to_owned() } else { path.to_lowercase() }
    }
}

/// An HTTP method, in capitals.
pub type Method = String;

/// One line of the price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The path or pattern as the caller wrote it, without the method: what events record as their endpoint.
    pub endpoint: String,
    pub method: Option<Method>,
    pub price_per_request: Money,
    pub required_tier: Option<String>,
}

impl Price {
    /// `route` is `"/api/execute"`, `"/api/agents/:id"`, `"/files/*path"` or one of them after a method: `"POST /api/execute"`.
    pub fn new(route: &str, price_per_request: Money, required_tier: Option<String>) -> Result<Self> {
        let (method, endpoint) = match route.split_once(' ') {
            Some((method, endpoint)) => (Some(method), endpoint),
            None => (None, route),
        };
        let method_is_valid = method
            .is_none_or(|method| !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'));
        if endpoint.len() > MAX_TEXT_BYTES || endpoint.contains(char::is_control) {
            let why = format!("it must be at most {MAX_TEXT_BYTES} bytes long, without control characters");
            return Err(invalid_route(route, &why));
        }
        if !method_is_valid || !endpoint.starts_with('/') {
            return Err(invalid_route(route, "it must be a path such as \"/api/execute\" or \"POST /api/execute\""));
        }
        let price = Self {
            endpoint: endpoint.to_owned(),
            method: method.map(str::to_ascii_uppercase),
            price_per_request,
            required_tier,
        };
        price.pattern(RoutingRules::default())?;
        Ok(price)
    }

    /// Express's pattern in the router's syntax. Parameters lose their names, because only their places matter.
    fn pattern(&self, rules: RoutingRules) -> Result<String> {
        let endpoint = rules.normalize(&self.endpoint);
        let segments: Vec<&str> = endpoint.split('/').collect();
        let last = segments.len() - 1;
        let mut pattern = Vec::with_capacity(segments.len());
        for (place, segment) in segments.into_iter().enumerate() {
            pattern.push(match segment.as_bytes().first() {
                Some(b':') if is_name(&segment[1..]) => format!(":p{place}"),
                Some(b'*') if place == last && (segment.len() == 1 || is_name(&segment[1..])) => "+".to_owned(),
                _ if segment.contains([':', '*', '{', '}', '(', ')', '[', ']', '?', '+', '!', '\\', '#', ' ']) => {
                    return Err(invalid_route(
                        &self.endpoint,
                        "a segment is plain text, a parameter (\":id\"), or at the end a wildcard (\"*path\")",
                    ));
                }
                _ => segment.to_owned(),
            });
        }
        Ok(pattern.join("/"))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

fn invalid_route(route: &str, why: &str) -> Error {
    Error::new(Code::InvalidCatalog, format!("the price list cannot hold {route:?}: {why}"))
}

/// All prices, compiled: a look-up costs the same with five lines and with five thousand.
#[derive(Clone)]
pub struct PriceList {
    prices: Vec<Price>,
    routers: Vec<Routers>,
}

/// For one set of routing rules: a router for each method that has prices of its own, and one for all others. A price
/// without a method is in each of them, so that a more specific path with another method cannot hide it.
#[derive(Clone)]
struct Routers {
    by_method: BTreeMap<Method, PathTree<usize>>,
    otherwise: PathTree<usize>,
}

impl PriceList {
    pub fn new(prices: Vec<Price>) -> Result<Self> {
        for (position, price) in prices.iter().enumerate() {
            let twin = prices[..position]
                .iter()
                .find(|other| other.method == price.method && other.endpoint == price.endpoint);
            if twin.is_some() {
                return Err(invalid_route(&price.endpoint, "it is listed twice"));
            }
        }
        let methods: BTreeSet<&Method> = prices.iter().filter_map(|price| price.method.as_ref()).collect();
        let routers = RoutingRules::ALL
            .into_iter()
            .map(|rules| {
                let by_method = methods
                    .iter()
                    .map(|method| Ok(((*method).clone(), compile(&prices, rules, Some(method))?)))
                    .collect::<Result<_>>()?;
                Ok(Routers { by_method, otherwise: compile(&prices, rules, None)? })
            })
            .collect::<Result<_>>()?;
        Ok(Self { prices, routers })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Price> {
        self.prices.iter()
    }

    /// The price of a request by its full path (mount prefix included, query string not). A HEAD request costs what the
    /// GET costs, because Express routes it there. Static segments win over parameters, and these over wildcards.
    pub fn find(&self, method: &str, path: &str, rules: RoutingRules) -> Option<&Price> {
        let routers = &self.routers[rules.index()];
        let router = routers
            .by_method
            .get(method)
            .or_else(|| routers.by_method.get("GET").filter(|_| method == "HEAD"))
            .unwrap_or(&routers.otherwise);
        router.find(&rules.normalize(path)).and_then(|(index, _)| self.prices.get(*index))
    }
}

/// Prices for `method` win over prices for all methods; of two that match the same paths the first one listed wins, as the
/// route that was registered first does.
fn compile(prices: &[Price], rules: RoutingRules, method: Option<&Method>) -> Result<PathTree<usize>> {
    let mut patterns: BTreeMap<String, usize> = BTreeMap::new();
    let own = prices.iter().enumerate().filter(|(_, price)| method.is_some() && price.method.as_ref() == method);
    let general = prices.iter().enumerate().filter(|(_, price)| price.method.is_none());
    for (index, price) in own.chain(general) {
        patterns.entry(price.pattern(rules)?).or_insert(index);
    }
    let mut router = PathTree::new();
    for (pattern, index) in patterns {
        let _id = router.insert(&pattern, index);
    }
    Ok(router)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(routes: &[&str]) -> PriceList {
        PriceList::new(routes.iter().map(|route| Price::new(route, Money::ZERO, None).unwrap()).collect()).unwrap()
    }

    fn found<'a>(list: &'a PriceList, request: &str, case_sensitive: bool, strict: bool) -> Option<&'a str> {
        let (method, path) = request.split_once(' ').unwrap();
        list.find(method, path, RoutingRules { case_sensitive, strict }).map(|price| price.endpoint.as_str())
    }

    #[test]
    fn paths_match_as_express_routes_them() {
        let list = list(&["/api/execute"]);
        for (path, relaxed, case_sensitive, strict) in [
            ("/api/execute", true, true, true),
            ("/API/Execute", true, false, true),
            ("/api/execute/", true, true, false),
            ("/api/execute//", false, false, false),
            ("//api/execute", false, false, false),
            ("/api/execute/more", false, false, false),
            ("/api", false, false, false),
            ("/", false, false, false),
            ("", false, false, false),
        ] {
            let request = format!("GET {path}");
            assert_eq!(found(&list, &request, false, false).is_some(), relaxed, "{path}");
            assert_eq!(found(&list, &request, true, false).is_some(), case_sensitive, "{path} case sensitive");
            assert_eq!(found(&list, &request, false, true).is_some(), strict, "{path} strict");
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let list = list(&["/a/*rest", "/a/:id", "/a/list", "/a/:id/b", "/a/list/c"]);
        for (request, endpoint) in [
            ("GET /a/list", "/a/list"),
            ("GET /a/1", "/a/:id"),
            ("GET /a/1/b", "/a/:id/b"),
            ("GET /a/list/b", "/a/:id/b"),
            ("GET /a/list/d", "/a/*rest"),
            ("GET /a/1/2/3", "/a/*rest"),
        ] {
            assert_eq!(found(&list, request, false, false), Some(endpoint), "{request}");
        }
    }

    #[test]
    fn a_method_narrows_a_price_and_hides_nobody_elses() {
        let list = list(&["POST /a/:id", "/a/:name", "GET /a/list", "get /b"]);
        assert_eq!(found(&list, "POST /a/list", false, false), Some("/a/:id"));
        assert_eq!(found(&list, "GET /a/list", false, false), Some("/a/list"));
        assert_eq!(found(&list, "HEAD /a/list", false, false), Some("/a/list"));
        assert_eq!(found(&list, "DELETE /a/list", false, false), Some("/a/:name"));
        assert_eq!(found(&list, "GET /b", false, false), Some("/b"));
        assert_eq!(found(&list, "POST /b", false, false), None);
    }

    #[test]
    fn routes_that_cannot_be_matched_as_express_would_are_refused() {
        for route in
            ["api/execute", "", "POST", "POST api", "/a/:", "/a/*x/b", "/a/:id(\\d+)", "/a/x?", "/{a}", "/a b", "1 /a"]
        {
            assert_eq!(Price::new(route, Money::ZERO, None).unwrap_err().code, Code::InvalidCatalog, "{route}");
        }
        let twice = vec![Price::new("/a", Money::ZERO, None).unwrap(); 2];
        assert!(PriceList::new(twice).is_err());
    }
}
