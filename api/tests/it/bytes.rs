//! Messages as bytes, written down by hand from the protobuf wire format.

use std::fmt::Debug;

use api::{
    inference::{
        InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataResponse,
        infer_parameter::ParameterChoice,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
        model_infer_response::InferOutputTensor,
        model_metadata_response::TensorMetadata,
    },
    mmesh::{
        EnsureLoadedRequest, LoadModelRequest, LoadModelResponse, ModelInfo, ModelStatusInfo,
        RegisterModelRequest, RuntimeStatusResponse, SetVModelRequest, VModelStatusInfo,
        model_status_info::{ModelCopyInfo, ModelStatus},
        runtime_status_response::{MethodInfo, Status},
        v_model_status_info::VModelStatus,
    },
};
use prost::Message;

/// A field of length-delimited bytes.
fn len(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("test messages are small");
    assert!(number < 16 && length < 128, "one byte each");
    [&[number << 3 | 2, length], content].concat()
}

/// A field of a small integer.
fn int(number: u8, value: u8) -> Vec<u8> {
    assert!(number < 16 && value < 128, "one byte each");
    vec![number << 3, value]
}

/// The bytes become the message, and the message the bytes.
#[track_caller]
fn check<M: Message + Default + PartialEq + Debug>(message: &M, fields: &[Vec<u8>]) {
    let wire = fields.concat();
    assert_eq!(M::decode(&wire[..]).as_ref(), Ok(message));
    assert_eq!(message.encode_to_vec(), wire);
}

#[test]
fn management() {
    let info = ModelInfo {
        r#type: "t".into(),
        path: "p".into(),
        key: "k".into(),
    };
    let info_bytes = [len(1, b"t"), len(2, b"p"), len(3, b"k")].concat();
    check(
        &RegisterModelRequest {
            model_id: "m".into(),
            model_info: Some(info.clone()),
            load_now: true,
            sync: true,
            last_used_time: 9,
        },
        &[len(1, b"m"), len(2, &info_bytes), int(3, 1), int(4, 1), int(5, 9)],
    );
    check(
        &EnsureLoadedRequest {
            model_id: "m".into(),
            last_used_time: 9,
            sync: true,
        },
        &[len(1, b"m"), int(2, 9), int(4, 1)],
    );
    check(
        &SetVModelRequest {
            v_model_id: "v".into(),
            target_model_id: "m".into(),
            update_only: true,
            model_info: Some(info),
            auto_delete_target_model: true,
            load_now: true,
            force: true,
            sync: true,
            expected_target_model_id: "e".into(),
            owner: "o".into(),
        },
        &[
            len(1, b"v"),
            len(2, b"m"),
            int(3, 1),
            len(4, &info_bytes),
            int(5, 1),
            int(6, 1),
            int(7, 1),
            int(8, 1),
            len(9, b"e"),
            len(10, b"o"),
        ],
    );
    let failed = ModelStatusInfo {
        status: ModelStatus::LoadingFailed.into(),
        errors: vec!["e".into()],
        model_copy_infos: vec![ModelCopyInfo {
            location: "l".into(),
            copy_status: ModelStatus::Unknown.into(),
            time: 7,
        }],
    };
    let copy = [len(1, b"l"), int(2, 5), int(3, 7)].concat();
    let failed_bytes = [int(1, 4), len(2, b"e"), len(3, &copy)];
    check(&failed, &failed_bytes);
    check(
        &VModelStatusInfo {
            status: VModelStatus::Unknown.into(),
            active_model_id: "a".into(),
            target_model_id: "t".into(),
            active_model_status: Some(ModelStatusInfo::default()),
            target_model_status: Some(failed),
            owner: "o".into(),
        },
        &[
            int(1, 5),
            len(2, b"a"),
            len(3, b"t"),
            len(4, b""),
            len(5, &failed_bytes.concat()),
            len(6, b"o"),
        ],
    );
}

#[test]
fn runtime() {
    check(
        &LoadModelRequest {
            model_id: "m".into(),
            model_type: "t".into(),
            model_path: "p".into(),
            model_key: "k".into(),
        },
        &[len(1, b"m"), len(2, b"t"), len(3, b"p"), len(4, b"k")],
    );
    check(
        &LoadModelResponse {
            size_in_bytes: 5,
            max_concurrency: 6,
        },
        &[int(1, 5), int(2, 6)],
    );
    let method = MethodInfo {
        id_injection_path: vec![1, 2],
    };
    let entry = [len(1, b"s/M"), len(2, &len(1, &[1, 2]))].concat();
    check(
        &RuntimeStatusResponse {
            status: Status::Ready.into(),
            capacity_in_bytes: 2,
            max_loading_concurrency: 3,
            model_loading_timeout_ms: 4,
            default_model_size_in_bytes: 5,
            runtime_version: "v".into(),
            method_infos: [("s/M".into(), method)].into(),
            limit_model_concurrency: true,
            allow_any_method: true,
            ..RuntimeStatusResponse::default()
        },
        &[
            int(1, 1),
            int(2, 2),
            int(3, 3),
            int(4, 4),
            int(5, 5),
            len(6, b"v"),
            len(8, &entry),
            int(9, 1),
            int(10, 1),
        ],
    );
}

