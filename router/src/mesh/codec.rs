//! Between the store's records and what the registry, the view and the fleet make of them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use api::records::{
    Failure as FailureText, InstanceRecord, ModelRecord as Model, Record, RecordError, Switch, UNIT,
    VModelRecord as VModel, Weight as WeightRecord,
};

use crate::{
    core::{
        fleet::{Copy, Failure, Instance, Names, Pin},
        registry::{Former, LoadFailure, ModelRecord, Placed, VModelRecord, Weight, Wish},
    },
    model::{ModelId, ModelSpec},
    store,
};

use super::view;

/// A model's record as the view keeps it. `known` is what it has now: the same registration keeps its spec.
pub(super) fn entry(
    stored: &store::Entry,
    names: &mut Names,
    known: Option<&view::Entry>,
) -> Result<view::Entry, RecordError> {
    let record = Model::parse(&stored.key, &stored.value)?;
    let same = |known: &&view::Entry| known.created == stored.created && is_spec(&record, &known.spec);
    let spec = known.filter(same).map(|known| Arc::clone(&known.spec));
    let copies = record.instances.iter().map(|(id, since)| Copy {
        instance: names.number(id),
        since_ms: *since,
    });
    let copies = copies.collect();
    let failures = record.failed.iter().map(|(id, at)| Failure {
        instance: names.number(id),
        at_ms: *at,
    });
    let failures = failures.collect();
    let wish = view::Wish {
        min: record.extra.min,
        max: record.extra.max,
        pinned: record.extra.pinned.iter().map(|name| Pin::new(name)).collect(),
        size: record.extra.size.unwrap_or(0),
        last_unload: record.last_unloaded,
    };
    Ok(view::Entry {
        last_used: record.last_used,
        created: stored.created,
        copies,
        failures,
        wish: (wish != view::Wish::default()).then(|| Box::new(wish)),
        spec: spec.unwrap_or_else(|| Arc::new(spec_of(record))),
    })
}

fn is_spec(record: &Model, spec: &ModelSpec) -> bool {
    *record.kind() == *spec.kind && record.path == spec.path && record.key == spec.key
}

fn spec_of(record: Model) -> ModelSpec {
    ModelSpec {
        kind: record.kind().to_owned(),
        path: record.path,
        key: record.key,
    }
}

/// A model's record as the registry works on it.
pub(super) fn model(record: &Model) -> ModelRecord {
    let failures = record.failed.iter().map(|(id, at)| {
        let message = record.failures.get(id).map_or("", |failure| &failure.message);
        let failure = LoadFailure {
            at: *at,
            message: message.into(),
        };
        (id.as_str().into(), failure)
    });
    let mut model = ModelRecord::new(spec_of(record.clone()), record.auto_delete, record.last_used);
    model.refs = record.refs;
    model.placed = Placed {
        copies: record
            .instances
            .iter()
            .map(|(id, at)| (id.as_str().into(), *at))
            .collect(),
        failures: failures.collect(),
        last_unload: record.last_unloaded,
    };
    model.wish = Wish {
        min: record.extra.min,
        max: record.extra.max,
        pinned: record
            .extra
            .pinned
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        size: record.extra.size.unwrap_or(0),
    };
    model
}

