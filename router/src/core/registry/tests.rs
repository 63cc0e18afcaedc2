use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    Change, Limits, ModelRecord, Presence, Registration, Registry, RegistryError, SetVModel, VModelId,
    VModelRecord, check_name,
};
use crate::model::{ModelId, ModelSpec};

const NOW: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;

fn registry() -> Registry {
    Registry::new(
        Limits {
            max_models: 100,
            max_vmodels: 100,
        },
        "",
    )
}

fn spec(kind: &str) -> ModelSpec {
    ModelSpec {
        kind: kind.into(),
        path: "p".into(),
        key: "secret".into(),
    }
}

fn set(id: &str, target: &str) -> SetVModel {
    SetVModel {
        id: id.into(),
        target: target.into(),
        spec: Some(spec("t")),
        owner: String::new(),
        expected_target: String::new(),
        update_only: false,
        auto_delete: true,
        force: false,
        load_now: false,
    }
}

fn absent(_: &ModelId) -> Presence {
    Presence::Absent
}

fn loading(_: &ModelId) -> Presence {
    Presence::Loading
}

impl Registry {
    fn add(&mut self, id: &str, registration: Registration) -> Result<bool, RegistryError> {
        Ok(self
            .register(&id.into(), spec("t"), registration, NOW, &mut Vec::new())?
            .created)
    }

    fn put(&mut self, set: SetVModel, presence: fn(&ModelId) -> Presence) -> Result<bool, RegistryError> {
        Ok(self.set_vmodel(set, presence, NOW, &mut Vec::new())?.begun)
    }

    fn pointers_of(&self, id: &str) -> (String, String) {
        let record = self.vmodel(id).unwrap();
        (record.active.to_string(), record.target.to_string())
    }
}

#[test]
fn register_is_idempotent_and_tells_what_differs_without_the_value() {
    let mut registry = registry();
    assert_eq!(registry.add("m", Registration::default()), Ok(true));
    assert_eq!(registry.add("m", Registration::default()), Ok(false));
    let other = [
        (
            "type",
            ModelSpec {
                kind: "u".into(),
                ..spec("t")
            },
        ),
        (
            "path",
            ModelSpec {
                path: String::new(),
                ..spec("t")
            },
        ),
        (
            "key",
            ModelSpec {
                key: "other".into(),
                ..spec("t")
            },
        ),
    ];
    for (field, other) in other {
        let err = registry.register(&"m".into(), other, Registration::default(), NOW, &mut Vec::new());
        let err = err.unwrap_err();
        assert_eq!(
            err,
            RegistryError::ModelExists {
                id: "m".into(),
                field
            }
        );
        assert!(!err.to_string().contains("secret") && !err.to_string().contains("other"));
    }
    assert_eq!(registry.models(), 1);
}

#[test]
fn last_used_follows_the_rules() {
    let registered = |registration: Registration| {
        let mut registry = registry();
        registry.add("m", registration).unwrap();
        registry.model("m").unwrap().last_used
    };
    assert_eq!(
        registered(Registration {
            load_now: false,
            last_used: 0
        }),
        NOW - 6 * HOUR
    );
    assert_eq!(
        registered(Registration {
            load_now: true,
            last_used: 0
        }),
        NOW - HOUR
    );
    assert_eq!(
        registered(Registration {
            load_now: false,
            last_used: 5
        }),
        5
    );
    assert_eq!(
        registered(Registration {
            load_now: false,
            last_used: NOW + 5
        }),
        NOW
    );

    let again = |registration: Registration| {
        let mut registry = registry();
        registry
            .add(
                "m",
                Registration {
                    load_now: false,
                    last_used: NOW - 3 * HOUR,
                },
            )
            .unwrap();
        registry.add("m", registration).unwrap();
        registry.model("m").unwrap().last_used
    };
    // Without loading: only a use that is more than an hour newer counts.
    assert_eq!(
        again(Registration {
            load_now: false,
            last_used: NOW - 2 * HOUR
        }),
        NOW - 3 * HOUR
    );
    assert_eq!(
        again(Registration {
            load_now: false,
            last_used: NOW - 2 * HOUR + 1
        }),
        NOW - 2 * HOUR + 1
    );
    assert_eq!(
        again(Registration {
            load_now: false,
            last_used: 0
        }),
        NOW - 3 * HOUR
    );
    assert_eq!(
        again(Registration {
            load_now: true,
            last_used: 0
        }),
        NOW - HOUR
    );
    assert_eq!(
        again(Registration {
            load_now: true,
            last_used: 7
        }),
        NOW - 3 * HOUR
    );
}

