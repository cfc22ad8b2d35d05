//! The price list: what a call of an endpoint costs, and which tier it needs.
//!
//! A request has one identity for price, limit and record: the pattern of the price list that its full path matches, by
//! the rules by which Express routes it: see [`super::router`].

use super::Money;
use super::event::MAX_TEXT_BYTES;
pub use super::router::{Method, RoutingRules};
use super::router::{Router, invalid_route, validate};
use crate::Result;

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
        validate(&price.endpoint)?;
        Ok(price)
    }
}

/// All prices, compiled.
#[derive(Clone)]
pub struct PriceList {
    prices: Vec<Price>,
    router: Router,
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
        let routes: Vec<_> = prices.iter().map(|price| (price.method.as_ref(), price.endpoint.as_str())).collect();
        Ok(Self { router: Router::new(&routes), prices })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Price> {
        self.prices.iter()
    }

    /// The price of a request: see [`Router::find`].
    pub fn find(&self, method: &str, path: &str, rules: RoutingRules) -> Option<&Price> {
        self.prices.get(self.router.find(method, path, rules)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

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
