//! Status of a model whose copies are spread over instances.

use api::{
    mmesh::{ModelStatusInfo, model_status_info},
    records::{ModelRecord, Record},
};
use model_status_info::{ModelCopyInfo, ModelStatus};

use super::{Mesh, cluster::Cluster, key::Key, status};
use crate::core::registry::Presence;

/// As upstream: an error of each failed load, the newest first.
const MAX_ERRORS: usize = 16;

impl Mesh {
    /// What the record says of copies and failures, and what a holder says of its copy.
    pub(super) async fn status_among(&self, cluster: &Cluster, id: &str) -> ModelStatusInfo {
        let Some(entry) = self.view.entry(id) else {
            return status::of(ModelStatus::NotFound);
        };
        let presence = self.presence(id).await;
        let fleet = self.view.fleet();
        let (mut copies, mut errors) = (Vec::new(), Vec::new());
        let location = |ix| {
            let name = self.name_of(ix);
            let known = fleet.get(ix).map(|instance| instance.location.to_string());
            known
                .filter(|location| !location.is_empty())
                .or(name)
                .unwrap_or_default()
        };
        for copy in entry
            .copies
            .iter()
            .filter(|copy| fleet.get(copy.instance).is_some())
        {
            // As upstream: its registry knows that the copy was wanted, not how far it is.
            copies.push(info(location(copy.instance), ModelStatus::Unknown, copy.since_ms));
        }
        let expiry = cluster.settings.failure_expiry;
        let mut failures: Vec<_> = entry
            .model()
            .fresh_failures(expiry, super::now_ms())
            .copied()
            .collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.at_ms));
        for failure in &failures {
            copies.push(info(
                location(failure.instance),
                ModelStatus::LoadingFailed,
                failure.at_ms,
            ));
        }
        if !failures.is_empty() {
            errors = self.errors_of(id).await;
        }
        copies.sort_by_key(|copy| std::cmp::Reverse(copy.time));
        let state = match presence {
            Presence::Loaded => ModelStatus::Loaded,
            Presence::Loading => ModelStatus::Loading,
            Presence::Absent if !failures.is_empty() => ModelStatus::LoadingFailed,
            Presence::Absent => ModelStatus::NotLoaded,
        };
        ModelStatusInfo {
            status: state.into(),
            errors,
            model_copy_infos: copies,
        }
    }

    /// Texts of failures are in the store only: few ask for them, and every router would hold them.
    pub(super) async fn errors_of(&self, id: &str) -> Vec<String> {
        let key = Key::model(id).to_string();
        let Ok(read) = self.store.get(std::slice::from_ref(&key)).await else {
            return Vec::new();
        };
        let entry = read.entries.into_iter().flatten().next();
        let Some(Ok(record)) = entry.map(|entry| ModelRecord::parse(&entry.key, &entry.value)) else {
            return Vec::new();
        };
        let mut failures: Vec<_> = record.failed.iter().collect();
        failures.sort_by_key(|(_, at)| std::cmp::Reverse(**at));
        let texts = failures
            .into_iter()
            .filter_map(|(instance, _)| record.failures.get(instance));
        texts
            .map(|failure| failure.message.clone())
            .take(MAX_ERRORS)
            .collect()
    }
}

fn info(location: String, status: ModelStatus, time: u64) -> ModelCopyInfo {
    ModelCopyInfo {
        location,
        copy_status: status.into(),
        time,
    }
}