#[test]
fn inference() {
    let parameter = |choice| {
        let value = InferParameter {
            parameter_choice: Some(choice),
        };
        [("k".to_owned(), value)].into()
    };
    let entry = |value: &[u8]| [len(1, b"k"), len(2, value)].concat();
    let contents = InferTensorContents {
        int_contents: vec![1],
        ..InferTensorContents::default()
    };
    check(
        &ModelInferRequest {
            model_name: "m".into(),
            model_version: "1".into(),
            id: "i".into(),
            parameters: parameter(ParameterChoice::BoolParam(true)),
            inputs: vec![InferInputTensor {
                name: "x".into(),
                datatype: "INT32".into(),
                shape: vec![1, 2],
                parameters: parameter(ParameterChoice::Int64Param(3)),
                contents: Some(contents.clone()),
            }],
            outputs: vec![InferRequestedOutputTensor {
                name: "y".into(),
                parameters: parameter(ParameterChoice::StringParam("s".into())),
            }],
            raw_input_contents: vec![b"raw".as_slice().into()],
        },
        &[
            len(1, b"m"),
            len(2, b"1"),
            len(3, b"i"),
            len(4, &entry(&int(1, 1))),
            len(
                5,
                &[
                    len(1, b"x"),
                    len(2, b"INT32"),
                    len(3, &[1, 2]),
                    len(4, &entry(&int(2, 3))),
                    len(5, &len(2, &[1])),
                ]
                .concat(),
            ),
            len(6, &[len(1, b"y"), len(2, &entry(&len(3, b"s")))].concat()),
            len(7, b"raw"),
        ],
    );
    check(
        &ModelInferResponse {
            model_name: "m".into(),
            model_version: "1".into(),
            id: "i".into(),
            parameters: parameter(ParameterChoice::Uint64Param(4)),
            outputs: vec![InferOutputTensor {
                name: "y".into(),
                datatype: "INT32".into(),
                shape: vec![1],
                parameters: parameter(ParameterChoice::BoolParam(true)),
                contents: Some(contents),
            }],
            raw_output_contents: vec![b"raw".as_slice().into()],
        },
        &[
            len(1, b"m"),
            len(2, b"1"),
            len(3, b"i"),
            len(4, &entry(&int(5, 4))),
            len(
                5,
                &[
                    len(1, b"y"),
                    len(2, b"INT32"),
                    len(3, &[1]),
                    len(4, &entry(&int(1, 1))),
                    len(5, &len(2, &[1])),
                ]
                .concat(),
            ),
            len(6, b"raw"),
        ],
    );
    // A double is eight bytes of its own wire type.
    let double = InferParameter {
        parameter_choice: Some(ParameterChoice::DoubleParam(1.5)),
    };
    check(&double, &[vec![4 << 3 | 1], 1.5_f64.to_le_bytes().to_vec()]);
}

#[test]
fn metadata_of_any_server() {
    let x = [len(1, b"x"), len(2, b"FP32"), len(3, &[2])];
    let metadata = ModelMetadataResponse {
        name: "m".into(),
        versions: vec!["1".into()],
        platform: "p".into(),
        inputs: vec![TensorMetadata {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![2],
        }],
        outputs: Vec::new(),
    };
    let known = [len(1, b"m"), len(2, b"1"), len(3, b"p"), len(4, &x.concat())];
    check(&metadata, &known);
    // MLServer's parameters: of the model in field 6, where the protocol has texts, and of the tensor in field 4.
    // 300 is no valid UTF-8.
    let parameter = |number| len(number, &[len(1, b"k"), len(2, &[0x10, 0xac, 0x02])].concat());
    let input = [&x.concat()[..], &parameter(4)].concat();
    let wire = [
        len(1, b"m"),
        len(2, b"1"),
        len(3, b"p"),
        len(4, &input),
        parameter(6),
    ]
    .concat();
    assert_eq!(ModelMetadataResponse::decode(&wire[..]), Ok(metadata));
}
