//! Any JSON as an object of each kind: defaulting applies, settles after one turn, as does filling in what the definition
//! has, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use webhook::{
    Kind, Mode, Operation, Options, Request, Snapshot, default, patch, schema::complete, validate,
};

fuzz_target!(|body: &[u8]| {
    let Ok(fields) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let snapshot = Snapshot::synced();
    for kind in Kind::ALL {
        // What identifies the object is right, so that its rules look at the rest.
        let mut object = fields.clone();
        if let Some(members) = object.as_object_mut() {
            members.insert("apiVersion".into(), kind.api_version().into());
            members.insert("kind".into(), kind.name().into());
            members.entry("metadata").or_insert_with(|| json!({"name": "x"}));
        }
        for mode in [Mode::Compat, Mode::Strict] {
            let options = Options {
                mode,
                ..Options::default()
            };
            check(kind, object.clone(), &snapshot, &options);
            let completed = completed(kind, object.clone());
            check(kind, completed, &snapshot, &options);
        }
    }
});

/// As the API server reads it; reading it again changes nothing.
fn completed(kind: Kind, mut object: Value) -> Value {
    complete(kind, &mut object);
    let once = object.clone();
    complete(kind, &mut object);
    assert_eq!(object, once);
    object
}

fn check(kind: Kind, mut object: Value, snapshot: &Snapshot, options: &Options) {
    let stored = object.clone();
    let defaulted = default(
        &request(kind, Operation::Create, &object, None),
        snapshot,
        options,
    );
    patch::apply(&mut object, &defaulted.patch).expect("the patch fits its object");
    let again = default(
        &request(kind, Operation::Create, &object, None),
        snapshot,
        options,
    );
    assert!(again.patch.is_empty(), "defaulting twice: {:?}", again.patch);
    // As a manifest that is applied again: what it says stands beside what is stored.
    let mut applied = object.clone();
    merge(&mut applied, &stored);
    let update = request(kind, Operation::Update, &applied, Some(&object));
    let updated = default(&update, snapshot, options);
    validate(&update, snapshot, options);
    patch::apply(&mut applied, &updated.patch).expect("the patch fits an update");

    validate(
        &request(kind, Operation::Create, &object, None),
        snapshot,
        options,
    );
    validate(
        &request(kind, Operation::Update, &object, Some(&stored)),
        snapshot,
        options,
    );
    validate(
        &request(kind, Operation::Delete, &object, Some(&stored)),
        snapshot,
        options,
    );
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn request<'a>(kind: Kind, operation: Operation, object: &'a Value, old: Option<&'a Value>) -> Request<'a> {
    Request {
        operation,
        kind,
        namespace: if kind.namespaced() { "x" } else { "" },
        name: "x",
        object: Some(object),
        old,
    }
}
