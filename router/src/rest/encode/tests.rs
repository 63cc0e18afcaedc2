use std::collections::HashMap;

use api::inference::InferTensorContents;

use super::*;
use crate::rest::decode::AnswerOutput;

fn output(name: &str, datatype: &str, shape: &[i64]) -> InferOutputTensor {
    InferOutputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..InferOutputTensor::default()
    }
}

fn raw(datatype: &str, shape: &[i64], raw: &[u8]) -> ModelInferResponse {
    ModelInferResponse {
        model_name: "m".to_owned(),
        outputs: vec![output("o", datatype, shape)],
        raw_output_contents: vec![Bytes::copy_from_slice(raw)],
        ..ModelInferResponse::default()
    }
}

fn typed(datatype: &str, shape: &[i64], contents: InferTensorContents) -> ModelInferResponse {
    let output = InferOutputTensor {
        contents: Some(contents),
        ..output("o", datatype, shape)
    };
    ModelInferResponse {
        model_name: "m".to_owned(),
        outputs: vec![output],
        ..ModelInferResponse::default()
    }
}

fn text(response: &ModelInferResponse, answer: &Answer) -> Result<String, String> {
    let encoded = infer_response(response, answer).map_err(|error| error.to_string())?;
    assert_eq!(encoded.json_length, None);
    Ok(String::from_utf8(encoded.body.into_bytes().to_vec()).expect("JSON is UTF-8"))
}

