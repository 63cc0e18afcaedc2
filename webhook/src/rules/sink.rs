//! What a rule gets and where its findings go.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

use super::{Rule, freshness};
use crate::{
    finding::{FieldPath, Finding, Severity},
    node::Node,
    review::{Options, Request},
    snapshot::{Freshness, Part, Snapshot},
};

/// One review: the request, what is known of the cluster, and the options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Review<'a> {
    pub(crate) request: Request<'a>,
    /// The object that is looked at: the new one, or while ratcheting the old one.
    pub(crate) root: &'a Value,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) options: &'a Options,
}

impl<'a> Review<'a> {
    pub(crate) fn object(&self) -> Node<'a> {
        Node::root(self.root)
    }

    pub(crate) fn metadata(&self) -> Node<'a> {
        self.object().at("metadata")
    }

    /// The object's name, or the request's while the object has none.
    pub(crate) fn name(&self) -> &'a str {
        match self.metadata().at("name").text() {
            "" => self.request.name,
            name => name,
        }
    }

    /// The object's namespace, or the request's.
    pub(crate) fn namespace(&self) -> &'a str {
        match self.metadata().at("namespace").text() {
            "" => self.request.namespace,
            namespace => namespace,
        }
    }

    pub(crate) fn annotation(&self, key: &'static str) -> Node<'a> {
        self.metadata().at("annotations").at(key)
    }
}

/// Collects findings in one mode.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) review: Review<'a>,
    pub(crate) list: Vec<Finding>,
    told: Vec<Part>,
    /// How many findings each rule has in the list.
    counts: BTreeMap<&'static str, usize>,
    /// A finding that is one too many of its rule, until the next one comes.
    spill: Option<Finding>,
    /// What was too many, one finding for each rule.
    more: BTreeMap<&'static str, (usize, Finding)>,
}

/// Most findings of one rule that are listed: more than a person reads, and a bound on the answer. Those beyond it are
/// one finding more, which is softened only if it is the same in the stored object: nothing hides behind a long list.
const MOST: usize = 20;

impl<'a> Findings<'a> {
    pub(crate) fn new(review: Review<'a>) -> Self {
        Self {
            review,
            list: Vec::new(),
            told: Vec::new(),
            counts: BTreeMap::new(),
            spill: None,
            more: BTreeMap::new(),
        }
    }

    /// Adds a finding at `node`.
    pub(crate) fn push(
        &mut self,
        rule: &'static Rule,
        node: &Node<'_>,
        message: impl Into<String>,
    ) -> Added<'_> {
        let message = message.into();
        let field = node.field();
        let mut state = DefaultHasher::new();
        rule.id.hash(&mut state);
        field.hash(&mut state);
        message.hash(&mut state);
        node.hash_scalar(&mut state);
        let severity = rule.severity(self.review.options.mode);
        let fingerprint = state.finish();
        let finding = Finding {
            rule,
            severity,
            field,
            message,
            hint: None,
            suppressed: None,
            fingerprint,
        };
        self.settle();
        let count = self.counts.entry(rule.id).or_default();
        if *count >= MOST {
            return Added(self.spill.insert(finding));
        }
        *count += 1;
        self.list.push(finding);
        let last = self.list.len() - 1;
        Added(&mut self.list[last])
    }

    /// Whether further findings of a rule are only counted, so that no words need be made for them.
    pub(crate) fn is_full(&self, rule: &Rule) -> bool {
        self.counts.get(rule.id).is_some_and(|count| *count >= MOST)
    }

    fn settle(&mut self) {
        let Some(finding) = self.spill.take() else { return };
        match self.more.get_mut(finding.rule.id) {
            Some((count, all)) => {
                *count += 1;
                all.severity = all.severity.min(finding.severity);
                // Whatever their order is.
                all.fingerprint = all.fingerprint.wrapping_add(finding.fingerprint);
            }
            None => {
                self.more.insert(finding.rule.id, (1, finding));
            }
        }
    }

    /// The findings, with one for what was too many of each rule.
    pub(crate) fn finish(&mut self) {
        self.settle();
        for (count, finding) in std::mem::take(&mut self.more).into_values() {
            let message = format!("{count} more: {}", finding.rule.doc.trim_end_matches('.'));
            self.list.push(Finding {
                field: FieldPath::default(),
                message,
                hint: None,
                ..finding
            });
        }
    }

    /// Whether every part that `rule` needs can be trusted. One that is stale is told once; one that nobody filled is
    /// not: an offline check without context says so in one place.
    pub(crate) fn can_look_up(&mut self, rule: &'static Rule) -> bool {
        let mut fresh = true;
        for part in rule.needs {
            match self.review.snapshot.freshness(*part) {
                Freshness::Synced => {}
                Freshness::Absent => fresh = false,
                Freshness::Stale => {
                    fresh = false;
                    self.tell_stale(*part);
                }
            }
        }
        fresh
    }

    pub(crate) fn tell_stale(&mut self, part: Part) {
        if self.told.contains(&part) {
            return;
        }
        self.told.push(part);
        let message = format!(
            "{} may be out of date here: rules that look them up were skipped",
            part.describe()
        );
        self.push(&freshness::STALE, &Node::root(&serde_json::Value::Null), message);
    }
}

/// A finding that was just added.
pub(crate) struct Added<'f>(&'f mut Finding);

impl Added<'_> {
    /// What would be right.
    pub(crate) fn hint(self, hint: impl Into<Option<String>>) -> Self {
        if let Some(hint) = hint.into() {
            self.0.hint = Some(hint);
        }
        self
    }

    /// What would be right, in fixed words.
    pub(crate) fn advise(self, hint: &str) -> Self {
        self.hint(hint.to_owned())
    }

    /// The offence is another one when `node` changes.
    pub(crate) fn about(self, node: &Node<'_>) -> Self {
        let mut state = DefaultHasher::new();
        self.0.fingerprint.hash(&mut state);
        node.hash_all(&mut state);
        self.0.fingerprint = state.finish();
        self
    }

    /// Only a warning, whatever the mode: what speaks for the object could not be looked up.
    pub(crate) fn uncertain(self, uncertain: bool) -> Self {
        if uncertain {
            self.0.severity = Severity::Warn;
        }
        self
    }
}
