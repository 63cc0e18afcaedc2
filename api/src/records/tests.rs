use std::collections::BTreeMap;

use serde_json::json;

use super::*;

/// Reads, compares with what is written again, and returns the record.
fn round_trip<T: Record + fmt::Debug + PartialEq>(text: &str) -> T {
    let record = T::parse("some/key", text.as_bytes()).unwrap();
    let written: Value = serde_json::from_slice(&record.to_bytes()).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(T::parse("some/key", &record.to_bytes()).unwrap(), record);
    record
}

#[test]
fn models_as_modelmesh_writes_them() {
    let record: ModelRecord = round_trip(
        r#"{"type":"rt:mlserver","encKey":"{\"storage_key\":\"s3\"}","mPath":"sklearn/mnist.joblib",
            "instanceIds":{"6c7f9d-abcde":1763000000000},"failedIn":{"6c7f9d-fghij":1763000001000},
            "fails":{"6c7f9d-fghij":{"msg":"out of memory"}},"refs":2,"autoDel":true,"lu":1763000002000,"lul":5}"#,
    );
    assert_eq!(record.kind(), "rt:mlserver");
    assert_eq!(record.instances["6c7f9d-abcde"], 1_763_000_000_000);
    assert_eq!(record.failed["6c7f9d-fghij"], 1_763_000_001_000);
    assert_eq!(record.failures["6c7f9d-fghij"].message, "out of memory");
    assert_eq!((record.refs, record.auto_delete), (2, true));
    assert_eq!((record.last_used, record.last_unloaded), (1_763_000_002_000, 5));
    assert_eq!(round_trip::<ModelRecord>("{}").kind(), "NLCLASSIFIER");
}