#[test]
fn names_and_attributes_are_checked() {
    assert_eq!(check_name("modelId", "a/b c:\u{e9}"), Ok(()));
    assert_eq!(
        check_name("modelId", ""),
        Err(RegistryError::Empty { field: "modelId" })
    );
    assert_eq!(
        check_name("modelId", "a\nb").unwrap_err().to_string(),
        r"modelId must not contain control characters, found '\n' at byte 1"
    );
    let long = "x".repeat(ModelId::MAX_LEN + 1);
    assert_eq!(
        check_name("vModelId", &long).unwrap_err().to_string(),
        "vModelId has 1025 bytes, at most 1024 are allowed"
    );
    assert_eq!(check_name("vModelId", &long[1..]), Ok(()));
    let mut registry = registry();
    let mut register = |spec| {
        let changes = &mut Vec::new();
        let err = registry
            .register(&"m".into(), spec, Registration::default(), NOW, changes)
            .unwrap_err();
        err.to_string()
    };
    assert_eq!(
        register(ModelSpec::default()),
        "must provide non-empty modelInfo.type"
    );
    let key = "k".repeat(65 * 1024);
    let message = register(ModelSpec {
        kind: "t".into(),
        path: String::new(),
        key,
    });
    assert_eq!(
        message,
        "modelInfo.key has 66560 bytes, at most 65536 are allowed"
    );
}

#[test]
fn limits_hold_and_what_exists_stays_usable() {
    let mut registry = Registry::new(
        Limits {
            max_models: 2,
            max_vmodels: 1,
        },
        "",
    );
    registry.add("a", Registration::default()).unwrap();
    registry.put(set("v", "b"), absent).unwrap();
    let full = RegistryError::Full {
        what: "models",
        max: 2,
    };
    assert_eq!(registry.add("c", Registration::default()).unwrap_err(), full);
    assert_eq!(registry.put(set("v", "c"), absent).unwrap_err(), full);
    let full = RegistryError::Full {
        what: "vmodels",
        max: 1,
    };
    assert_eq!(registry.put(set("w", "a"), absent).unwrap_err(), full);
    assert_eq!(registry.pointers_of("v"), ("b".into(), "b".into()));
    assert_eq!(registry.add("a", Registration::default()), Ok(false));
    registry.put(set("v", "a"), absent).unwrap();
    assert_eq!(
        registry.add("c", Registration::default()),
        Ok(true),
        "b was auto-deleted"
    );
}

#[test]
fn a_referenced_model_cannot_be_removed() {
    let mut registry = registry();
    registry.put(set("v", "m"), absent).unwrap();
    let err = registry.unregister("m", &mut Vec::new()).unwrap_err();
    assert_eq!(err.to_string(), "Model m has referents");
    assert_eq!(registry.unregister("unknown", &mut Vec::new()), Ok(()));
    registry.delete_vmodel("v", "", &mut Vec::new()).unwrap();
    assert!(
        registry.model("m").is_none(),
        "auto-deleted with its last reference"
    );
}

#[test]
fn switches_at_once_only_when_that_is_safe_or_forced() {
    let check = |presence: fn(&ModelId) -> Presence, force: bool, expected: (&str, bool)| {
        let mut registry = registry();
        registry.put(set("v", "a"), presence).unwrap();
        let begun = registry
            .put(
                SetVModel {
                    force,
                    ..set("v", "b")
                },
                presence,
            )
            .unwrap();
        assert_eq!(registry.pointers_of("v"), (expected.0.into(), "b".into()));
        assert_eq!(begun, expected.1);
        assert_eq!(registry.model("a").is_some(), expected.0 == "a");
    };
    check(absent, false, ("b", false));
    check(loading, false, ("a", true));
    check(loading, true, ("b", false));
    check(|_| Presence::Loaded, false, ("b", false));
    check(
        |id| {
            if &**id == "a" {
                Presence::Loaded
            } else {
                Presence::Absent
            }
        },
        false,
        ("a", true),
    );
}

