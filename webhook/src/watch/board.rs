//! A snapshot that is being written. Pure: events in, snapshot and problems out.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::source::{SOURCES, Source};
use crate::{Freshness, Part, Snapshot, config::ConfigError};

/// Name of an object in its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What a source says.
#[derive(Debug)]
pub(super) enum Event {
    /// An object as it is now.
    Seen(&'static Source, Key, Value),
    /// An object that is no more.
    Gone(&'static Source, Key),
    /// All objects are here, and no others.
    Complete(&'static Source, HashSet<Key>),
    /// It has failed for a while.
    Stale(&'static Source, String),
}

impl Event {
    pub(super) fn source(&self) -> &'static Source {
        match self {
            Self::Seen(source, ..)
            | Self::Gone(source, _)
            | Self::Complete(source, _)
            | Self::Stale(source, _) => source,
        }
    }
}

/// How a source stands.
#[derive(Debug, Default)]
struct Standing {
    known: HashSet<Key>,
    /// Listed at least once, and followed since.
    complete: bool,
    /// Why it is not to be trusted.
    problem: Option<String>,
    /// An object that could not be read, with the reason.
    broken: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Board {
    snapshot: Snapshot,
    standings: BTreeMap<&'static str, Standing>,
}

impl Board {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        let mut snapshot = Snapshot::default();
        for part in Part::ALL {
            snapshot.set_freshness(part, Freshness::Stale);
        }
        let standings = SOURCES
            .iter()
            .map(|source| (source.name, Standing::default()))
            .collect();
        Self { snapshot, standings }
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn is_fresh(&self, source: &Source) -> bool {
        self.standings.get(source.name).is_some_and(|standing| {
            standing.complete && standing.problem.is_none() && standing.broken.is_empty()
        })
    }

    /// What keeps the server from being ready: sources that are not fresh, and why.
    pub(super) fn problem(&self) -> Option<String> {
        let stale: Vec<_> = SOURCES
            .iter()
            .filter(|source| !self.is_fresh(source))
            .map(|source| {
                let standing = self.standings.get(source.name);
                let problem = standing.and_then(|standing| {
                    standing
                        .problem
                        .as_ref()
                        .or_else(|| standing.broken.values().next())
                });
                let problem = problem.map_or("not listed yet", String::as_str);
                format!("{} ({problem})", source.name)
            })
            .collect();
        (!stale.is_empty()).then(|| stale.join(", "))
    }

    /// Takes in an event. An object that cannot be read leaves what was known of it.
    pub(super) fn apply(&mut self, event: Event) -> Result<(), ConfigError> {
        let source = event.source();
        let standing = self.standings.entry(source.name).or_default();
        let mut result = Ok(());
        match event {
            Event::Seen(_, key, object) => {
                match self.snapshot.observe(&object, &key.namespace) {
                    Ok(_) => {
                        standing.broken.remove(&key.name);
                    }
                    Err(err) => {
                        standing.broken.insert(key.name.clone(), err.to_string());
                        result = Err(err);
                    }
                }
                standing.known.insert(key);
            }
            Event::Gone(_, key) => {
                self.snapshot.forget(source.kind, &key.namespace, &key.name);
                standing.broken.remove(&key.name);
                standing.known.remove(&key);
            }
            Event::Complete(_, listed) => {
                for key in standing.known.difference(&listed) {
                    self.snapshot.forget(source.kind, &key.namespace, &key.name);
                    standing.broken.remove(&key.name);
                }
                standing.known = listed;
                standing.complete = true;
                standing.problem = None;
            }
            Event::Stale(_, problem) => standing.problem = Some(problem),
        }
        self.refresh(source.part);
        result
    }

    /// What is known of a source is not what is wanted any more: it is not fresh before it is listed again.
    pub(super) fn expect_list(&mut self, source: &Source) {
        self.standings.entry(source.name).or_default().complete = false;
        self.refresh(source.part);
    }

    /// A part is as fresh as the least fresh of its sources.
    fn refresh(&mut self, part: Part) {
        let fresh = SOURCES
            .iter()
            .filter(|source| source.part == part)
            .all(|source| self.is_fresh(source));
        let freshness = if fresh {
            Freshness::Synced
        } else {
            Freshness::Stale
        };
        self.snapshot.set_freshness(part, freshness);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(name: &str) -> &'static Source {
        SOURCES.iter().find(|source| source.name == name).unwrap()
    }

    fn key(namespace: &str, name: &str) -> Key {
        Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn seen(kind: &str, plural: &str, name: &str) -> Event {
        let object = json!({"kind": kind, "metadata": {"name": name, "namespace": "ns"}, "spec": {}});
        Event::Seen(source(plural), key("ns", name), object)
    }

    fn complete(plural: &str, names: &[&str]) -> Event {
        let keys = names.iter().map(|name| key("ns", name)).collect();
        Event::Complete(source(plural), keys)
    }

    #[test]
    fn a_list_replaces_what_was_known() {
        let mut board = Board::new();
        for name in ["a", "b"] {
            board
                .apply(seen("ServingRuntime", "servingruntimes", name))
                .unwrap();
        }
        assert_eq!(
            board.snapshot().freshness(Part::ServingRuntimes),
            Freshness::Stale
        );
        board.apply(complete("servingruntimes", &["a", "b"])).unwrap();
        assert_eq!(
            board.snapshot().freshness(Part::ServingRuntimes),
            Freshness::Synced
        );
        assert!(board.snapshot().runtime("ns", "b").is_some());
        // A list without it, as after a long break.
        board.apply(complete("servingruntimes", &["a"])).unwrap();
        assert!(board.snapshot().runtime("ns", "b").is_none());
        board
            .apply(Event::Gone(source("servingruntimes"), key("ns", "a")))
            .unwrap();
        assert!(board.snapshot().runtime("ns", "a").is_none());
    }

    #[test]
    fn a_source_that_fails_is_stale_until_it_is_complete_again() {
        let mut board = Board::new();
        board.apply(complete("servingruntimes", &[])).unwrap();
        board
            .apply(Event::Stale(source("servingruntimes"), "forbidden".into()))
            .unwrap();
        assert_eq!(
            board.snapshot().freshness(Part::ServingRuntimes),
            Freshness::Stale
        );
        assert!(board.problem().unwrap().contains("servingruntimes (forbidden)"));
        board.apply(complete("servingruntimes", &[])).unwrap();
        assert!(!board.problem().unwrap().contains("servingruntimes (forbidden)"));
    }

    #[test]
    fn a_part_is_as_fresh_as_its_sources() {
        let mut board = Board::new();
        board.apply(complete("localmodelcaches", &[])).unwrap();
        assert_eq!(board.snapshot().freshness(Part::LocalModels), Freshness::Stale);
        board.apply(complete("localmodelnamespacecaches", &[])).unwrap();
        assert_eq!(board.snapshot().freshness(Part::LocalModels), Freshness::Synced);
    }

    #[test]
    fn everything_complete_is_no_problem() {
        let mut board = Board::new();
        for source in &SOURCES {
            board.apply(Event::Complete(source, HashSet::new())).unwrap();
        }
        assert_eq!(board.problem(), None);
    }

    #[test]
    fn a_broken_configuration_leaves_the_one_before() {
        let mut board = Board::new();
        let config = |deploy: &str| {
            let object = json!({
                "kind": "ConfigMap",
                "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
                "data": {"deploy": deploy},
            });
            Event::Seen(
                source("configmaps"),
                key("kserve", "inferenceservice-config"),
                object,
            )
        };
        let standard = crate::config::DeploymentMode::Standard;
        board
            .apply(config(r#"{"defaultDeploymentMode": "Standard"}"#))
            .unwrap();
        let listed = HashSet::from([key("kserve", "inferenceservice-config")]);
        board
            .apply(Event::Complete(source("configmaps"), listed))
            .unwrap();
        assert_eq!(board.snapshot().config().default_deployment_mode, standard);
        board.apply(config("{")).unwrap_err();
        assert_eq!(board.snapshot().config().default_deployment_mode, standard);
        assert_eq!(board.snapshot().freshness(Part::Config), Freshness::Stale);
        assert!(
            board
                .problem()
                .unwrap()
                .contains("configmaps (inferenceservice-config")
        );
        board
            .apply(config(r#"{"defaultDeploymentMode": "Knative"}"#))
            .unwrap();
        assert_eq!(board.snapshot().freshness(Part::Config), Freshness::Synced);
    }
}
