use api::inference::{InferParameter, infer_parameter::ParameterChoice};
use proptest::prelude::*;

use super::*;
use crate::rest::encode;

fn decode(json: &str) -> Result<Decoded, String> {
    infer_request(Bytes::copy_from_slice(json.as_bytes()), None, &Limits::default())
        .map_err(|error| error.to_string())
}

#[track_caller]
fn reject(json: &str, expected: &str) {
    match decode(json) {
        Ok(decoded) => panic!("{json}: {decoded:?}"),
        Err(error) => assert!(error.contains(expected), "{json}: {error}"),
    }
}

fn binary(json: &str, blobs: &[u8]) -> Result<Decoded, String> {
    let body = [json.as_bytes(), blobs].concat();
    infer_request(body.into(), Some(json.len()), &Limits::default()).map_err(|error| error.to_string())
}

#[track_caller]
fn reject_binary(json: &str, blobs: &[u8], expected: &str) {
    match binary(json, blobs) {
        Ok(decoded) => panic!("{json}: {decoded:?}"),
        Err(error) => assert!(error.contains(expected), "{json}: {error}"),
    }
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter {
        parameter_choice: Some(choice),
    }
}

#[test]
fn a_request_in_full() {
    let decoded = decode(
        r#"{"id":"7","parameters":{"priority":1,"binary_data_output":true},"unknown":[{}],
            "inputs":[
              {"name":"a","shape":[1,2],"datatype":"FP32","data":[[1,2.5]],"parameters":{"x":"y"}},
              {"data":["q"],"parameters":{"content_type":"str"},"datatype":"BYTES","shape":[1],"name":"b"}],
            "outputs":[{"name":"o","parameters":{"binary_data":false,"classification":3}},{"name":"p"}]}"#,
    )
    .expect("valid");
    let request = decoded.request;
    assert_eq!(request.id, "7");
    assert_eq!(
        request.parameters,
        [("priority".to_owned(), parameter(ParameterChoice::Int64Param(1)))].into()
    );
    assert_eq!(request.inputs[0].name, "a");
    assert_eq!(request.inputs[0].shape, [1, 2]);
    assert_eq!(
        request.inputs[0].parameters["x"],
        parameter(ParameterChoice::StringParam("y".to_owned()))
    );
    assert_eq!(request.inputs[1].datatype, "BYTES");
    assert_eq!(
        request.raw_input_contents[0],
        [1.0_f32.to_le_bytes(), 2.5_f32.to_le_bytes()].concat()
    );
    assert_eq!(request.raw_input_contents[1], &[1, 0, 0, 0, b'q'][..]);
    // What concerns REST stays here; the rest goes on.
    let expected = [(
        "classification".to_owned(),
        parameter(ParameterChoice::Int64Param(3)),
    )];
    assert_eq!(request.outputs[0].parameters, expected.into());
    assert_eq!(request.outputs[1].parameters, HashMap::new());
    assert!(!decoded.answer.is_binary("o"));
    assert!(decoded.answer.is_binary("p"));
}