#[test]
fn a_transition_ends_once_or_fails_and_begins_anew() {
    let mut registry = registry();
    registry.put(set("v", "a"), loading).unwrap();
    assert!(registry.put(set("v", "b"), loading).unwrap());
    let id = VModelId::from("v");
    let first = registry.vmodel("v").unwrap().transition();
    assert!(!registry.put(set("v", "b"), loading).unwrap(), "it goes on");
    assert!(registry.fail(&id, first, "no luck", &mut Vec::new()));
    assert_eq!(registry.vmodel("v").unwrap().failed.as_deref(), Some("no luck"));
    assert_eq!(registry.pointers_of("v"), ("a".into(), "b".into()));
    assert!(registry.put(set("v", "b"), loading).unwrap(), "it begins anew");
    let second = registry.vmodel("v").unwrap().transition();
    assert!(registry.vmodel("v").unwrap().failed.is_none());
    assert!(
        !registry.finish(&id, first, NOW, &mut Vec::new()),
        "the first one is over"
    );
    assert!(registry.finish(&id, second, NOW, &mut Vec::new()));
    assert_eq!(registry.pointers_of("v"), ("b".into(), "b".into()));
    assert!(!registry.finish(&id, second, NOW, &mut Vec::new()));
    assert!(registry.model("a").is_none());
}

#[test]
fn rolling_back_and_forcing_twice_leak_no_reference() {
    let mut registry = registry();
    registry.put(set("v", "a"), loading).unwrap();
    registry.put(set("v", "b"), loading).unwrap();
    registry.put(set("v", "a"), loading).unwrap();
    assert_eq!(registry.model("a").unwrap().refs, 1);
    assert!(registry.model("b").is_none());
    for _ in 0..2 {
        registry
            .put(
                SetVModel {
                    force: true,
                    ..set("v", "a")
                },
                loading,
            )
            .unwrap();
    }
    assert_eq!(registry.model("a").unwrap().refs, 1);
    registry.delete_vmodel("v", "", &mut Vec::new()).unwrap();
    assert_eq!(registry.models(), 0);
}

