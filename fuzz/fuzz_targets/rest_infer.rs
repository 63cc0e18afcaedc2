//! Body of a REST inference request to raw tensors, and back through the encoder of answers.
#![no_main]

use api::{
    datatype::Datatype,
    inference::{ModelInferRequest, ModelInferResponse, model_infer_response::InferOutputTensor},
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use router::rest::{
    decode::{Answer, Limits, infer_request},
    encode::infer_response,
};
use serde::de::IgnoredAny;

const LIMITS: Limits = Limits {
    max_raw_bytes: 1 << 20,
    max_tensors: 16,
};

/// What the decoder promises of a request that it accepts.
fn check(request: &ModelInferRequest) {
    assert!(request.inputs.len() <= LIMITS.max_tensors && request.outputs.len() <= LIMITS.max_tensors);
    let total: usize = request.raw_input_contents.iter().map(Bytes::len).sum();
    assert!(total <= LIMITS.max_raw_bytes, "{total} raw bytes");
    assert!(request.inputs.iter().all(|input| input.contents.is_none()));
    let shared =
        |parameters: &std::collections::HashMap<_, _>| parameters.contains_key("shared_memory_region");
    let present = request.inputs.iter().filter(|input| !shared(&input.parameters));
    for (input, raw) in present.zip(&request.raw_input_contents) {
        let datatype: Datatype = input.datatype.parse().expect("the decoder checked the datatype");
        let elements: usize = input
            .shape
            .iter()
            .map(|size| usize::try_from(*size).expect("no negative dimension"))
            .product();
        match datatype.size() {
            Some(size) => assert_eq!(raw.len(), elements * size, "{} {:?}", input.datatype, input.shape),
            None => assert!(raw.len() >= elements * 4, "{:?}", input.shape),
        }
    }
}

/// A model that answers what it was asked.
fn echo(request: &ModelInferRequest) -> ModelInferResponse {
    let output = |input: &api::inference::model_infer_request::InferInputTensor| InferOutputTensor {
        name: input.name.clone(),
        datatype: input.datatype.clone(),
        shape: input.shape.clone(),
        ..Default::default()
    };
    ModelInferResponse {
        model_name: "m".into(),
        id: request.id.clone(),
        outputs: request.inputs.iter().map(output).collect(),
        raw_output_contents: request.raw_input_contents.clone(),
        ..Default::default()
    }
}

/// What is written can be read, and says the same. Texts that are not UTF-8 and numbers that JSON lacks may be refused.
fn check_round_trip(request: &ModelInferRequest, answer: &Answer) {
    let Ok(encoded) = infer_response(&echo(request), answer) else {
        return;
    };
    let whole = encoded.body.into_bytes();
    let json = whole.slice(..encoded.json_length.unwrap_or(whole.len()));
    serde_json::from_slice::<IgnoredAny>(&json).expect("answers are JSON");
    // Keys are the only place where this text stands unescaped before an array.
    let text =
        std::str::from_utf8(&json)
            .expect("JSON is UTF-8")
            .replacen("\"outputs\":[", "\"inputs\":[", 1);
    let header = encoded.json_length.map(|_| text.len());
    let blobs = whole.slice(json.len()..);
    let body = Bytes::from([text.as_bytes(), &blobs].concat());
    // Written out, numbers take more room than raw; the bound of text is another function's.
    match infer_request(body, header, &LIMITS) {
        Ok(again) => {
            assert_eq!(
                again.request.raw_input_contents, request.raw_input_contents,
                "{text}"
            );
            assert_eq!(again.request.id, request.id);
        }
        Err(err) => panic!("an answer cannot be read: {err}: {text}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([high, low], body)) = data.split_first_chunk::<2>() else {
        return;
    };
    // 0 = no header, as most clients.
    let header = Some(usize::from(u16::from_be_bytes([*high, *low]))).filter(|length| *length > 0);
    let Ok(decoded) = infer_request(Bytes::copy_from_slice(body), header, &LIMITS) else {
        return;
    };
    let json = body
        .get(..header.unwrap_or(body.len()))
        .expect("a longer header is refused");
    serde_json::from_slice::<IgnoredAny>(json).expect("only JSON is accepted");
    check(&decoded.request);
    if decoded.request.raw_input_contents.len() == decoded.request.inputs.len() {
        check_round_trip(&decoded.request, &Answer::default());
        check_round_trip(
            &decoded.request,
            &Answer {
                binary: true,
                ..Answer::default()
            },
        );
    }
});
