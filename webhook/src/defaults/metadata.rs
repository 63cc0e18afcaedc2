//! Changes of annotations and labels, collected and written once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{node::Node, patch::Patch};

type Wanted = BTreeMap<&'static str, Option<String>>;

/// What annotations and labels shall be; `None` is gone. The last word on a key counts.
#[derive(Debug, Default)]
pub(super) struct Changes {
    annotations: Wanted,
    labels: Wanted,
}

impl Changes {
    pub(super) fn annotate(&mut self, key: &'static str, value: &str) {
        self.annotations.insert(key, Some(value.to_owned()));
    }

    pub(super) fn drop_annotation(&mut self, key: &'static str) {
        self.annotations.insert(key, None);
    }

    pub(super) fn label(&mut self, key: &'static str, value: &str) {
        self.labels.insert(key, Some(value.to_owned()));
    }

    pub(super) fn drop_label(&mut self, key: &'static str) {
        self.labels.insert(key, None);
    }

    pub(super) fn write(self, metadata: &Node<'_>, patch: &mut Patch) {
        write_map(metadata, "annotations", self.annotations, patch);
        write_map(metadata, "labels", self.labels, patch);
    }
}

fn write_map(metadata: &Node<'_>, field: &'static str, wanted: Wanted, patch: &mut Patch) {
    let current = metadata.object().and_then(|members| members.get(field));
    let Some(Value::Object(present)) = current else {
        let whole: serde_json::Map<String, Value> = wanted
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))))
            .collect();
        if !whole.is_empty() {
            patch.set("/metadata", field, current, Value::Object(whole));
        }
        return;
    };
    let parent = format!("/metadata/{field}");
    for (key, value) in wanted {
        match (present.get(key), value) {
            (Some(_), None) => patch.remove(&parent, key),
            (None, None) => {}
            (before, Some(value)) => {
                if before.and_then(Value::as_str) != Some(value.as_str()) {
                    patch.set(&parent, key, before, json!(value));
                }
            }
        }
    }
}