/// The `data` of the only output.
#[track_caller]
fn data(response: &ModelInferResponse, expected: &str) {
    let text = text(response, &Answer::default()).expect("valid");
    let (_, data) = text.split_once(r#""data":"#).expect("data");
    assert_eq!(data.strip_suffix("}]}"), Some(expected), "{text}");
}

#[track_caller]
fn reject(response: &ModelInferResponse, expected: &str) {
    let error = text(response, &Answer::default()).expect_err("invalid");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn keys_have_an_order_and_empty_ones_are_left_out() {
    let parameter = |choice| InferParameter {
        parameter_choice: Some(choice),
    };
    let mut response = raw("INT8", &[2, 1], &[1, 255]);
    assert_eq!(
        text(&response, &Answer::default()).as_deref(),
        Ok(r#"{"model_name":"m","outputs":[{"name":"o","datatype":"INT8","shape":[2,1],"data":[1,-1]}]}"#)
    );
    response.model_version = "3".to_owned();
    response.id = "a\"b".to_owned();
    response.parameters = HashMap::from([
        ("z".to_owned(), parameter(ParameterChoice::DoubleParam(0.5))),
        ("a".to_owned(), parameter(ParameterChoice::Uint64Param(u64::MAX))),
        ("n".to_owned(), parameter(ParameterChoice::DoubleParam(f64::NAN))),
    ]);
    response.outputs[0].parameters =
        HashMap::from([("p".to_owned(), parameter(ParameterChoice::BoolParam(false)))]);
    assert_eq!(
        text(&response, &Answer::default()).as_deref(),
        Ok(concat!(
            r#"{"model_name":"m","model_version":"3","id":"a\"b","#,
            r#""parameters":{"a":18446744073709551615,"n":null,"z":0.5},"#,
            r#""outputs":[{"name":"o","datatype":"INT8","shape":[2,1],"parameters":{"p":false},"data":[1,-1]}]}"#
        ))
    );
}

#[test]
fn raw_contents_of_every_datatype() {
    data(&raw("BOOL", &[2], &[1, 0]), "[true,false]");
    data(&raw("UINT8", &[3], &[0, 128, 255]), "[0,128,255]");
    data(&raw("UINT16", &[1], &[1, 2]), "[513]");
    data(&raw("UINT32", &[1], &[255; 4]), "[4294967295]");
    data(&raw("UINT64", &[1], &[255; 8]), "[18446744073709551615]");
    data(&raw("INT8", &[1], &[128]), "[-128]");
    data(&raw("INT16", &[1], &[0, 128]), "[-32768]");
    data(&raw("INT32", &[1], &[0, 0, 0, 128]), "[-2147483648]");
    data(
        &raw("INT64", &[1], &i64::MIN.to_le_bytes()),
        "[-9223372036854775808]",
    );
    data(&raw("FP16", &[2], &[0x00, 0x3c, 0x66, 0x2e]), "[1.0,0.099975586]");
    data(&raw("BF16", &[1], &[0x80, 0x3f]), "[1.0]");
    data(
        &raw(
            "FP32",
            &[2],
            &[0.1_f32.to_le_bytes(), 1e-7_f32.to_le_bytes()].concat(),
        ),
        "[0.1,1e-7]",
    );
    data(&raw("FP64", &[1], &0.1_f64.to_le_bytes()), "[0.1]");
    data(
        &raw("BYTES", &[2], &[1, 0, 0, 0, b'"', 2, 0, 0, 0, 0xc3, 0xa9]),
        "[\"\\\"\",\"\u{e9}\"]",
    );
    data(&raw("FP32", &[0], &[]), "[]");
}

#[test]
fn typed_contents_of_every_datatype() {
    let contents = InferTensorContents {
        bool_contents: vec![true],
        int_contents: vec![-7],
        int64_contents: vec![i64::MIN],
        uint_contents: vec![7],
        uint64_contents: vec![u64::MAX],
        fp32_contents: vec![0.1],
        fp64_contents: vec![0.2],
        bytes_contents: vec![Bytes::from_static(b"x")],
    };
    for (datatype, expected) in [
        ("BOOL", "[true]"),
        ("INT8", "[-7]"),
        ("INT16", "[-7]"),
        ("INT32", "[-7]"),
        ("INT64", "[-9223372036854775808]"),
        ("UINT8", "[7]"),
        ("UINT16", "[7]"),
        ("UINT32", "[7]"),
        ("UINT64", "[18446744073709551615]"),
        ("FP32", "[0.1]"),
        ("FP64", "[0.2]"),
        ("BYTES", r#"["x"]"#),
    ] {
        data(&typed(datatype, &[1], contents.clone()), expected);
    }
    reject(
        &typed("FP16", &[1], contents.clone()),
        "FP16 has no typed contents",
    );
    let large = InferTensorContents {
        uint_contents: vec![256],
        ..contents
    };
    reject(&typed("UINT8", &[1], large), "out of the range of UINT8");
}

#[test]
fn wrong_answers_are_errors() {
    reject(
        &raw("FP32", &[2], &[0; 7]),
        r#"output "o": shape [2] of FP32 takes 2 times 4 bytes, the model answered 7"#,
    );
    reject(&raw("FP32", &[-1], &[0; 4]), "negative dimension");
    reject(
        &raw("FP32", &[i64::MAX, i64::MAX], &[0; 4]),
        "more elements than can be counted",
    );
    reject(&raw("WHAT", &[1], &[0]), "unknown datatype");
    reject(&raw("BYTES", &[1], &[9, 0, 0, 0, 1]), "does not fit");
    reject(&raw("BYTES", &[1], &[9, 0]), "does not fit");
    reject(
        &raw("BYTES", &[2], &[0; 4]),
        "takes 2 elements, the model answered 1",
    );
    reject(
        &typed("INT32", &[2], InferTensorContents::default()),
        "takes 2 times 4 bytes, the model answered 0",
    );
    let mut response = raw("INT8", &[1], &[1]);
    response.raw_output_contents.push(Bytes::new());
    reject(&response, "the model answered 1 outputs, but raw contents of 2");
    response.raw_output_contents.clear();
    reject(&response, "the model answered 0");
}

#[test]
fn json_cannot_carry_nan_and_says_what_can() {
    for datatype in ["FP32", "FP64"] {
        let bytes = if datatype == "FP32" {
            f32::NAN.to_le_bytes().to_vec()
        } else {
            f64::INFINITY.to_le_bytes().to_vec()
        };
        reject(
            &raw(datatype, &[1], &bytes),
            "ask for this output with the parameter binary_data",
        );
        let answer = Answer {
            binary: true,
            ..Answer::default()
        };
        infer_response(&raw(datatype, &[1], &bytes), &answer).expect("binary carries it");
    }
    reject(&raw("FP16", &[1], &[0, 0x7c]), "JSON cannot carry inf");
}

#[test]
fn strings_are_text_unless_they_cannot_be_or_base64_is_asked_for() {
    let mixed = raw("BYTES", &[2], &[1, 0, 0, 0, 255, 1, 0, 0, 0, b'a']);
    assert_eq!(
        text(&mixed, &Answer::default())
            .expect("valid")
            .split_once(r#""shape""#)
            .map(|(_, rest)| rest),
        Some(r#":[2],"parameters":{"content_type":"base64"},"data":["/w==","YQ=="]}]}"#)
    );
    let wish = AnswerOutput {
        base64: true,
        binary: None,
    };
    let answer = Answer {
        outputs: HashMap::from([("o".to_owned(), wish)]),
        ..Answer::default()
    };
    let plain = raw("BYTES", &[1], &[1, 0, 0, 0, b'a']);
    assert!(
        text(&plain, &answer)
            .expect("valid")
            .contains(r#"{"content_type":"base64"},"data":["YQ=="]"#)
    );
    // For numbers it means nothing.
    assert!(
        text(&raw("INT8", &[1], &[1]), &answer)
            .expect("valid")
            .contains(r#""shape":[1],"data":[1]"#)
    );
}

#[test]
fn control_characters_are_escaped() {
    let strange = raw("BYTES", &[1], &[5, 0, 0, 0, 0, b'\n', 0x1f, b'\\', 0x7f]);
    data(&strange, "[\"\\u0000\\n\\u001f\\\\\u{7f}\"]");
}

#[test]
fn binary_outputs_follow_the_json_in_order() {
    let mut response = raw("INT16", &[2], &[1, 0, 2, 0]);
    response.outputs.push(output("p", "BYTES", &[1]));
    response.outputs.push(output("q", "INT8", &[1]));
    response
        .raw_output_contents
        .push(Bytes::from_static(&[1, 0, 0, 0, 255]));
    response.raw_output_contents.push(Bytes::from_static(&[7]));
    let wish = AnswerOutput {
        binary: Some(false),
        base64: false,
    };
    let answer = Answer {
        binary: true,
        outputs: HashMap::from([("q".to_owned(), wish)]),
    };
    let Encoded { body, json_length } = infer_response(&response, &answer).expect("valid");
    let body = body.into_bytes();
    let (json, blobs) = body.split_at(json_length.expect("binary"));
    assert_eq!(
        std::str::from_utf8(json),
        Ok(concat!(
            r#"{"model_name":"m","outputs":[{"name":"o","datatype":"INT16","shape":[2],"parameters":{"binary_data_size":4}},"#,
            r#"{"name":"p","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}},"#,
            r#"{"name":"q","datatype":"INT8","shape":[1],"data":[7]}]}"#
        ))
    );
    assert_eq!(blobs, [1, 0, 2, 0, 1, 0, 0, 0, 255]);
}

#[test]
fn typed_contents_become_binary_too() {
    let contents = InferTensorContents {
        fp32_contents: vec![1.0],
        ..InferTensorContents::default()
    };
    let answer = Answer {
        binary: true,
        ..Answer::default()
    };
    let Encoded { body, json_length } =
        infer_response(&typed("FP32", &[1], contents), &answer).expect("valid");
    assert_eq!(
        body.into_bytes().get(json_length.expect("binary")..),
        Some(&1.0_f32.to_le_bytes()[..])
    );
}

#[test]
fn outputs_in_shared_memory_have_no_data() {
    let region = InferParameter {
        parameter_choice: Some(ParameterChoice::StringParam("r".to_owned())),
    };
    let shared = InferOutputTensor {
        parameters: HashMap::from([("shared_memory_region".to_owned(), region)]),
        ..output("s", "FP32", &[4])
    };
    let mut response = raw("INT8", &[1], &[1]);
    response.outputs.insert(0, shared);
    for contents in [
        vec![Bytes::from_static(&[1])],
        vec![Bytes::new(), Bytes::from_static(&[1])],
    ] {
        response.raw_output_contents = contents;
        let text = text(&response, &Answer::default()).expect("valid");
        assert!(
            text.contains(r#"{"shared_memory_region":"r"}},{"name":"o""#),
            "{text}"
        );
        assert!(text.contains(r#""data":[1]"#), "{text}");
    }
}