/// The record to write; what is not known here comes from the one that was read.
pub(super) fn write_model(model: &ModelRecord, read: Option<Model>) -> Vec<u8> {
    let ModelRecord {
        spec,
        last_used,
        refs,
        auto_delete,
        placed,
        wish,
        ..
    } = model;
    let mut record = read.unwrap_or_default();
    let mut texts = std::mem::take(&mut record.failures);
    for (id, failure) in &placed.failures {
        let text = texts.remove(&**id).unwrap_or_default();
        let message = failure.message.to_string();
        record
            .failures
            .insert(id.to_string(), FailureText { message, ..text });
    }
    record.failed = placed
        .failures
        .iter()
        .map(|(id, failure)| (id.to_string(), failure.at))
        .collect();
    record.instances = placed
        .copies
        .iter()
        .map(|(id, at)| (id.to_string(), *at))
        .collect();
    // A type that the record leaves out stays out.
    if record.kind() != spec.kind {
        record.kind.clone_from(&spec.kind);
    }
    record.path.clone_from(&spec.path);
    record.key.clone_from(&spec.key);
    record.refs = *refs;
    record.auto_delete = *auto_delete;
    record.last_used = *last_used;
    record.last_unloaded = placed.last_unload;
    record.extra.min = wish.min;
    record.extra.max = wish.max;
    record.extra.pinned = wish.pinned.iter().map(ToString::to_string).collect();
    record.extra.size = (wish.size > 0).then_some(wish.size);
    record.to_bytes()
}

/// A vmodel's record.
pub(super) fn vmodel(record: &VModel) -> VModelRecord {
    let active = if record.active.is_empty() {
        &record.target
    } else {
        &record.active
    };
    let target = if record.target.is_empty() {
        active
    } else {
        &record.target
    };
    let failed = record.failed && active != target;
    let reason = match &*record.extra.error {
        "" => "the reason was not recorded",
        error => error,
    };
    let weights = record.extra.weights.iter().map(|weight| Weight {
        model: ModelId::from(&*weight.model),
        percent: u8::try_from(weight.percent.min(100)).unwrap_or(100),
    });
    let history = record.extra.history.iter().map(|switch| Former {
        model: ModelId::from(&*switch.model),
        until: switch.at,
        spec: (!switch.kind.is_empty()).then(|| {
            Arc::new(ModelSpec {
                kind: switch.kind.clone(),
                path: switch.path.clone(),
                key: switch.key.clone(),
            })
        }),
    });
    VModelRecord {
        active: ModelId::from(&**active),
        target: ModelId::from(&**target),
        owner: record.owner.as_str().into(),
        failed: failed.then(|| Arc::from(reason)),
        transition: record.extra.transition,
        weights: weights.collect(),
        sticky: record.extra.sticky.as_str().into(),
        history: history.collect(),
    }
}

/// The record to write; what is not known here comes from the one that was read.
pub(super) fn write_vmodel(vmodel: &VModelRecord, read: Option<VModel>) -> Vec<u8> {
    let VModelRecord {
        active,
        target,
        owner,
        failed,
        transition,
        weights,
        sticky,
        history,
    } = vmodel;
    let mut record = read.unwrap_or_default();
    let mut known: BTreeMap<String, WeightRecord> = std::mem::take(&mut record.extra.weights)
        .into_iter()
        .map(|weight| (weight.model.clone(), weight))
        .collect();
    record.owner = owner.to_string();
    record.active = active.to_string();
    record.target = target.to_string();
    record.failed = failed.is_some();
    failed
        .as_deref()
        .unwrap_or_default()
        .clone_into(&mut record.extra.error);
    record.extra.transition = *transition;
    record.extra.sticky = sticky.to_string();
    record.extra.weights = weights
        .iter()
        .map(|weight| WeightRecord {
            model: weight.model.to_string(),
            percent: weight.percent.into(),
            ..known.remove(weight.model.as_str()).unwrap_or_default()
        })
        .collect();
    record.extra.history = history.iter().map(switch).collect();
    record.to_bytes()
}

fn switch(former: &Former) -> Switch {
    let spec = former.spec.as_deref().cloned().unwrap_or_default();
    Switch {
        model: former.model.to_string(),
        at: former.until,
        kind: spec.kind,
        path: spec.path,
        key: spec.key,
        ..Switch::default()
    }
}

