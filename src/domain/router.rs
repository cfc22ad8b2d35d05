//! Finding the route of a request, by the rules by which Express routes it.
//!
//! By default these ignore case and one trailing slash; Express's settings `case sensitive routing` and `strict routing`
//! change that, and so each comes with the request.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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

/// A path or pattern as Express writes it, for one method or for all.
pub type Pattern<'a> = (Option<&'a Method>, &'a str);

/// Routes, compiled: a look-up costs the same with five of them and with five thousand.
#[derive(Debug, Clone)]
pub struct Router {
    by_rules: Vec<Trees>,
}

/// For one set of routing rules: a tree for each method that has routes of its own, and one for all others. A route without
/// a method is in each of them, so that a more specific path with another method cannot hide it.
#[derive(Debug, Clone)]
struct Trees {
    by_method: BTreeMap<Method, Node>,
    otherwise: Node,
}

/// Where the segments of a path lead to, one after the other. (The crates that do this let a parameter match nothing, or do
/// not go back where plain text led nowhere.)
#[derive(Debug, Clone, Default)]
struct Node {
    plain: HashMap<String, Node>,
    parameter: Option<Box<Node>>,
    wildcard: Option<usize>,
    end: Option<usize>,
}

impl Router {
    /// Of routes that match the same requests the first one listed wins, as the route that was registered first does.
    pub fn new(routes: &[Pattern<'_>]) -> Self {
        let methods: BTreeSet<&Method> = routes.iter().filter_map(|(method, _)| *method).collect();
        let trees = |rules| Trees {
            by_method: methods.iter().map(|method| ((*method).clone(), compile(routes, rules, Some(method)))).collect(),
            otherwise: compile(routes, rules, None),
        };
        Self { by_rules: RoutingRules::ALL.into_iter().map(trees).collect() }
    }

    /// The position of the route of a request, by its full path (mount prefix included, query string not). Static segments
    /// win over parameters, and these over wildcards. A HEAD request has the route of the GET, because Express routes it
    /// there.
    pub fn find(&self, method: &str, path: &str, rules: RoutingRules) -> Option<usize> {
        let trees = &self.by_rules[rules.index()];
        let tree = trees
            .by_method
            .get(method)
            .or_else(|| trees.by_method.get("GET").filter(|_| method == "HEAD"))
            .unwrap_or(&trees.otherwise);
        tree.find(Some(&rules.normalize(path)))
    }
}

/// Routes for `method` win over routes for all methods, and for HEAD those for GET too.
fn compile(routes: &[Pattern<'_>], rules: RoutingRules, method: Option<&Method>) -> Node {
    let own = method.into_iter().flat_map(|method| of(routes, Some(method)));
    let as_get = method.filter(|method| *method == "HEAD").into_iter().flat_map(|_| of(routes, Some("GET")));
    let mut tree = Node::default();
    for (position, (_, endpoint)) in own.chain(as_get).chain(of(routes, None)) {
        tree.insert(&rules.normalize(endpoint), position);
    }
    tree
}

fn of<'a>(routes: &'a [Pattern<'a>], wanted: Option<&'a str>) -> impl Iterator<Item = (usize, &'a Pattern<'a>)> {
    routes.iter().enumerate().filter(move |(_, (method, _))| method.map(String::as_str) == wanted)
}

impl Node {
    fn insert(&mut self, pattern: &str, position: usize) {
        let mut node = self;
        for segment in pattern.split('/') {
            node = match Segment::of(segment) {
                Segment::Plain => node.plain.entry(segment.to_owned()).or_default(),
                Segment::Parameter => node.parameter.get_or_insert_default(),
                Segment::Wildcard => {
                    node.wildcard.get_or_insert(position);
                    return;
                }
            };
        }
        node.end.get_or_insert(position);
    }

    /// `None` for a path that has come to its end.
    fn find(&self, path: Option<&str>) -> Option<usize> {
        let Some(path) = path else { return self.end };
        let (segment, rest) = split(path);
        let plain = self.plain.get(segment).and_then(|node| node.find(rest));
        let parameter = || self.parameter.as_ref().filter(|_| !segment.is_empty())?.find(rest);
        plain.or_else(parameter).or_else(|| self.wildcard.filter(|_| !path.is_empty()))
    }
}

/// A segment of a pattern. What is more specific is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    Wildcard,
    Parameter,
    Plain,
}

impl Segment {
    pub fn of(segment: &str) -> Self {
        match segment.as_bytes().first() {
            Some(b':') => Segment::Parameter,
            Some(b'*') => Segment::Wildcard,
            _ => Segment::Plain,
        }
    }
}

/// The first segment of a path, and what comes after it.
pub(super) fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    }
}

/// That an endpoint is a pattern as Express writes it.
pub(super) fn validate(endpoint: &str) -> Result<()> {
    let segments: Vec<&str> = endpoint.strip_suffix('/').unwrap_or(endpoint).split('/').collect();
    let last = segments.len() - 1;
    for (place, segment) in segments.into_iter().enumerate() {
        let is_good = match Segment::of(segment) {
            Segment::Parameter => is_name(&segment[1..]),
            Segment::Wildcard => place == last && (segment.len() == 1 || is_name(&segment[1..])),
            Segment::Plain => {
                !segment.contains([':', '*', '{', '}', '(', ')', '[', ']', '?', '+', '!', '\\', '#', ' '])
            }
        };
        if !is_good {
            let why = "a segment is plain text, a parameter (\":id\"), or at the end a wildcard (\"*path\")";
            return Err(invalid_route(endpoint, why));
        }
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

pub(super) fn invalid_route(route: &str, why: &str) -> Error {
    Error::new(Code::InvalidCatalog, format!("the price list cannot hold {route:?}: {why}"))
}
