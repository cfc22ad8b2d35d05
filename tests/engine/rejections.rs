//! What a store's database refuses for what it is: it is set aside, and keeps nobody waiting.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use weighbridge::Code;
use weighbridge::domain::{HolderId, Meter, PriceList, Quota, UsageEvent};
use weighbridge::engine::admission::Passage;
use weighbridge::engine::gate::{Gate, Unpriced};
use weighbridge::engine::health::Notice;
use weighbridge::engine::{Engine, Location, Options, home};
use weighbridge::store::{Store, Verdict};

use crate::gate::{decide, price, request};
use crate::replay::{journals, leave};
use crate::support::postgres::OwnSchema;
use crate::support::*;
use crate::{Place, ask, close, commit, ready};

/// Of the requests every third one.
const REQUESTS: usize = 30;
const POISON: &str = "/poison";

/// A store of either kind, and a way to make its database refuse events of one endpoint.
struct World {
    place: Place,
    schema: Option<OwnSchema>,
}

impl World {
    fn both() -> [Self; 2] {
        [Self { place: Place::new(), schema: None }, Self { place: Place::new(), schema: Some(OwnSchema::new()) }]
    }

    fn home(&self) -> String {
        home::name(self.place.dir.path()).expect("a name")
    }

    fn options(&self) -> Options {
        let options = self.place.options();
        let Some(schema) = &self.schema else { return options };
        let postgres = schema.options(&self.home());
        let (holder, directory) = (postgres.writer.clone(), self.place.dir.path().to_owned());
        Options { location: Location::Postgres { options: Box::new(postgres), directory }, holder, ..options }
    }

    fn store(&self) -> Box<dyn Store> {
        match &self.schema {
            Some(schema) => Box::new(schema.open(&self.home()).expect("a store")),
            None => Box::new(self.place.store()),
        }
    }

    fn poison(&self) {
        match &self.schema {
            Some(schema) => {
                schema.query("ALTER TABLE events ADD CONSTRAINT poison CHECK (endpoint <> '/poison')");
            }
            None => poison(&self.place.path()),
        }
    }
}

fn poison(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let trigger = "CREATE TRIGGER poison BEFORE INSERT ON events WHEN NEW.endpoint = '/poison'
                   BEGIN SELECT RAISE(ABORT, 'poison'); END";
    connection.execute_batch(trigger).unwrap();
}

fn gate(engine: &Arc<Engine>) -> Gate {
    let prices = PriceList::new(vec![price("/paid", "0.1"), price(POISON, "0.1")]).unwrap();
    Gate::new(Arc::clone(engine), Arc::new(prices), Unpriced::Pass)
}

fn admit_all(engine: &Arc<Engine>) {
    let gate = gate(engine);
    for number in 0..REQUESTS {
        let route = if number.is_multiple_of(3) { "GET /poison" } else { "GET /paid" };
        admit(&gate, route);
    }
}

fn admit(gate: &Gate, route: &str) {
    let passage = decide(gate, request("key-1", route));
    assert!(matches!(passage, Ok(Passage::Admitted(_))), "{passage:?}");
}

fn lines_of(file: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_admitted_and_refused_is_set_aside_and_frees_what_pays_for_it() {
    for world in World::both() {
        let (sender, notices) = mpsc::channel();
        let listener = Arc::new(move |notice| drop(sender.send(notice)));
        let limit = tiers(&[("limited", Some(REQUESTS as u64))]);
        let engine = Engine::open(Options { tiers: Some(limit), listener, ..world.options() }).unwrap();
        let setup = vec![create_key(api_key("key-1", "ann")), set_tier("ann", "limited")];
        assert!(commit(&engine, setup).unwrap().iter().all(Result::is_ok));
        world.poison();
        admit_all(&engine);
        ask(|reply| engine.flush(reply)).get().unwrap();
        let mut files: Vec<PathBuf> = Vec::new();
        let mut told = 0;
        for notice in notices.try_iter() {
            match notice {
                Notice::Rejected { lines, file } => {
                    told += lines;
                    files.push(file);
                }
                Notice::Threshold { .. } => {}
                notice => panic!("{notice:?}"),
            }
        }
        assert_eq!(told, REQUESTS as u64 / 3);
        let set_aside = lines_of(&files[0]);
        assert_eq!(set_aside.len(), REQUESTS / 3);
        for line in &set_aside {
            assert!(line["reason"].as_str().unwrap().contains("poison"), "{line}");
            assert!(line["text"].as_str().unwrap().contains(POISON), "{line}");
        }
        // What is left of the limit can be used: nothing is kept for what was refused.
        for _ in 0..REQUESTS / 3 {
            admit(&gate(&engine), "GET /paid");
        }
        close(&engine);
        let store = world.store();
        assert_eq!(used(&*store, "ann"), REQUESTS as u64);
        assert_eq!(store.holders().unwrap(), []);
        assert_eq!(store.leases(&customer_id("ann"), Quota::Period(Meter::API_REQUEST), all_time()).unwrap(), []);
    }
}

#[test]
fn what_is_recorded_with_it_is_recorded() {
    for world in World::both() {
        let engine = Engine::open(world.options()).unwrap();
        ready(&engine).unwrap();
        world.poison();
        let of = |customer: &str, endpoint: &str| {
            record(UsageEvent { endpoint: Some(endpoint.to_owned()), ..event_with_id(customer, endpoint) })
        };
        let group = || vec![of("ann", "/a"), of("bob", POISON), of("bob", "/b"), of("cat", POISON), of("ann", "/c")];
        for expected in [Verdict::Recorded, Verdict::Duplicate] {
            let outcomes = commit(&engine, group()).unwrap();
            let verdicts: Vec<_> = outcomes
                .into_iter()
                .map(|outcome| outcome.and_then(|applied| applied.charged()).map(|charged| charged.verdict))
                .map(|verdict| verdict.map_err(|error| error.code))
                .collect();
            let (good, bad) = (Ok(expected), Err(Code::StoreRejected));
            assert_eq!(verdicts, [good.clone(), bad.clone(), good.clone(), bad, good]);
        }
        assert!(!engine.is_degraded());
        close(&engine);
        let store = world.store();
        assert_eq!(["ann", "bob", "cat"].map(|customer| used(&*store, customer)), [2, 1, 0]);
    }
}

#[test]
fn an_heir_sets_it_aside_too() {
    let segment = {
        let place = Place::new();
        let engine = place.open();
        commit(&engine, vec![create_key(api_key("key-1", "ann"))]).unwrap();
        admit_all(&engine);
        let directory = std::fs::read_dir(journals(&place)).unwrap().map(|entry| entry.unwrap().path());
        let bytes = directory.map(|path| path.join("1.jsonl")).find_map(|path| std::fs::read(path).ok()).unwrap();
        close(&engine);
        bytes
    };
    let place = Place::new();
    drop(place.store());
    poison(&place.path());
    leave(&place, &[&segment]);
    let engine = place.open();
    let report = ask(|reply| engine.ready(reply)).get().unwrap().replay;
    close(&engine);
    assert_eq!((report.journals, report.events, report.rejected), (1, 20, 10));
    let set_aside = lines_of(&report.rejected_file.unwrap());
    let lines: Vec<_> = set_aside.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, (0..10).map(|third| third * 3 + 1).collect::<Vec<_>>());
    assert_eq!(used(&place.store(), "ann"), 20);
    let gone: Vec<HolderId> = place.store().holders().unwrap();
    assert_eq!(gone, []);
}
