use std::io::Write as _;

use api::inference::ModelInferRequest;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::wire::framing::frame;

const LIMIT: usize = 1 << 20;

fn path(fields: &[u32]) -> FieldPath {
    FieldPath::new(fields).expect("a valid path")
}

fn request(name: &str) -> Vec<u8> {
    ModelInferRequest {
        model_name: name.into(),
        id: "7".into(),
        raw_input_contents: vec![vec![1, 2, 3].into()],
        ..Default::default()
    }
    .encode_to_vec()
}

/// Runs `body` through an editor in pieces that end at `cuts`.
fn run(editor: &mut Editor, body: &[u8], cuts: &[usize]) -> Result<Vec<u8>, Failure> {
    let (mut out, mut from) = (Vec::new(), 0);
    for to in cuts.iter().copied().chain([body.len()]) {
        let mut input = Bytes::copy_from_slice(&body[from..to]);
        while let Some(piece) = editor.next(&mut input)? {
            assert!(!piece.is_empty(), "an empty piece is no progress");
            out.extend_from_slice(&piece);
        }
        from = to;
    }
    Ok(out)
}

fn injector(id: &str, encoding: Encoding) -> Editor {
    Editor::new(None, Some((path(&[1]), id.into())), encoding, LIMIT).expect("something to do")
}

fn checker(expected: &str) -> Editor {
    Editor::new(
        Some((path(&[1]), expected.into())),
        None,
        Encoding::Identity,
        LIMIT,
    )
    .expect("something to do")
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(message).expect("writes to memory");
    let packed = encoder.finish().expect("finishes");
    let prefix = Prefix {
        compressed: true,
        length: packed.len(),
    };
    [&prefix.to_bytes()[..], &packed].concat()
}

#[test]
fn every_message_gets_the_id_at_any_split() {
    let body = ["a", "", "a-much-longer-name"]
        .map(|name| frame(&request(name)).to_vec())
        .concat();
    let want = [0; 3].map(|_| frame(&request("concrete")).to_vec()).concat();
    for cut in 0..=body.len() {
        let mut editor = injector("concrete", Encoding::Identity);
        let got = run(&mut editor, &body, &[cut]).expect("edited");
        let decoded = |bytes: &[u8]| {
            let (mut rest, mut all) = (bytes, Vec::new());
            while let Some((head, tail)) = rest.split_first_chunk::<PREFIX>() {
                let length = Prefix::parse(*head).expect("framed").length;
                all.push(ModelInferRequest::decode(&tail[..length]).expect("decodes"));
                rest = &tail[length..];
            }
            all
        };
        assert_eq!(decoded(&got), decoded(&want), "cut at {cut}");
    }
}

#[test]
fn an_equal_id_leaves_the_bytes_alone() {
    let body = frame(&request("same"));
    assert_eq!(
        run(&mut injector("same", Encoding::Identity), &body, &[]),
        Ok(body.to_vec())
    );
    assert_eq!(run(&mut checker("same"), &body, &[3, 9]), Ok(body.to_vec()));
}

#[test]
fn a_stream_serves_one_model() {
    let body = [frame(&request("a")), frame(&request("")), frame(&request("b"))].concat();
    let failure = run(&mut checker("a"), &body, &[]).expect_err("refused");
    assert_eq!(failure.code, Code::InvalidArgument);
    assert!(
        failure.message.contains("\"a\"") && failure.message.contains("\"b\""),
        "{}",
        failure.message
    );
}

#[test]
fn compressed_messages() {
    let packed = gzip(&request("name"));
    for cut in 0..packed.len() {
        let got = run(&mut injector("concrete", Encoding::Gzip), &packed, &[cut]).expect("edited");
        assert_eq!(got[0], 0, "the edited message is sent uncompressed");
        let message = ModelInferRequest::decode(&got[PREFIX..]).expect("decodes");
        assert_eq!(message.model_name, "concrete");
        assert_eq!(message.raw_input_contents[0], &[1, 2, 3][..]);
    }
    assert_eq!(
        run(&mut injector("name", Encoding::Gzip), &packed, &[]),
        Ok(packed.clone())
    );
    let code = |encoding| {
        run(&mut injector("x", encoding), &packed, &[])
            .expect_err("refused")
            .code
    };
    assert_eq!(code(Encoding::Unknown), Code::Unimplemented);
    assert_eq!(code(Encoding::Identity), Code::Internal);
    assert_eq!(code(Encoding::Deflate), Code::InvalidArgument);
}

#[test]
fn a_compression_bomb_is_bounded() {
    let bomb = gzip(&vec![0; LIMIT + 1]);
    assert!(bomb.len() < LIMIT / 10);
    let failure = run(&mut injector("x", Encoding::Gzip), &bomb, &[]).expect_err("refused");
    assert_eq!(failure.code, Code::ResourceExhausted);
}

proptest! {
    #[test]
    fn splits_do_not_matter(names in proptest::collection::vec("[a-c]{0,3}", 1..5), cuts in proptest::collection::vec(0_usize..200, 0..12)) {
        let body: Vec<u8> = names.iter().flat_map(|name| frame(&request(name)).to_vec()).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.sort_unstable();
        let whole = run(&mut injector("the-id", Encoding::Identity), &body, &[]);
        prop_assert_eq!(run(&mut injector("the-id", Encoding::Identity), &body, &cuts), whole);
    }

    #[test]
    fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let cut = cut.min(body.len());
        let _ = run(&mut injector("id", Encoding::Gzip), &body, &[cut]);
        let _ = run(&mut checker("id"), &body, &[cut]);
    }
}
