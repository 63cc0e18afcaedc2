//! Records as people and tools see them: `stowage.v1`.

use api::mesh_v1::{
    Copy, ExplainResponse, Former, Instance as ShownInstance, ListInstancesResponse, Place as ShownPlace,
    VModel, Weight,
};

use super::{Kind, Mesh, hop::Hop, now_ms, view::Entry};
use crate::core::{
    fleet::{Decision, Fleet, Instance, Ix},
    registry::VModelRecord,
};

impl Mesh {
    /// A vmodel; `None` = there is none.
    pub fn show_vmodel(&self, id: &str) -> Option<VModel> {
        self.view.vmodel(id).map(|record| shown(id, &record))
    }

    /// At most `limit` vmodels with an id after `after`, in order of id.
    pub fn show_vmodels(&self, after: &str, limit: usize) -> Vec<VModel> {
        let ids = self.list_vmodels(after, limit);
        ids.iter().filter_map(|id| self.show_vmodel(id)).collect()
    }

    /// Who lives, and who leads.
    pub fn show_instances(&self) -> ListInstancesResponse {
        let leader = self.state.lock().books.leader().map(str::to_owned);
        let leader = leader.unwrap_or_default().trim_start_matches('_').to_owned();
        ListInstancesResponse {
            instances: self
                .view
                .fleet()
                .iter()
                .map(|(_, one)| shown_instance(one))
                .collect(),
            leader,
        }
    }

    pub(super) fn show_copies(&self, entry: &Entry) -> (Vec<Copy>, Vec<Copy>) {
        let state = self.state.lock();
        let copy = |ix: Ix, since_ms: u64| Copy {
            instance: state
                .books
                .names
                .id(ix)
                .map(ToString::to_string)
                .unwrap_or_default(),
            since_ms,
        };
        let copies = entry
            .copies
            .iter()
            .map(|held| copy(held.instance, held.since_ms))
            .collect();
        let expiry = self.options.failure_expiry.as_millis();
        let expiry = u64::try_from(expiry).unwrap_or(u64::MAX);
        let model = entry.model();
        let failures = model.fresh_failures(expiry, now_ms());
        (
            copies,
            failures
                .map(|failure| copy(failure.instance, failure.at_ms))
                .collect(),
        )
    }

    /// Where a request for this name would go now; `None` = there is no such name.
    pub fn explain(&self, name: &str) -> Option<ExplainResponse> {
        let found = self.resolve(name, Kind::Either)?;
        let entry = self.view.entry(&found.id)?;
        let Some(cluster) = &self.cluster else {
            let here = self.cache.copy(&found.id);
            let decision = match here.map(|copy| copy.state) {
                Some(crate::cache::CopyState::Loaded) => "the copy here serves it",
                _ => "it is loaded here, and served",
            };
            return Some(ExplainResponse {
                model_id: found.id.to_string(),
                decision: decision.to_owned(),
                places: Vec::new(),
            });
        };
        let (own, in_flight) = self.own(&found.id);
        let decision = self.decide(cluster, &entry, own, in_flight, &Hop::of_client(false));
        let fleet = self.view.fleet();
        let places = fleet.iter().map(|(ix, instance)| ShownPlace {
            instance: instance.id.to_string(),
            note: note(&fleet, &entry, ix, instance),
        });
        Some(ExplainResponse {
            model_id: found.id.to_string(),
            decision: self.in_words(decision),
            places: places.collect(),
        })
    }

    fn in_words(&self, decision: Decision) -> String {
        let name = |ix: Ix| {
            self.name_of(ix)
                .unwrap_or_else(|| "an instance that is gone".to_owned())
        };
        match decision {
            Decision::Here => "the copy here serves it, as soon as it is loaded".to_owned(),
            Decision::LoadHere => "it is loaded here, and served".to_owned(),
            Decision::Hit(ix) => format!("the copy on {} serves it", name(ix)),
            Decision::LoadAt(ix) => format!("it is loaded on {}, and served there", name(ix)),
            Decision::Refuse(why) => format!("it is refused: {why:?}"),
        }
    }
}

fn shown(id: &str, record: &VModelRecord) -> VModel {
    VModel {
        vmodel_id: id.to_owned(),
        active_model_id: record.active.to_string(),
        target_model_id: record.target.to_string(),
        owner: record.owner.to_string(),
        error: record.failed.as_deref().unwrap_or_default().to_owned(),
        weights: record
            .weights
            .iter()
            .map(|weight| Weight {
                model_id: weight.model.to_string(),
                percent: weight.percent.into(),
            })
            .collect(),
        sticky_header: record.sticky.to_string(),
        history: record
            .history
            .iter()
            .map(|former| Former {
                model_id: former.model.to_string(),
                until_ms: former.until,
            })
            .collect(),
    }
}

pub(super) fn shown_instance(one: &Instance) -> ShownInstance {
    ShownInstance {
        id: one.id.to_string(),
        location: one.location.to_string(),
        zone: one.zone.to_string(),
        labels: one.labels.iter().map(ToString::to_string).collect(),
        peer: one.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        start_ms: one.start_ms,
        models: one.models,
        capacity_bytes: one.capacity,
        used_bytes: one.used,
        loading: one.loading,
        requests_per_minute: one.rpm,
        oldest_use_ms: if one.lru_ms == u64::MAX { 0 } else { one.lru_ms },
        leaving: one.shutting_down,
    }
}

/// What an instance is to a model, in words.
fn note(fleet: &Fleet, entry: &Entry, ix: Ix, instance: &Instance) -> String {
    let age = |at: u64| {
        let seconds = now_ms().saturating_sub(at) / 1000;
        humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
    };
    let model = entry.model();
    if let Some(copy) = model.copies.iter().find(|copy| copy.instance == ix) {
        return format!("has a copy, loaded or loading since {}", age(copy.since_ms));
    }
    let mut notes = Vec::new();
    if let Some(failure) = model.failures.iter().find(|failure| failure.instance == ix) {
        notes.push(format!("the load failed {} ago", age(failure.at_ms)));
    }
    if instance.shutting_down {
        notes.push("leaving".to_owned());
    }
    let lacking = fleet.constraints().required(model.kind).iter();
    let lacking: Vec<&str> = lacking
        .filter(|label| !instance.has_label(label))
        .map(|label| &**label)
        .collect();
    if !lacking.is_empty() {
        notes.push(format!("lacks label {}", lacking.join(", ")));
    }
    if model.pinned.iter().any(|pin| pin.matches(instance)) {
        notes.push("the model is pinned here".to_owned());
    }
    let (free, capacity) = (instance.free() >> 20, instance.capacity >> 20);
    notes.push(match instance.lru_ms {
        u64::MAX => format!("{free} of {capacity} MiB free"),
        lru => format!("{free} of {capacity} MiB free, oldest use {} ago", age(lru)),
    });
    notes.join("; ")
}
