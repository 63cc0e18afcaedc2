//! REST bodies to protobuf and back, beside a tree of `serde_json::Value`. FP32, about 50 B, 4 kB and 600 kB of JSON.

use api::inference::{ModelInferResponse, model_infer_response::InferOutputTensor};
use bytes::Bytes;
use divan::{Bencher, black_box, counter::BytesCount};
use router::rest::{
    decode::{self, Answer, Limits},
    encode,
};

/// Elements; the JSON of one takes about 12 bytes.
const ELEMENTS: [usize; 3] = [4, 340, 50_000];

fn main() {
    divan::main();
}

/// Values as a model has them: all digits are used.
fn values(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from_bits(0x3f80_0000 | state >> 9) - 1.5
    };
    (0..count).map(|_| next()).collect()
}

fn request(count: usize) -> Bytes {
    let data = serde_json::to_string(&values(count)).expect("finite");
    format!(r#"{{"inputs":[{{"name":"x","shape":[1,{count}],"datatype":"FP32","data":{data}}}]}}"#).into()
}

fn response(count: usize) -> ModelInferResponse {
    let raw: Vec<u8> = values(count).into_iter().flat_map(f32::to_le_bytes).collect();
    ModelInferResponse {
        model_name: "m".to_owned(),
        outputs: vec![InferOutputTensor {
            name: "y".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, i64::try_from(count).expect("small")],
            ..InferOutputTensor::default()
        }],
        raw_output_contents: vec![raw.into()],
        ..ModelInferResponse::default()
    }
}

#[divan::bench(args = ELEMENTS)]
fn decode(bencher: Bencher<'_, '_>, count: usize) {
    let body = request(count);
    let limits = Limits::default();
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| decode::infer_request(black_box(body.clone()), None, &limits).expect("valid"));
}

/// What a handler over `Value` does at least: parse, then walk the data.
#[divan::bench(args = ELEMENTS)]
fn decode_value(bencher: Bencher<'_, '_>, count: usize) {
    let body = request(count);
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let tree: serde_json::Value = serde_json::from_slice(black_box(&body)).expect("JSON");
        let data = tree["inputs"][0]["data"].as_array().expect("an array");
        let mut raw = Vec::with_capacity(4 * data.len());
        for value in data {
            #[allow(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
            let value = value.as_f64().expect("a number") as f32;
            raw.extend_from_slice(&value.to_le_bytes());
        }
        raw
    });
}

#[divan::bench(args = ELEMENTS)]
fn encode(bencher: Bencher<'_, '_>, count: usize) {
    let response = response(count);
    let answer = Answer::default();
    bencher
        .counter(BytesCount::new(4 * count))
        .bench(|| encode::infer_response(black_box(&response), &answer).expect("finite"));
}

#[divan::bench(args = ELEMENTS)]
fn encode_value(bencher: Bencher<'_, '_>, count: usize) {
    let response = response(count);
    bencher.counter(BytesCount::new(4 * count)).bench(|| {
        let raw = black_box(&response.raw_output_contents[0]);
        let data: Vec<f32> = raw.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        let output = &response.outputs[0];
        let tree = serde_json::json!({
            "model_name": response.model_name,
            "outputs": [{ "name": output.name, "datatype": output.datatype, "shape": output.shape, "data": data }],
        });
        serde_json::to_vec(&tree).expect("finite")
    });
}