#[test]
fn vmodels_as_modelmesh_writes_them() {
    let record: VModelRecord = round_trip(r#"{"o":"ksp","amid":"m-1","tmid":"m-2","failed":true}"#);
    assert_eq!((&*record.owner, record.failed), ("ksp", true));
    assert_eq!((&*record.active, &*record.target), ("m-1", "m-2"));
}

#[test]
fn instances_as_modelmesh_writes_them() {
    let record: InstanceRecord = round_trip(
        r#"{"startTime":1763000000000,"vers":7,"loc":"10.0.0.1","zone":"a","labels":["mt:onnx","rt:x"],
            "lruTime":9223372036854775807,"count":3,"cap":121472,"used":6400,"lThreads":6,"lInProg":1,"rpm":250,
            "shutdown":true,"actionable":true}"#,
    );
    assert_eq!(record.oldest(), None);
    assert_eq!(record.capacity * UNIT, 949 << 20);
    assert_eq!((record.loading_threads, record.loading, record.rpm), (6, 1, 250));
    assert!(record.shutting_down && record.actionable);
    let record: InstanceRecord = round_trip(r#"{"lruTime":1763000000000}"#);
    assert_eq!(record.oldest(), Some(1_763_000_000_000));
}

#[test]
fn nothing_is_written_for_what_is_empty() {
    for bytes in [
        ModelRecord::default().to_bytes(),
        VModelRecord::default().to_bytes(),
        InstanceRecord::default().to_bytes(),
    ] {
        assert_eq!(bytes, b"{}");
    }
}

#[test]
fn our_own_fields_are_in_one_object() {
    let record: ModelRecord =
        round_trip(r#"{"type":"onnx","stowage":{"min":1,"max":4,"pinned":["zone-a"],"size":1024}}"#);
    assert_eq!((record.extra.min, record.extra.max), (1, 4));
    assert_eq!(record.extra.size, Some(1024));
    let record: VModelRecord = round_trip(
        r#"{"amid":"a","stowage":{"weights":[{"m":"a","p":90},{"m":"b","p":10}],"sticky":"x-user",
            "history":[{"m":"old","at":17}],"error":"no such file"}}"#,
    );
    assert_eq!(record.extra.weights[1].percent, 10);
    assert_eq!(record.extra.history[0].model, "old");
    let record: InstanceRecord =
        round_trip(r#"{"stowage":{"peer":"10.0.0.2:8080","proto":1,"inflight":9,"loadMs":350}}"#);
    assert_eq!((&*record.extra.peer, record.extra.proto), ("10.0.0.2:8080", 1));
}

#[test]
fn unknown_fields_survive_at_every_level() {
    let model: ModelRecord = round_trip(
        r#"{"type":"onnx","later":{"a":[1,null,{"b":0}]},"fails":{"i":{"msg":"m","stack":""}},
            "stowage":{"min":1,"tier":"gold"}}"#,
    );
    assert_eq!(model.unknown.0["later"], json!({"a": [1, null, {"b": 0}]}));
    round_trip::<VModelRecord>(
        r#"{"x":null,"stowage":{"y":1,"weights":[{"m":"a","z":2}],"history":[{"v":3}]}}"#,
    );
    round_trip::<InstanceRecord>(r#"{"kubelet":"1.33","stowage":{"gpu":true}}"#);
    // Numbers of others keep all their digits.
    round_trip::<InstanceRecord>(r#"{"big":18446744073709551615,"small":-9223372036854775808}"#);
}

#[test]
fn reading_forgives_what_jackson_forgives() {
    let record = ModelRecord::parse(
        "registry/m",
        br#"{"type":null,"mPath":7,"instanceIds":{"a":"12","b":null,"c":3.9},"failedIn":null,"fails":null,
            "refs":-1,"autoDel":"true","lu":"","lul":1e3,"lul":9,"stowage":null}"#,
    )
    .unwrap();
    assert_eq!(record.kind(), "NLCLASSIFIER");
    assert_eq!((&*record.path, record.refs), ("7", 0));
    assert_eq!(
        record.instances,
        BTreeMap::from([("a".into(), 12), ("c".into(), 3)])
    );
    assert!(record.auto_delete && record.failed.is_empty() && record.failures.is_empty());
    assert_eq!(
        (record.last_used, record.last_unloaded),
        (0, 9),
        "the last one counts"
    );
    let record =
        InstanceRecord::parse("k", br#"{"count":99999999999,"shutdown":0,"labels":["a",null]}"#).unwrap();
    assert_eq!((record.count, record.shutting_down), (u32::MAX, false));
    assert_eq!(record.labels, ["a"]);
}

#[test]
fn what_cannot_be_read_is_named_but_not_shown() {
    for (value, reason) in [
        (&b"s3cret"[..], "no JSON: line 1, column 1"),
        (br#"{"encKey":"s3cret"#, "no JSON: line 1, column 17"),
        (b"\xff", "no JSON: line 1, column 1"),
        (b"", "no JSON: line 1, column 0"),
        (br#""s3cret""#, "a text, not an object"),
        (b"[1]", "a list, not an object"),
        (
            br#"{"encKey":{"s3cret":1}}"#,
            "not readable: field `encKey`: an object where a text belongs",
        ),
        (
            br#"{"lu":1,"refs":"s3cret"}"#,
            "not readable: field `refs`: a text where a number belongs",
        ),
        (
            br#"{"instanceIds":["s3cret"]}"#,
            "not readable: field `instanceIds`: a list where an object belongs",
        ),
        (
            br#"{"fails":"s3cret"}"#,
            "not readable: field `fails`: a text where an object or a list belongs",
        ),
    ] {
        let err = ModelRecord::parse("registry/m", value).unwrap_err();
        assert_eq!(
            err.to_string(),
            format!("the record at \"registry/m\" is {reason}"),
            "{value:?}"
        );
    }
}

#[test]
fn keys_of_models_are_not_shown() {
    let record = ModelRecord::parse("registry/m", br#"{"encKey":"s3cret","later":"s3cret"}"#).unwrap();
    let shown = format!("{record:?}");
    assert!(!shown.contains("s3cret") && shown.contains("later"), "{shown}");
}