/// An instance's record.
pub(super) fn instance(id: &str, record: &InstanceRecord) -> Instance {
    Instance {
        id: id.into(),
        start_ms: record.start,
        version: record.version,
        location: record.location.as_str().into(),
        zone: record.zone.as_str().into(),
        labels: record.labels.iter().map(|label| label.as_str().into()).collect(),
        lru_ms: record.oldest().unwrap_or(u64::MAX),
        models: record.count,
        capacity: record.capacity.saturating_mul(UNIT),
        used: record.used.saturating_mul(UNIT),
        loading_threads: record.loading_threads,
        loading: record.loading,
        rpm: record.rpm,
        shutting_down: record.shutting_down,
        peer: record.extra.peer.parse::<SocketAddr>().ok(),
    }
}

/// What an instance publishes of itself.
pub(super) fn write_instance(instance: &Instance) -> Vec<u8> {
    let Instance {
        id: _,
        start_ms,
        version,
        location,
        zone,
        labels,
        lru_ms,
        models,
        capacity,
        used,
        loading_threads,
        loading,
        rpm,
        shutting_down,
        peer,
    } = instance;
    let mut record = InstanceRecord {
        start: *start_ms,
        version: *version,
        location: location.to_string(),
        zone: zone.to_string(),
        labels: labels.iter().map(ToString::to_string).collect(),
        lru: (*lru_ms).min(InstanceRecord::EMPTY),
        count: *models,
        capacity: capacity / UNIT,
        used: used.div_ceil(UNIT),
        loading_threads: *loading_threads,
        loading: *loading,
        rpm: *rpm,
        shutting_down: *shutting_down,
        ..InstanceRecord::default()
    };
    record.extra.peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
    record.extra.proto = u32::from(peer.is_some());
    record.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reread(json: &str) -> String {
        let read = Model::parse("registry/m", json.as_bytes()).unwrap();
        String::from_utf8(write_model(&model(&read), Some(read))).unwrap()
    }

    #[test]
    fn a_record_of_upstream_comes_back_as_it_was() {
        for json in [
            r#"{"type":"rt:triton","encKey":"{}","mPath":"p","instanceIds":{"i":5},"failedIn":{"j":7},"fails":{"j":{"msg":"no"}},"refs":1,"autoDel":true,"lu":3,"lul":4,"later":{"x":[1]}}"#,
            r#"{"mPath":"p"}"#,
        ] {
            let (before, after): (serde_json::Value, serde_json::Value) = (
                serde_json::from_str(json).unwrap(),
                serde_json::from_str(&reread(json)).unwrap(),
            );
            assert_eq!(before, after);
        }
        for json in [
            r#"{"o":"me","amid":"a","tmid":"b","failed":true,"stowage":{"error":"no luck","t":4},"new":1}"#,
            r#"{"amid":"a","tmid":"a","stowage":{"weights":[{"m":"c","p":10,"x":1}],"sticky":"x-user","t":9}}"#,
        ] {
            let read = VModel::parse("vmodels/v", json.as_bytes()).unwrap();
            let written = write_vmodel(&vmodel(&read), Some(read));
            let (before, after): (serde_json::Value, serde_json::Value) = (
                serde_json::from_str(json).unwrap(),
                serde_json::from_slice(&written).unwrap(),
            );
            assert_eq!(before, after);
        }
    }

    #[test]
    fn the_same_registration_keeps_its_spec() {
        let mut names = Names::default();
        let stored = |revision, created, json: &str| store::Entry {
            key: "registry/m".into(),
            value: json.as_bytes().to_vec().into(),
            revision,
            created,
        };
        let first = entry(&stored(5, 5, r#"{"type":"t","mPath":"p"}"#), &mut names, None).unwrap();
        let used = entry(
            &stored(6, 5, r#"{"type":"t","mPath":"p","lu":9}"#),
            &mut names,
            Some(&first),
        )
        .unwrap();
        assert!(Arc::ptr_eq(&first.spec, &used.spec) && used.last_used == 9);
        let again = entry(
            &stored(8, 8, r#"{"type":"t","mPath":"p"}"#),
            &mut names,
            Some(&used),
        )
        .unwrap();
        assert!(
            !Arc::ptr_eq(&used.spec, &again.spec),
            "removed and registered again"
        );
    }
}