#[test]
fn fields_come_in_any_order() {
    let fields = [
        r#""name":"a""#,
        r#""shape":[2]"#,
        r#""datatype":"INT8""#,
        r#""data":[1,-1]"#,
    ];
    for first in 0..4 {
        for second in 0..4 {
            let mut order = fields.to_vec();
            order.swap(0, first);
            order.swap(1, second);
            let json = format!(r#"{{"inputs":[{{{}}}]}}"#, order.join(","));
            assert_eq!(
                decode(&json).expect(&json).request.raw_input_contents[0],
                &[1, 255][..],
                "{json}"
            );
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    reject("{}", "the request: inputs is missing");
    reject(
        r#"{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}"#,
        "inputs[0]: name is missing",
    );
    reject(
        r#"{"inputs":[{"name":"a","datatype":"FP32","data":[1]}]}"#,
        r#"input "a": shape is missing"#,
    );
    reject(
        r#"{"inputs":[{"name":"a","shape":[1],"data":[1]}]}"#,
        r#"input "a": datatype is missing"#,
    );
    reject(
        r#"{"inputs":[{"name":"a","shape":[1],"datatype":"FP32"}]}"#,
        r#"input "a": data is missing"#,
    );
    reject(r#"{"inputs":[],"outputs":[{}]}"#, "outputs[0]: name is missing");
}

#[test]
fn what_is_given_twice_is_refused() {
    let input = r#"{"name":"a","shape":[1],"datatype":"FP32","data":[1]}"#;
    reject(
        &format!(r#"{{"inputs":[{input},{input}]}}"#),
        r#"input "a" is given twice"#,
    );
    reject(
        &format!(r#"{{"inputs":[{input}],"inputs":[]}}"#),
        "inputs is given twice",
    );
    reject(r#"{"inputs":[{"name":"a","name":"b"}]}"#, "name is given twice");
    reject(r#"{"inputs":[{"data":[],"data":[]}]}"#, "data is given twice");
    reject(
        r#"{"inputs":[],"outputs":[{"name":"o"},{"name":"o"}]}"#,
        r#"output "o" is asked for twice"#,
    );
    reject(
        r#"{"inputs":[],"parameters":{"a":1,"a":2}}"#,
        r#"parameter "a" is given twice"#,
    );
}

#[test]
fn errors_name_the_tensor() {
    reject(
        r#"{"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[1]}]}"#,
        r#"input "a": shape [2] takes 2"#,
    );
    reject(
        r#"{"inputs":[{"name":"a","shape":[1],"datatype":"FLOAT","data":[1]}]}"#,
        r#"input "a": unknown datatype "FLOAT""#,
    );
    reject(
        r#"{"inputs":[{"name":"a","shape":[1.5],"datatype":"FP32","data":[1]}]}"#,
        "shape: 1.5 is not a 64-bit integer",
    );
    reject(
        r#"{"inputs":[{"name":"a","shape":[-1],"datatype":"FP32","data":[1]}]}"#,
        "negative dimension",
    );
    let rank = format!(
        r#"{{"inputs":[{{"name":"a","shape":[{}1]}}]}}"#,
        "1,".repeat(MAX_RANK)
    );
    reject(&rank, "shape has more than 32 dimensions");
}

#[test]
fn a_gigabyte_in_a_hundred_bytes() {
    for shape in [
        "[268435456]",
        "[16384,16384]",
        "[9223372036854775807,9223372036854775807]",
        "[-9223372036854775808]",
    ] {
        for datatype in ["FP32", "BYTES", "BOOL"] {
            let json =
                format!(r#"{{"inputs":[{{"name":"a","shape":{shape},"datatype":"{datatype}","data":[]}}]}}"#);
            assert!(json.len() < 130);
            let error = infer_request(json.clone().into(), None, &Limits::default()).expect_err(&json);
            assert!(matches!(error, DecodeError::Invalid(_)), "{error:?}");
        }
    }
}

#[test]
fn tensors_together_stay_below_the_limit() {
    let limits = Limits {
        max_raw_bytes: 12,
        max_tensors: 2,
    };
    let input = |name: &str| format!(r#"{{"name":"{name}","shape":[2],"datatype":"FP32","data":[1,2]}}"#);
    let one = format!(r#"{{"inputs":[{}]}}"#, input("a"));
    infer_request(one.into(), None, &limits).expect("8 bytes");
    let two = format!(r#"{{"inputs":[{},{}]}}"#, input("a"), input("b"));
    let error = infer_request(two.into(), None, &limits).expect_err("16 bytes");
    assert!(matches!(error, DecodeError::TooLarge(_)), "{error:?}");
    let json =
        r#"{"inputs":[{"name":"a","shape":[13],"datatype":"INT8","parameters":{"binary_data_size":13}}]}"#;
    let body = [json.as_bytes(), &[0; 13]].concat();
    let error = infer_request(body.into(), Some(json.len()), &limits).expect_err("13 bytes");
    assert!(matches!(error, DecodeError::TooLarge(_)), "{error:?}");
    let many = r#"{"inputs":[],"outputs":[{"name":"a"},{"name":"b"},{"name":"c"}]}"#;
    let error = infer_request(many.into(), None, &limits).expect_err("three outputs");
    assert_eq!(error, DecodeError::TooLarge("more than 2 outputs".to_owned()));
}

#[test]
fn parameters_keep_their_type() {
    let json = r#"{"inputs":[],"parameters":{"b":true,"s":"x","i":-3,"u":18446744073709551615,"d":2.75,"e":1e3,"n":null}}"#;
    let parameters = decode(json).expect("valid").request.parameters;
    let expected = [
        ("b", ParameterChoice::BoolParam(true)),
        ("s", ParameterChoice::StringParam("x".to_owned())),
        ("i", ParameterChoice::Int64Param(-3)),
        ("u", ParameterChoice::Uint64Param(u64::MAX)),
        ("d", ParameterChoice::DoubleParam(2.75)),
        ("e", ParameterChoice::DoubleParam(1000.0)),
    ];
    assert_eq!(
        parameters,
        expected
            .map(|(name, choice)| (name.to_owned(), parameter(choice)))
            .into()
    );
    reject(
        r#"{"inputs":[],"parameters":{"x":[1]}}"#,
        r#"parameter "x": must be a bool, a string or a number"#,
    );
    reject(
        r#"{"inputs":[],"parameters":{"x":18446744073709551616}}"#,
        "out of the range of 64 bits",
    );
    reject(
        r#"{"inputs":[],"parameters":{"binary_data_output":1}}"#,
        "must be true or false",
    );
}

#[test]
fn null_is_not_given() {
    let decoded = decode(
        r#"{"id":null,"parameters":null,"outputs":null,
        "inputs":[{"name":"a","shape":[1],"datatype":"BOOL","data":[true],"parameters":null}]}"#,
    )
    .expect("valid");
    assert_eq!(decoded.request.inputs.len(), 1);
}

#[test]
fn base64_on_request_wherever_the_parameter_stands() {
    for name in ["base64", "b64", "BASE64", "B64"] {
        for json in [
            format!(
                r#"{{"name":"a","shape":[1],"datatype":"BYTES","data":["/wA="],"parameters":{{"content_type":"{name}"}}}}"#
            ),
            format!(
                r#"{{"parameters":{{"content_type":"{name}"}},"name":"a","shape":[1],"datatype":"BYTES","data":["/wA"]}}"#
            ),
        ] {
            let decoded = decode(&format!(r#"{{"inputs":[{json}]}}"#)).expect(&json);
            assert_eq!(
                decoded.request.raw_input_contents[0],
                &[2, 0, 0, 0, 255, 0][..],
                "{json}"
            );
            assert!(decoded.request.inputs[0].parameters.contains_key("content_type"));
        }
    }
    reject(
        r#"{"inputs":[{"name":"a","shape":[1],"datatype":"BYTES","data":["?"],"parameters":{"content_type":"b64"}}]}"#,
        r#"input "a": an element is not base64"#,
    );
}

#[test]
fn binary_tensors_are_slices_in_order() {
    let json = r#"{"inputs":[
        {"name":"a","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},
        {"name":"j","shape":[1],"datatype":"BOOL","data":[true]},
        {"name":"s","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":9,"k":1}}]}"#;
    let blobs = [1, 0, 2, 0, 1, 0, 0, 0, b'x', 0, 0, 0, 0];
    let body = Bytes::from([json.as_bytes(), &blobs].concat());
    let within = body.as_ptr_range();
    let decoded = infer_request(body, Some(json.len()), &Limits::default()).expect("valid");
    let raw = &decoded.request.raw_input_contents;
    assert_eq!(raw[0], &blobs[..4]);
    assert_eq!(raw[1], &[1][..]);
    assert_eq!(raw[2], &blobs[4..]);
    assert!(
        within.contains(&raw[0].as_ptr()) && within.contains(&raw[2].as_ptr()),
        "copied"
    );
    assert_eq!(decoded.request.inputs[0].parameters, HashMap::new());
    assert!(decoded.request.inputs[2].parameters.contains_key("k"));
}

#[test]
fn binary_tensors_must_fit() {
    let input = |shape: &str, datatype: &str, size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"a","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    let pair = input("[2]", "INT8", "2");
    binary(&pair, &[1, 2]).expect("valid");
    reject_binary(
        &pair,
        &[1],
        r#"input "a": binary_data_size is 2, but only 1 bytes are left"#,
    );
    reject_binary(&pair, &[1, 2, 3], "1 bytes follow the last binary tensor");
    reject_binary(
        &input("[3]", "INT8", "2"),
        &[1, 2],
        "binary_data_size is 2, but shape [3] of INT8 takes 3 times 1",
    );
    reject_binary(&input("[-1]", "INT8", "2"), &[1, 2], "negative dimension");
    reject_binary(&input("[2]", "INT8", "-2"), &[1, 2], "must be a number of bytes");
    reject_binary(
        &input("[2]", "INT8", "99999999999"),
        &[1, 2],
        "but only 2 bytes are left",
    );
    reject_binary(
        &input("[2]", "BYTES", "5"),
        &[1, 0, 0, 0, 7],
        "takes 2 elements, but the binary data has 1",
    );
    reject_binary(
        &input("[1]", "BYTES", "5"),
        &[9, 0, 0, 0, 7],
        "the binary data is broken",
    );
    reject_binary(
        &input("[1]", "BYTES", "3"),
        &[9, 0, 0],
        "the binary data is broken",
    );
    reject(&pair, "needs the header Inference-Header-Content-Length");
    let both = r#"{"inputs":[{"name":"a","shape":[1],"datatype":"INT8","data":[1],"parameters":{"binary_data_size":1}}]}"#;
    reject_binary(both, &[1], "exclude each other");
    let error = infer_request(Bytes::from_static(b"{}"), Some(3), &Limits::default()).expect_err("too long");
    assert!(
        error
            .to_string()
            .contains("Inference-Header-Content-Length is 3, but the body has 2 bytes")
    );
}

#[test]
fn shared_memory_has_no_data_here() {
    let json = r#"{"inputs":[
        {"name":"a","shape":[1],"datatype":"FP32","parameters":{"shared_memory_region":"r","shared_memory_byte_size":4}},
        {"name":"b","shape":[1],"datatype":"BOOL","data":[true]}]}"#;
    let request = decode(json).expect("valid").request;
    assert_eq!((request.inputs.len(), request.raw_input_contents.len()), (2, 1));
}

#[test]
fn what_is_not_json() {
    reject("", "an object is expected");
    reject("[]", "an object is expected");
    reject(r#"{"inputs":[]} x"#, "nothing is expected after the value");
    reject(r#"{"inputs":[],}"#, "a string is expected");
    reject(
        r#"{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[NaN]}]}"#,
        "NaN and Infinity are not JSON",
    );
    reject(
        r#"{"inputs":[{"data":[NaN],"name":"a","shape":[1],"datatype":"FP32"}]}"#,
        "NaN and Infinity are not JSON",
    );
    reject(
        &format!(r#"{{"inputs":{}"#, "[".repeat(1_000_000)),
        "an object is expected",
    );
    reject(
        &format!(r#"{{"unknown":{}"#, "[".repeat(1_000_000)),
        "nested too deeply",
    );
    reject(
        &format!(r#"{{"inputs":[{{"data":{}"#, "[".repeat(1_000_000)),
        "nested too deeply",
    );
}

/// A tensor, and the raw bytes of a value of it.
fn tensor() -> impl Strategy<Value = (Datatype, Vec<i64>, Vec<u8>)> {
    let datatype = proptest::sample::select(&Datatype::ALL[..13]);
    (datatype, proptest::collection::vec(0_i64..4, 0..4)).prop_flat_map(|(datatype, shape)| {
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
        let size = count * datatype.size().unwrap_or(1);
        proptest::collection::vec(any::<u8>(), size).prop_map(move |raw| (datatype, shape.clone(), raw))
    })
}

fn answer(datatype: Datatype, shape: &[i64], raw: &[u8]) -> api::inference::ModelInferResponse {
    let output = api::inference::model_infer_response::InferOutputTensor {
        name: "t".to_owned(),
        datatype: datatype.to_string(),
        shape: shape.to_vec(),
        ..Default::default()
    };
    api::inference::ModelInferResponse {
        outputs: vec![output],
        raw_output_contents: vec![Bytes::copy_from_slice(raw)],
        ..Default::default()
    }
}

proptest! {
    /// Raw to JSON (encoded as an answer) and back (decoded as a request) gives the same bytes.
    #[test]
    fn tensors_survive_json((datatype, shape, mut raw) in tensor()) {
        if datatype == Datatype::Bool {
            for byte in &mut raw {
                *byte &= 1;
            }
        }
        let encoded = encode::infer_response(&answer(datatype, &shape, &raw), &Answer::default());
        // What JSON cannot carry is refused, and nothing else.
        prop_assume!(encoded.is_ok() || !datatype.as_str().contains('F'));
        let body = encoded.expect("finite").body;
        let json = String::from_utf8(body.into_bytes().to_vec()).expect("JSON is UTF-8").replacen("outputs", "inputs", 1);
        let decoded = decode(&json).expect(&json);
        prop_assert_eq!(&decoded.request.raw_input_contents[0], &raw, "{}", json);
        prop_assert_eq!(&decoded.request.inputs[0].shape, &shape);
    }

    #[test]
    fn strings_survive_json(strings: Vec<Vec<u8>>) {
        let mut raw = Vec::new();
        for string in &strings {
            raw.extend_from_slice(&u32::try_from(string.len()).expect("short").to_le_bytes());
            raw.extend_from_slice(string);
        }
        let shape = [i64::try_from(strings.len()).expect("few")];
        let encoded = encode::infer_response(&answer(Datatype::Bytes, &shape, &raw), &Answer::default());
        let json = String::from_utf8(encoded.expect("valid").body.into_bytes().to_vec()).expect("JSON is UTF-8");
        let decoded = decode(&json.replacen("outputs", "inputs", 1)).expect(&json);
        prop_assert_eq!(&decoded.request.raw_input_contents[0], &raw, "{}", json);
    }

    #[test]
    fn bytes_never_panic(body: Vec<u8>, header in proptest::option::of(0_usize..64)) {
        let _ = infer_request(body.into(), header, &Limits::default());
    }

    /// Text made of the pieces of valid requests reaches deeper than random bytes.
    #[test]
    fn pieces_never_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40), cut in 0_usize..400) {
        let text = pieces.concat();
        let _ = infer_request(Bytes::from(text.clone()), None, &Limits::default());
        let _ = infer_request(Bytes::from(text), Some(cut), &Limits::default());
    }

    /// The parser and serde_json agree on what JSON is.
    #[test]
    fn skips_what_is_json(pieces in proptest::collection::vec(proptest::sample::select(TOKENS), 0..12)) {
        let text = pieces.concat();
        let mut cursor = Cursor::new(text.as_bytes());
        let ours = cursor.skip().and_then(|()| cursor.end()).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert_eq!(ours, theirs, "{}", text);
    }
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"inputs\":[",
    "\"inputs\":[{",
    "\"name\":\"a\",",
    "\"shape\":[2,2],",
    "\"shape\":[1],",
    "\"datatype\":\"FP32\",",
    "\"datatype\":\"BYTES\",",
    "\"datatype\":\"UINT64\",",
    "\"data\":",
    "[1,2]",
    "[[1,2],[3,4]]",
    "[\"a\"]",
    "[[[65]]]",
    "\"parameters\":{",
    "\"binary_data_size\":4",
    "\"content_type\":\"b64\"",
    "1",
    "-1.5e300",
    "null",
    "true",
    "\"\\ud83d\\ude00\"",
    "\"",
    "\\",
    "\"outputs\":[{\"name\":\"o\"}]",
    "\"id\":\"x\",",
    "18446744073709551616",
    "NaN",
];

const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"b\"",
    "1",
    "-0.5e1",
    "null",
    "true",
    " ",
    "[]",
    "{}",
    "0",
    "[1,2]",
    "{\"k\":1}",
];
