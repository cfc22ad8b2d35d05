//! Routes: patterns of paths, as Express writes them, and what a request of one needs.

use std::collections::BTreeSet;
use std::fmt;

use super::contradiction;
use super::names::{Kind, Names, list};
use crate::Result;
use crate::domain::Money;
use crate::domain::json::Value;
use crate::domain::mistakes::Mistakes;
use crate::domain::price;
use crate::domain::router::{Method, Pattern, RoutingRules, Segment, split};

/// A path or pattern, for one method or for all: `POST /api/agents/:id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub method: Option<Method>,
    pub endpoint: String,
}

/// A request as the app routes it. The path may also be the pattern under which usage was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The full path: with the prefix under which the router is mounted, without a query string.
    pub path: &'a str,
    pub rules: RoutingRules,
    /// The path is the pattern of a route: what stands for any rest in it is matched by nothing else.
    pub is_pattern: bool,
}

impl<'a> Request<'a> {
    /// That of usage which is told of with an endpoint: a path, or a method and a path, such as `POST /api/execute`. Where the
    /// endpoint names no method it is the other one, in capitals, or GET.
    pub fn of_endpoint(endpoint: &'a str, method: Option<&'a str>) -> Self {
        let is_method = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let named = endpoint.split_once(' ').filter(|(word, path)| is_method(word) && path.starts_with('/'));
        let (method, path) = named.unwrap_or((method.unwrap_or("GET"), endpoint));
        Self { method, path, rules: RoutingRules::default(), is_pattern: false }
    }
}

/// How specific a route is of those that match a request: segment by segment from the left, plain text above a parameter
/// above a wildcard; then the method.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    segments: Vec<Segment>,
    method: MethodMatch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MethodMatch {
    All,
    /// A HEAD request is routed to GET where HEAD has no route of its own.
    HeadAsGet,
    Named,
}

impl Specificity {
    pub(super) fn is_of_equal_path(&self, other: &Specificity) -> bool {
        self.segments == other.segments
    }
}

impl Route {
    pub(super) fn read(value: &Value<'_>) -> Result<Self> {
        // The price list's rules hold here too.
        let price = price::Price::new(&value.string()?, Money::ZERO, None);
        let price::Price { method, endpoint, .. } =
            price.map_err(|error| contradiction(value.place(), &format!(": {}", error.message)))?;
        Ok(Self { method, endpoint })
    }

    pub(super) fn pattern(&self) -> Pattern<'_> {
        (self.method.as_ref(), &self.endpoint)
    }

    /// That its path ends with what stands for any rest.
    pub fn ends_with_wildcard(&self) -> bool {
        self.endpoint.rsplit('/').next().is_some_and(|last| Segment::of(last) == Segment::Wildcard)
    }

    /// How specific it is, if it matches.
    pub fn matches(&self, request: &Request<'_>) -> Option<Specificity> {
        let method = match &self.method {
            None => MethodMatch::All,
            Some(method) if method == request.method => MethodMatch::Named,
            Some(method) if method == "GET" && request.method == "HEAD" => MethodMatch::HeadAsGet,
            Some(_) => return None,
        };
        let (endpoint, path) = (request.rules.normalize(&self.endpoint), request.rules.normalize(request.path));
        let mut rest = Some(path.as_str());
        let mut segments = Vec::new();
        for pattern in endpoint.split('/') {
            let kind = Segment::of(pattern);
            let (segment, after) = split(rest?);
            let is_match = match kind {
                Segment::Wildcard => !rest?.is_empty(),
                Segment::Parameter if request.is_pattern && Segment::of(segment) == Segment::Wildcard => false,
                Segment::Parameter => !segment.is_empty(),
                Segment::Plain => segment == pattern,
            };
            if !is_match {
                return None;
            }
            segments.push(kind);
            rest = if kind == Segment::Wildcard { None } else { after };
        }
        rest.is_none().then_some(Specificity { segments, method })
    }

    /// Equal for routes that match the same requests, where the app routes as Express does by default.
    pub(super) fn shape(&self) -> (Option<&str>, String) {
        let endpoint = RoutingRules::default().normalize(&self.endpoint);
        let segment = |segment| match Segment::of(segment) {
            Segment::Wildcard => "*",
            Segment::Parameter => ":",
            Segment::Plain => segment,
        };
        (self.method.as_deref(), endpoint.split('/').map(segment).collect::<Vec<_>>().join("/"))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Some(method) => write!(formatter, "{method} {}", self.endpoint),
            None => formatter.write_str(&self.endpoint),
        }
    }
}

/// What a request of a route needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRule {
    pub route: Route,
    /// The lowest tier that may call it.
    pub required_tier: Option<String>,
    /// Features, all of which the tier must have.
    pub requires: BTreeSet<String>,
    pub(super) place: String,
}

impl RouteRule {
    pub(super) fn read(value: &Value<'_>, names: &Names, mistakes: &mut Mistakes) -> Option<Self> {
        let object = mistakes.object(value, &["route", "requiredTier", "requires"])?;
        let route = mistakes.required(&object, "route", Route::read);
        let required_tier = mistakes.optional(&object, "requiredTier", names.known(Kind::Tier));
        let requires = list(&object, "requires", mistakes, |feature, mistakes| {
            mistakes.value(feature, names.known(Kind::Feature))
        });
        Some(Self {
            route: route?,
            required_tier: required_tier?,
            requires: requires.into_iter().collect(),
            place: value.place().to_owned(),
        })
    }
}
