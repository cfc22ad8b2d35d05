//! Holds the dependency rule that `src/lib.rs` states, by reading the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which of the crate's modules each module may use; `node` uses them all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("domain", &["error"]),
    ("store", &["error", "domain"]),
    ("engine", &["error", "domain", "store"]),
    ("export", &["error", "domain", "store"]),
    ("stripe", &["error", "domain", "export"]),
];

/// Words that only some places may say.
const ONLY_IN: &[(&[&str], &str)] = &[
    (&["napi", "napi_derive"], "src/node/"),
    (&["rusqlite", "libsqlite3_sys"], "src/store/sqlite/"),
    (&["tokio_postgres", "deadpool_postgres", "tokio_postgres_rustls"], "src/store/postgres/"),
    (&["hyper", "hyper_util", "hyper_rustls", "http_body_util"], "src/stripe/client.rs"),
    (&["unsafe", "unsafe_code"], "src/node/deliveries.rs"),
];

const SQL: &[&str] = &["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", "BEGIN "];

/// Where time is an argument.
const TIMELESS: &[&str] = &["src/domain/", "src/store/", "src/engine/", "src/export/"];
const CLOCKS: &[&str] = &["SystemTime::now", "Utc::now", "Local::now"];
/// Where not even durations are measured. The engine does so for deadlines and pauses.
const STILL: &[&str] = &["src/domain/", "src/store/", "src/engine/ledger.rs"];
const STOPWATCHES: &[&str] = &["Instant::now", ".elapsed()"];

/// A source file without its comments.
struct Source {
    path: String,
    code: String,
}

impl Source {
    /// `src/store/sqlite/read.rs` is in the module `["store", "sqlite", "read"]`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').filter(|name| *name != "lib").collect()
    }

    fn says(&self, word: &str) -> bool {
        self.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    let source = |path: PathBuf| Source {
        code: without_comments(&std::fs::read_to_string(&path).expect("a source file")),
        path: path.strip_prefix(root).expect("a path below the root").to_str().expect("UTF-8").replace('\\', "/"),
    };
    files.into_iter().map(source).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn without_comments(text: &str) -> String {
    let code = |line: &str| {
        let code = line.split_once("// ").map_or(line, |(code, _)| code);
        if line.trim_start().starts_with("//") { String::new() } else { code.to_owned() }
    };
    text.lines().map(code).fold(String::new(), |text, line| text + &line + "\n")
}

/// The names at the crate's root that a source in this module refers to: `crate::store`, `crate::{store::Change, Error}`,
/// and `super::store` from a module just below the root.
fn root_names(code: &str, module: &[&str]) -> BTreeSet<String> {
    let from_root = "super::".repeat(module.len());
    let mut names = BTreeSet::new();
    for prefix in ["crate::", from_root.as_str()].into_iter().filter(|prefix| !prefix.is_empty()) {
        for (place, _) in code.match_indices(prefix) {
            // `weighbridge_crate::`, or one `super::` more, is something else.
            let before = code[..place].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || matches!(before, '_' | ':') {
                continue;
            }
            names.extend(first_segments(&code[place + prefix.len()..]));
        }
    }
    names
}

/// `store::Change` begins with `store`, and `{store::{A, B}, Error}` with `store` and `Error`.
fn first_segments(path: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(list) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 0;
    let mut segments = vec![name(list)];
    for (place, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => segments.push(name(&list[place + 1..])),
            _ => {}
        }
    }
    segments.retain(|segment: &String| !segment.is_empty());
    segments
}

#[test]
fn dependencies_point_one_way() {
    let sources = sources();
    for (module, others) in MAY_USE {
        let files: Vec<_> = sources.iter().filter(|source| source.module().first() == Some(module)).collect();
        assert!(!files.is_empty(), "no file belongs to {module}");
        for source in files {
            for name in root_names(&source.code, &source.module()) {
                let is_module = name == "node" || MAY_USE.iter().any(|(module, _)| *module == name);
                let allowed = !is_module || name == *module || others.contains(&name.as_str());
                assert!(allowed, "{} uses `{name}`, which {module} may not", source.path);
            }
        }
    }
}

#[test]
fn every_module_has_a_rule() {
    let ruled = |name: &str| name == "node" || MAY_USE.iter().any(|(module, _)| *module == name);
    for source in sources() {
        if let Some(name) = source.module().first() {
            assert!(ruled(name), "{}: say in MAY_USE what {name} may use", source.path);
        }
    }
}

#[test]
fn each_library_has_its_place() {
    let sources = sources();
    for (words, place) in ONLY_IN {
        let is_the_root = |source: &Source| source.path == "src/lib.rs";
        let (inside, outside): (Vec<_>, Vec<_>) = sources.iter().partition(|source| source.path.starts_with(place));
        assert!(inside.iter().any(|source| source.says(words[0])), "{place} says {} no more", words[0]);
        for source in outside.into_iter().filter(|source| !is_the_root(source)) {
            for word in *words {
                assert!(!source.says(word), "{} says `{word}`, which belongs in {place}", source.path);
            }
        }
    }
}

#[test]
fn sql_is_said_in_the_store_alone() {
    let (inside, outside): (Vec<_>, Vec<_>) =
        sources().into_iter().partition(|source| source.path.starts_with("src/store/"));
    assert!(inside.iter().any(|source| source.code.contains(SQL[0])));
    for source in outside {
        for words in SQL {
            assert!(!source.code.contains(words), "{} says `{words}`", source.path);
        }
    }
}

#[test]
fn time_is_an_argument() {
    let sources = sources();
    for (places, words) in [(TIMELESS, CLOCKS), (STILL, STOPWATCHES)] {
        for source in sources.iter().filter(|source| places.iter().any(|place| source.path.starts_with(place))) {
            for clock in words {
                assert!(!source.code.contains(clock), "{} reads a clock: {clock}", source.path);
            }
        }
    }
}

#[test]
fn the_reader_of_sources_sees_what_it_should() {
    let names = |code: &str, module: &[&str]| root_names(code, module).into_iter().collect::<Vec<_>>();
    assert_eq!(names("use crate::store::Change;", &["engine"]), ["store"]);
    assert_eq!(
        names("use crate::{\n    Error, engine::{a::B, C},\n    stripe,\n};", &["store"]),
        ["Error", "engine", "stripe"]
    );
    assert_eq!(names("let x = crate::node::y(); other_crate::z()", &["store"]), ["node"]);
    assert_eq!(names("use super::engine::Engine;", &["store"]), ["engine"]);
    assert_eq!(names("use super::read; use super::super::engine::Engine;", &["store", "sqlite"]), ["engine"]);
    let code = without_comments("a // crate::b\n    /// crate::c\n//! crate::d\n\"https://e\"");
    assert_eq!(code, "a \n\n\n\"https://e\"\n");
    let source = Source { path: "src/store/sqlite/mod.rs".to_owned(), code: "a hyper_x; not-unsafe".to_owned() };
    assert_eq!(source.module(), ["store", "sqlite"]);
    assert_eq!(["hyper", "hyper_x", "unsafe"].map(|word| source.says(word)), [false, true, true]);
}
