//! Finding and replacing the model id inside an encoded message: from every prefix, and so that the rest stays.
#![no_main]

use api::inference::ModelInferRequest;
use libfuzzer_sys::fuzz_target;
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, skip_field},
};
use router::wire::path::{FieldPath, Located, Site, locate, splice, text};

const PATHS: [&[u32]; 5] = [
    &[1],
    &[5, 1],
    &[4, 2, 3],
    &[16],
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
];

/// Every prefix says the same as the whole message, or asks for more.
fn check_prefixes(path: &FieldPath, message: &[u8]) {
    let whole = locate(path, message, message.len());
    assert_ne!(whole, Ok(Located::Incomplete));
    for end in 0..message.len().min(512) {
        let part = locate(path, &message[..end], message.len());
        assert!(
            part == Ok(Located::Incomplete) || part == whole,
            "{end} bytes: {part:?}, all: {whole:?}"
        );
    }
}

/// The message with `id` at `site`.
fn replaced(path: &FieldPath, site: &Site, message: &[u8], id: &str) -> Vec<u8> {
    // Only what the site needs has arrived: a splice must not look behind it.
    match splice(path, site, message, message.len(), id).expect("a located site can be spliced") {
        None => message.to_vec(),
        Some(spliced) => {
            let out = [&spliced.head, &message[spliced.replaced..]].concat();
            assert_eq!(out.len(), spliced.total);
            out
        }
    }
}

fn found<'a>(path: &FieldPath, message: &'a [u8]) -> Option<&'a str> {
    let Ok(Located::At(site)) = locate(path, message, message.len()) else {
        panic!("the message was readable before")
    };
    text(&site, message).expect("the id is UTF-8")
}

/// Whether fields are of the wire types that the schema says: prost takes any for a map.
fn well_typed(mut message: &[u8]) -> bool {
    while !message.is_empty() {
        let Ok((field, wire_type)) = decode_key(&mut message) else {
            return false;
        };
        let known = (1..=7).contains(&field);
        if known && wire_type != WireType::LengthDelimited
            || skip_field(wire_type, field, &mut message, DecodeContext::default()).is_err()
        {
            return false;
        }
    }
    true
}

fuzz_target!(|data: &[u8]| {
    let Some(([which, length], message)) = data.split_first_chunk::<2>() else {
        return;
    };
    let fields = PATHS[usize::from(*which) % PATHS.len()];
    let path = FieldPath::new(fields).expect("the paths above are valid");
    check_prefixes(&path, message);
    let Ok(Located::At(site)) = locate(&path, message, message.len()) else {
        return;
    };
    let id = "i".repeat(usize::from(*length));
    let out = replaced(&path, &site, message, &id);
    assert_eq!(found(&path, &out), Some(&*id));

    // Back again: what was there is there.
    if let Ok(Some(old)) = text(&site, message) {
        let Ok(Located::At(site)) = locate(&path, &out, out.len()) else {
            panic!("the message was readable before")
        };
        assert_eq!(found(&path, &replaced(&path, &site, &out, old)), Some(old));
    }

    // A decoder that knows the message sees the same fields, but for the name.
    if fields == [1]
        && well_typed(message)
        && let Ok(mut before) = ModelInferRequest::decode(message)
    {
        let mut after = ModelInferRequest::decode(&*out).expect("a spliced message decodes");
        before.model_name.clear();
        after.model_name.clear();
        // A message with a NaN differs from itself; encoding it instead would depend on the order of maps.
        if before == before.clone() {
            assert_eq!(before, after);
        }
    }
});
