use proptest::prelude::*;
use prost::Message as _;

use super::*;
use api::inference::{ModelInferRequest, RepositoryModelLoadRequest};

fn path(fields: &[u32]) -> FieldPath {
    FieldPath::new(fields).expect("a valid path")
}

fn get(fields: &[u32], message: &[u8]) -> Option<String> {
    match locate(&path(fields), message, message.len()).expect("valid message") {
        Located::At(site) => text(&site, message).expect("utf-8").map(str::to_owned),
        Located::Incomplete => panic!("the message is complete"),
    }
}

fn put(fields: &[u32], message: &[u8], id: &str) -> Vec<u8> {
    let path = path(fields);
    let Located::At(site) = locate(&path, message, message.len()).expect("valid") else {
        panic!("complete")
    };
    match splice(&path, &site, message, message.len(), id).expect("spliced") {
        None => message.to_vec(),
        Some(spliced) => {
            let new = [&spliced.head[..], &message[spliced.replaced..]].concat();
            assert_eq!(new.len(), spliced.total, "the announced length is the real one");
            new
        }
    }
}

/// `field` of wire type 2 with `content`.
fn delimited(field: u32, content: &[u8]) -> Vec<u8> {
    wrap(&[field], "")
        .slice(..wrap(&[field], "").len() - 1)
        .iter()
        .copied()
        .chain(length(content.len()))
        .chain(content.iter().copied())
        .collect()
}

fn length(n: usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_varint(&mut out, n as u64);
    out.to_vec()
}

#[test]
fn paths_are_checked() {
    assert!(FieldPath::new(&[]).is_none());
    assert!(FieldPath::new(&[0]).is_none());
    assert!(FieldPath::new(&[1 << 29]).is_none());
    assert!(FieldPath::new(&[1; MAX_DEPTH + 1]).is_none());
    assert!(FieldPath::new(&[1; MAX_DEPTH]).is_some());
}

#[test]
fn the_first_occurrence_wins() {
    let message = [
        delimited(3, b"other"),
        delimited(1, b"first"),
        delimited(1, b"second"),
    ]
    .concat();
    assert_eq!(get(&[1], &message).as_deref(), Some("first"));
}

#[test]
fn nested_and_absent() {
    let inner = [delimited(9, b"x"), delimited(2, b"deep")].concat();
    let message = [
        vec![0x08, 0x96, 0x01],
        delimited(4, &inner),
        delimited(7, b"tail"),
    ]
    .concat();
    assert_eq!(get(&[4, 2], &message).as_deref(), Some("deep"));
    assert_eq!(get(&[4, 3], &message), None);
    assert_eq!(get(&[5, 1, 1], &message), None);
    assert_eq!(get(&[1], &[]), None);
}

#[test]
fn splicing_fixes_lengths_and_creates_parents() {
    let long = "m".repeat(300);
    let inner = [delimited(9, b"x"), delimited(2, b"deep"), delimited(8, b"y")].concat();
    let message = [delimited(4, &inner), delimited(7, b"tail")].concat();
    let new = put(&[4, 2], &message, &long);
    let want = [
        delimited(9, b"x"),
        delimited(2, long.as_bytes()),
        delimited(8, b"y"),
    ]
    .concat();
    assert_eq!(new, [delimited(4, &want), delimited(7, b"tail")].concat());
    // The string is missing: it goes to the end of its parent.
    let new = put(&[4, 3], &message, "id");
    let want = [inner.clone(), delimited(3, b"id")].concat();
    assert_eq!(new, [delimited(4, &want), delimited(7, b"tail")].concat());
    // The parents are missing too.
    let new = put(&[5, 6, 1], &message, "id");
    assert_eq!(
        new,
        [message.clone(), delimited(5, &delimited(6, &delimited(1, b"id")))].concat()
    );
    assert_eq!(put(&[1], &[], "id"), delimited(1, b"id"));
    assert_eq!(put(&[1], &delimited(1, b""), "id"), delimited(1, b"id"));
    // Equal content is left alone, and so is a shrinking length's neighborhood.
    assert_eq!(put(&[4, 2], &message, "deep"), message);
    assert_eq!(put(&[1], &delimited(1, long.as_bytes()), "a"), delimited(1, b"a"));
}

#[test]
fn malformed_messages_are_refused() {
    for bad in [
        &[0x0a, 0x05, b'a'][..], // longer than the message
        &[0x0a][..],             // length missing
        &[0x80][..],             // tag cut off
        &[0x13, 0x14][..],       // group
        &[0x11, 1, 2][..],       // fixed64 cut off
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..], // varint over 64 bits
        &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..], // absurd length
    ] {
        assert_eq!(
            locate(&path(&[1]), bad, bad.len()),
            Err(PathError::Malformed),
            "{bad:?}"
        );
    }
    // A tag of an embedded message may not reach beyond its end, whatever stands there.
    let crossing = [0x0a, 1, 0x95, 0];
    for arrived in 3..=4 {
        let nested = locate(&path(&[1, 2]), &crossing[..arrived], 4);
        assert_eq!(nested, Err(PathError::Malformed), "{arrived} bytes");
    }
    assert_eq!(locate(&path(&[1]), &[0x08, 1], 2), Err(PathError::NotAString));
    let not_utf8 = delimited(1, &[0xff]);
    let Ok(Located::At(site)) = locate(&path(&[1]), &not_utf8, 3) else {
        panic!("located")
    };
    assert_eq!(text(&site, &not_utf8), Err(PathError::NotUtf8));
}

proptest! {
    #[test]
    fn agrees_with_prost(name in ".{0,200}", version in ".{0,20}", id in ".{0,300}", raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut request = ModelInferRequest { model_name: name.clone(), model_version: version, raw_input_contents: vec![raw.into()], ..Default::default() };
        let message = request.encode_to_vec();
        prop_assert_eq!(get(&[1], &message).unwrap_or_default(), name);
        let new = put(&[1], &message, &id);
        request.model_name = id;
        prop_assert_eq!(ModelInferRequest::decode(&new[..]).expect("decodes"), request);
    }

    #[test]
    fn every_prefix_gives_the_same_answer_or_asks_for_more(name in ".{1,40}", repository in ".{0,40}") {
        let message = RepositoryModelLoadRequest { repository_name: repository, model_name: name, ..Default::default() }.encode_to_vec();
        let whole = locate(&path(&[2]), &message, message.len()).expect("valid");
        for cut in 0..message.len() {
            match locate(&path(&[2]), &message[..cut], message.len()).expect("valid") {
                Located::Incomplete => {}
                at @ Located::At(_) => prop_assert_eq!(&at, &whole),
            }
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), fields in proptest::collection::vec(1_u32..5, 1..4), extra in 0_usize..32, id in ".{0,20}") {
        let path = path(&fields);
        if let Ok(Located::At(site)) = locate(&path, &bytes, bytes.len() + extra)
            && let Ok(Some(spliced)) = splice(&path, &site, &bytes, bytes.len() + extra, &id)
        {
            prop_assert!(spliced.replaced <= bytes.len() + extra);
        }
    }
}