#[test]
fn preconditions() {
    let mut registry = registry();
    let mut put = |set: SetVModel| registry.put(set, absent).map_err(|err| err.to_string());
    let no_spec = |set: SetVModel| SetVModel { spec: None, ..set };
    let expect = |expected: &str, set: SetVModel| SetVModel {
        expected_target: expected.into(),
        ..set
    };
    let own = |owner: &str, set: SetVModel| SetVModel {
        owner: owner.into(),
        ..set
    };
    assert_eq!(put(set("", "m")), Err("must provide non-empty vModelId".into()));
    assert_eq!(
        put(set("v", "")),
        Err("must provide non-empty targetModelId".into())
    );
    assert_eq!(
        put(no_spec(set("v", "m"))),
        Err("target model m not found; register it first or give modelInfo".into())
    );
    assert_eq!(
        put(SetVModel {
            update_only: true,
            ..set("v", "m")
        }),
        Err("vmodel v not found, and updateOnly is set".into())
    );
    assert_eq!(
        put(expect("n", set("v", "m"))),
        Err("vmodel v not found, and expectedTargetModelId is another model than targetModelId".into())
    );
    assert_eq!(
        put(SetVModel {
            spec: Some(ModelSpec::default()),
            ..set("v", "m")
        }),
        Err("must provide non-empty modelInfo.type".into())
    );
    assert_eq!(put(own("me", expect("m", set("v", "m")))), Ok(false));
    assert_eq!(
        put(SetVModel {
            spec: Some(spec("other")),
            ..set("v", "m")
        }),
        Err("model m already exists with a different type".into())
    );
    assert_eq!(put(no_spec(set("v", "m"))), Ok(false));
    assert_eq!(
        put(own("you", set("v", "m"))),
        Err(r#"vmodel v already exists with different owner "me""#.into())
    );
    assert_eq!(
        put(expect("x", set("v", "n"))),
        Err("vmodel v has target model m, expected x".into())
    );
    assert_eq!(
        put(expect("x", set("v", "m"))),
        Ok(false),
        "no change is always as expected"
    );
    assert_eq!(put(own("me", expect("m", set("v", "n")))), Ok(false));
    registry.delete_vmodel("v", "you", &mut Vec::new()).unwrap();
    registry.delete_vmodel("w", "me", &mut Vec::new()).unwrap();
    assert_eq!(registry.vmodels(), 1);
    registry.delete_vmodel("v", "me", &mut Vec::new()).unwrap();
    assert_eq!((registry.vmodels(), registry.models()), (0, 0));
    let err = registry.delete_vmodel("", "", &mut Vec::new()).unwrap_err();
    assert_eq!(err, RegistryError::Empty { field: "vModelId" });
}

#[test]
fn the_default_owner_owns_what_nobody_claims() {
    let mut registry = Registry::new(
        Limits {
            max_models: 9,
            max_vmodels: 9,
        },
        "ksp",
    );
    registry.put(set("v", "m"), absent).unwrap();
    registry
        .put(
            SetVModel {
                owner: "me".into(),
                ..set("w", "m")
            },
            absent,
        )
        .unwrap();
    assert_eq!(&*registry.vmodel("v").unwrap().owner, "ksp");
    assert_eq!(&*registry.vmodel("w").unwrap().owner, "me");
}

/// Follows changes, and holds what a reader may see to "no pointer without a model".
#[derive(Default)]
struct View {
    models: BTreeMap<ModelId, ModelRecord>,
    vmodels: BTreeMap<VModelId, VModelRecord>,
}

impl View {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Model(id, Some(record)) => drop(self.models.insert(id, ModelRecord::clone(&record))),
                Change::Model(id, None) => drop(self.models.remove(&id)),
                Change::VModel(id, Some(r)) => drop(self.vmodels.insert(id, VModelRecord::clone(&r))),
                Change::VModel(id, None) => drop(self.vmodels.remove(&id)),
            }
            for (id, record) in &self.vmodels {
                assert!(
                    record.models().all(|model| self.models.contains_key(model)),
                    "{id} points nowhere"
                );
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Register(u8, bool),
    Unregister(u8),
    Set { set: SetVModel, presence: [u8; 4] },
    Finish(u8, u64),
    Fail(u8, u64),
    Delete(u8, bool),
}

fn model(n: u8) -> String {
    format!("m{}", n % 4)
}

fn vmodel(n: u8) -> VModelId {
    VModelId::from(&*format!("v{}", n % 3))
}

fn presence_of(table: [u8; 4], id: &ModelId) -> Presence {
    match table[usize::from(id.as_bytes()[1] - b'0')] % 3 {
        0 => Presence::Absent,
        1 => Presence::Loading,
        _ => Presence::Loaded,
    }
}

fn ops() -> impl Strategy<Value = Op> {
    let set =
        (any::<(u8, u8, u8)>(), any::<[bool; 6]>(), any::<[u8; 4]>()).prop_map(|(ids, flags, presence)| {
            let [auto_delete, force, update_only, with_spec, owned, other_kind] = flags;
            let target = model(ids.1);
            let set = SetVModel {
                id: vmodel(ids.0),
                target: target.as_str().into(),
                spec: with_spec.then(|| spec(if other_kind && ids.2 == 0 { "u" } else { "t" })),
                owner: if owned { "me".into() } else { String::new() },
                expected_target: if ids.2 % 4 == 1 {
                    model(ids.2 / 4)
                } else {
                    String::new()
                },
                update_only,
                auto_delete,
                force: force && ids.2 % 2 == 0,
                load_now: false,
            };
            Op::Set { set, presence }
        });
    prop_oneof![
        2 => (any::<u8>(), any::<bool>()).prop_map(|(n, load)| Op::Register(n, load)),
        2 => any::<u8>().prop_map(Op::Unregister),
        6 => set,
        2 => (any::<u8>(), 0..2_u64).prop_map(|(n, age)| Op::Finish(n, age)),
        2 => (any::<u8>(), 0..2_u64).prop_map(|(n, age)| Op::Fail(n, age)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(n, owned)| Op::Delete(n, owned)),
    ]
}

/// Runs one operation; whether it was accepted.
fn run(registry: &mut Registry, op: Op, changes: &mut Vec<Change>) -> bool {
    let transition = |registry: &Registry, id: &VModelId, age: u64| {
        registry
            .vmodel(id)
            .map_or(0, |record| record.transition().saturating_sub(age))
    };
    match op {
        Op::Register(n, load_now) => {
            let registration = Registration {
                load_now,
                last_used: 0,
            };
            registry
                .register(&model(n).as_str().into(), spec("t"), registration, NOW, changes)
                .is_ok()
        }
        Op::Unregister(n) => registry.unregister(&model(n), changes).is_ok(),
        Op::Set { set, presence } => registry
            .set_vmodel(set, |id| presence_of(presence, id), NOW, changes)
            .is_ok(),
        Op::Finish(n, age) => {
            let transition = transition(registry, &vmodel(n), age);
            registry.finish(&vmodel(n), transition, NOW, changes)
        }
        Op::Fail(n, age) => {
            let transition = transition(registry, &vmodel(n), age);
            registry.fail(&vmodel(n), transition, "failed", changes)
        }
        Op::Delete(n, owned) => registry
            .delete_vmodel(&vmodel(n), if owned { "me" } else { "" }, changes)
            .is_ok(),
    }
}

fn references(registry: &Registry, id: &ModelId) -> usize {
    registry
        .vmodels
        .values()
        .filter(|r| r.active == *id || r.target == *id)
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn references_equal_pointers_under_any_order(ops in prop::collection::vec(ops(), 1..60)) {
        let mut registry = Registry::new(Limits { max_models: 3, max_vmodels: 2 }, "");
        let mut view = View::default();
        for op in ops {
            let before: BTreeMap<_, _> = registry.vmodels.clone();
            let referenced: Vec<_> =
                registry.models.keys().filter(|id| references(&registry, id) > 0).cloned().collect();
            let mut changes = Vec::new();
            let accepted = run(&mut registry, op.clone(), &mut changes);
            if !accepted {
                prop_assert!(changes.is_empty(), "refused, and yet {changes:?}");
            }
            view.apply(changes);
            prop_assert!(registry.models() <= 3 && registry.vmodels() <= 2);
            // A reader that follows the changes sees what the registry has.
            prop_assert!(view.models.keys().eq(registry.models.keys()));
            prop_assert!(view.vmodels.keys().eq(registry.vmodels.keys()));
            for (id, record) in &registry.models {
                let references = references(&registry, id);
                prop_assert_eq!(usize::try_from(record.refs).unwrap(), references, "references of {}", id);
                prop_assert_eq!(view.models[id].refs, record.refs);
                prop_assert!(!(record.auto_delete && record.refs == 0), "{} should be gone", id);
                let pairs = record.pointer.iter().chain(registry.more_pointers_to(id)).count();
                prop_assert_eq!(pairs, references);
            }
            for (id, record) in &registry.vmodels {
                prop_assert!(record.models().all(|model| registry.models.contains_key(model)));
                prop_assert_eq!(&view.vmodels[id].active, &record.active);
                prop_assert_eq!(&view.vmodels[id].target, &record.target);
                prop_assert!(record.failed.is_none() || record.in_transition());
                if let Some(before) = before.get(id) {
                    prop_assert_eq!(&before.owner, &record.owner);
                    check_switch(before, record, &op)?;
                }
            }
            if let Op::Unregister(n) = op {
                let id = ModelId::from(&*model(n));
                prop_assert_eq!(accepted, !referenced.contains(&id));
                prop_assert_eq!(registry.model(&id).is_some(), referenced.contains(&id));
            }
        }
    }
}

/// The active model changes only for a reason.
fn check_switch(before: &VModelRecord, after: &VModelRecord, op: &Op) -> Result<(), TestCaseError> {
    if before.active == after.active {
        return Ok(());
    }
    prop_assert_eq!(&after.active, &after.target);
    match op {
        Op::Set { set, presence } => prop_assert!(
            set.force
                || presence_of(*presence, &before.active) == Presence::Absent
                || presence_of(*presence, &after.active) == Presence::Loaded
        ),
        Op::Finish(..) => prop_assert_eq!(&before.target, &after.active),
        _ => prop_assert!(false, "{:?} moved the active model", op),
    }
    Ok(())
}
