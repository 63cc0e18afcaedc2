//! Every name and number of the services that others speak, apart from the files they are compiled from.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorSet, field_descriptor_proto::Label,
    field_descriptor_proto::Type,
};

/// `mmesh.ModelMesh` and `mmesh.ModelRuntime`. A line for each message or enum.
const MMESH: &str = "
ModelInfo: 1 type string, 2 path string, 3 key string
RegisterModelRequest: 1 modelId string, 2 modelInfo ModelInfo, 3 loadNow bool, 4 sync bool, 5 lastUsedTime uint64
UnregisterModelRequest: 1 modelId string
UnregisterModelResponse:
GetStatusRequest: 1 modelId string
EnsureLoadedRequest: 1 modelId string, 2 lastUsedTime uint64, 4 sync bool
ModelStatusInfo: 1 status ModelStatusInfo.ModelStatus, 2 errors *string, 3 modelCopyInfos *ModelStatusInfo.ModelCopyInfo
ModelStatusInfo.ModelStatus: 0 NOT_FOUND, 1 NOT_LOADED, 2 LOADING, 3 LOADED, 4 LOADING_FAILED, 5 UNKNOWN
ModelStatusInfo.ModelCopyInfo: 1 location string, 2 copyStatus ModelStatusInfo.ModelStatus, 3 time uint64
SetVModelRequest: 1 vModelId string, 2 targetModelId string, 3 updateOnly bool, 4 modelInfo ModelInfo, 5 autoDeleteTargetModel bool, 6 loadNow bool, 7 force bool, 8 sync bool, 9 expectedTargetModelId string, 10 owner string
DeleteVModelRequest: 1 vModelId string, 2 owner string
DeleteVModelResponse:
GetVModelStatusRequest: 1 vModelId string, 2 owner string
VModelStatusInfo: 1 status VModelStatusInfo.VModelStatus, 2 activeModelId string, 3 targetModelId string, 4 activeModelStatus ModelStatusInfo, 5 targetModelStatus ModelStatusInfo, 6 owner string
VModelStatusInfo.VModelStatus: 0 NOT_FOUND, 1 DEFINED, 2 TRANSITIONING, 3 TRANSITION_FAILED, 5 UNKNOWN
LoadModelRequest: 1 modelId string, 2 modelType string, 3 modelPath string, 4 modelKey string
LoadModelResponse: 1 sizeInBytes uint64, 2 maxConcurrency uint32
UnloadModelRequest: 1 modelId string
UnloadModelResponse:
PredictModelSizeRequest: 1 modelId string, 2 modelType string, 3 modelPath string, 4 modelKey string
PredictModelSizeResponse: 1 sizeInBytes uint64
ModelSizeRequest: 1 modelId string
ModelSizeResponse: 1 sizeInBytes uint64
RuntimeStatusRequest:
RuntimeStatusResponse: 1 status RuntimeStatusResponse.Status, 2 capacityInBytes uint64, 3 maxLoadingConcurrency uint32, 4 modelLoadingTimeoutMs uint32, 5 defaultModelSizeInBytes uint64, 6 runtimeVersion string, 7 numericRuntimeVersion uint64, 8 methodInfos *RuntimeStatusResponse.MethodInfosEntry, 9 limitModelConcurrency bool, 10 allowAnyMethod bool
RuntimeStatusResponse.Status: 0 STARTING, 1 READY, 2 FAILING
RuntimeStatusResponse.MethodInfo: 1 idInjectionPath *uint32
RuntimeStatusResponse.MethodInfosEntry: 1 key string, 2 value RuntimeStatusResponse.MethodInfo
";

/// `inference.GRPCInferenceService`.
const INFERENCE: &str = "
ServerLiveRequest:
ServerLiveResponse: 1 live bool
ServerReadyRequest:
ServerReadyResponse: 1 ready bool
ModelReadyRequest: 1 name string, 2 version string
ModelReadyResponse: 1 ready bool
ServerMetadataRequest:
ServerMetadataResponse: 1 name string, 2 version string, 3 extensions *string
ModelMetadataRequest: 1 name string, 2 version string
ModelMetadataResponse: 1 name string, 2 versions *string, 3 platform string, 4 inputs *ModelMetadataResponse.TensorMetadata, 5 outputs *ModelMetadataResponse.TensorMetadata
ModelMetadataResponse.TensorMetadata: 1 name string, 2 datatype string, 3 shape *int64
InferParameter: 1 bool_param bool, 2 int64_param int64, 3 string_param string, 4 double_param double, 5 uint64_param uint64
InferTensorContents: 1 bool_contents *bool, 2 int_contents *int32, 3 int64_contents *int64, 4 uint_contents *uint32, 5 uint64_contents *uint64, 6 fp32_contents *float, 7 fp64_contents *double, 8 bytes_contents *bytes
ModelInferRequest: 1 model_name string, 2 model_version string, 3 id string, 4 parameters *ModelInferRequest.ParametersEntry, 5 inputs *ModelInferRequest.InferInputTensor, 6 outputs *ModelInferRequest.InferRequestedOutputTensor, 7 raw_input_contents *bytes
ModelInferRequest.InferInputTensor: 1 name string, 2 datatype string, 3 shape *int64, 4 parameters *ModelInferRequest.InferInputTensor.ParametersEntry, 5 contents InferTensorContents
ModelInferRequest.InferInputTensor.ParametersEntry: 1 key string, 2 value InferParameter
ModelInferRequest.InferRequestedOutputTensor: 1 name string, 2 parameters *ModelInferRequest.InferRequestedOutputTensor.ParametersEntry
ModelInferRequest.InferRequestedOutputTensor.ParametersEntry: 1 key string, 2 value InferParameter
ModelInferRequest.ParametersEntry: 1 key string, 2 value InferParameter
ModelInferResponse: 1 model_name string, 2 model_version string, 3 id string, 4 parameters *ModelInferResponse.ParametersEntry, 5 outputs *ModelInferResponse.InferOutputTensor, 6 raw_output_contents *bytes
ModelInferResponse.InferOutputTensor: 1 name string, 2 datatype string, 3 shape *int64, 4 parameters *ModelInferResponse.InferOutputTensor.ParametersEntry, 5 contents InferTensorContents
ModelInferResponse.InferOutputTensor.ParametersEntry: 1 key string, 2 value InferParameter
ModelInferResponse.ParametersEntry: 1 key string, 2 value InferParameter
ModelStreamInferResponse: 1 error_message string, 2 infer_response ModelInferResponse
ModelConfigRequest: 1 name string, 2 version string
ModelConfigResponse: 1 config ModelConfig
DataType: 0 TYPE_INVALID, 1 TYPE_BOOL, 2 TYPE_UINT8, 3 TYPE_UINT16, 4 TYPE_UINT32, 5 TYPE_UINT64, 6 TYPE_INT8, 7 TYPE_INT16, 8 TYPE_INT32, 9 TYPE_INT64, 10 TYPE_FP16, 11 TYPE_FP32, 12 TYPE_FP64, 13 TYPE_STRING, 14 TYPE_BF16
ModelInput: 1 name string, 2 data_type DataType, 4 dims *int64
ModelOutput: 1 name string, 2 data_type DataType, 3 dims *int64
ModelConfig: 1 name string, 2 platform string, 4 max_batch_size int32, 5 input *ModelInput, 6 output *ModelOutput, 17 backend string
ModelStatisticsRequest: 1 name string, 2 version string
StatisticDuration: 1 count uint64, 2 ns uint64
InferStatistics: 1 success StatisticDuration, 2 fail StatisticDuration, 3 queue StatisticDuration, 4 compute_input StatisticDuration, 5 compute_infer StatisticDuration, 6 compute_output StatisticDuration, 7 cache_hit StatisticDuration, 8 cache_miss StatisticDuration
MemoryUsage: 1 type string, 2 id int64, 3 byte_size uint64
ModelStatistics: 1 name string, 2 version string, 3 last_inference uint64, 4 inference_count uint64, 5 execution_count uint64, 6 inference_stats InferStatistics, 8 memory_usage *MemoryUsage
ModelStatisticsResponse: 1 model_stats *ModelStatistics
ModelRepositoryParameter: 1 bool_param bool, 2 int64_param int64, 3 string_param string, 4 bytes_param bytes
RepositoryIndexRequest: 1 repository_name string, 2 ready bool
RepositoryIndexResponse: 1 models *RepositoryIndexResponse.ModelIndex
RepositoryIndexResponse.ModelIndex: 1 name string, 2 version string, 3 state string, 4 reason string
RepositoryModelLoadRequest: 1 repository_name string, 2 model_name string, 3 parameters *RepositoryModelLoadRequest.ParametersEntry
RepositoryModelLoadRequest.ParametersEntry: 1 key string, 2 value ModelRepositoryParameter
RepositoryModelLoadResponse:
RepositoryModelUnloadRequest: 1 repository_name string, 2 model_name string, 3 parameters *RepositoryModelUnloadRequest.ParametersEntry
RepositoryModelUnloadRequest.ParametersEntry: 1 key string, 2 value ModelRepositoryParameter
RepositoryModelUnloadResponse:
";

/// Methods with their messages; `*` is a stream.
const METHODS: [(&str, &str); 3] = [
    (
        "mmesh.ModelMesh",
        "
registerModel RegisterModelRequest ModelStatusInfo
unregisterModel UnregisterModelRequest UnregisterModelResponse
getModelStatus GetStatusRequest ModelStatusInfo
ensureLoaded EnsureLoadedRequest ModelStatusInfo
setVModel SetVModelRequest VModelStatusInfo
deleteVModel DeleteVModelRequest DeleteVModelResponse
getVModelStatus GetVModelStatusRequest VModelStatusInfo
",
    ),
    (
        "mmesh.ModelRuntime",
        "
loadModel LoadModelRequest LoadModelResponse
unloadModel UnloadModelRequest UnloadModelResponse
predictModelSize PredictModelSizeRequest PredictModelSizeResponse
modelSize ModelSizeRequest ModelSizeResponse
runtimeStatus RuntimeStatusRequest RuntimeStatusResponse
",
    ),
    (
        "inference.GRPCInferenceService",
        "
ServerLive ServerLiveRequest ServerLiveResponse
ServerReady ServerReadyRequest ServerReadyResponse
ModelReady ModelReadyRequest ModelReadyResponse
ServerMetadata ServerMetadataRequest ServerMetadataResponse
ModelMetadata ModelMetadataRequest ModelMetadataResponse
ModelInfer ModelInferRequest ModelInferResponse
ModelStreamInfer *ModelInferRequest *ModelStreamInferResponse
ModelConfig ModelConfigRequest ModelConfigResponse
ModelStatistics ModelStatisticsRequest ModelStatisticsResponse
RepositoryIndex RepositoryIndexRequest RepositoryIndexResponse
RepositoryModelLoad RepositoryModelLoadRequest RepositoryModelLoadResponse
RepositoryModelUnload RepositoryModelUnloadRequest RepositoryModelUnloadResponse
",
    ),
];

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(api::FILE_DESCRIPTOR_SET).expect("the build wrote it")
}

/// `.package.Outer.Inner` without the package.
fn short(name: &str) -> &str {
    name.trim_start_matches('.')
        .split_once('.')
        .map_or(name, |(_, name)| name)
}

fn type_name(kind: Type, name: &str) -> String {
    match kind {
        Type::Message | Type::Enum => short(name).to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

type Lines = BTreeMap<String, String>;

fn add_enum(lines: &mut Lines, outer: &str, item: &EnumDescriptorProto) {
    let values: Vec<_> = item
        .value
        .iter()
        .map(|value| format!("{} {}", value.number(), value.name()))
        .collect();
    lines.insert(format!("{outer}{}", item.name()), values.join(", "));
}

fn add_message(lines: &mut Lines, outer: &str, item: &DescriptorProto) {
    let name = format!("{outer}{}", item.name());
    let fields: Vec<_> = item
        .field
        .iter()
        .map(|field| {
            let repeated = if field.label() == Label::Repeated { "*" } else { "" };
            let kind = type_name(field.r#type(), field.type_name());
            format!("{} {} {repeated}{kind}", field.number(), field.name())
        })
        .collect();
    lines.insert(name.clone(), fields.join(", "));
    let inner = format!("{name}.");
    for message in &item.nested_type {
        add_message(lines, &inner, message);
    }
    for item in &item.enum_type {
        add_enum(lines, &inner, item);
    }
}

#[track_caller]
fn check_messages(package: &str, expected: &str) {
    let mut found = Lines::new();
    for file in descriptors().file.iter().filter(|file| file.package() == package) {
        for message in &file.message_type {
            add_message(&mut found, "", message);
        }
        for item in &file.enum_type {
            add_enum(&mut found, "", item);
        }
    }
    let expected: Lines = expected
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, fields)| (name.to_owned(), fields.trim().to_owned()))
        .collect();
    for (name, fields) in &expected {
        assert_eq!(found.get(name), Some(fields), "{package}.{name}");
    }
    let unknown: Vec<_> = found
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "not in the list: {unknown:?}");
}

#[test]
fn messages_of_management_and_runtime() {
    check_messages("mmesh", MMESH);
}

#[test]
fn messages_of_inference() {
    check_messages("inference", INFERENCE);
}

#[test]
fn methods() {
    let set = descriptors();
    for (name, expected) in METHODS {
        let found: Vec<_> = set
            .file
            .iter()
            .flat_map(|file| file.service.iter().map(move |service| (file, service)))
            .filter(|(file, service)| format!("{}.{}", file.package(), service.name()) == name)
            .flat_map(|(_, service)| &service.method)
            .map(|method| {
                let star = |streams| if streams { "*" } else { "" };
                format!(
                    "{} {}{} {}{}",
                    method.name(),
                    star(method.client_streaming()),
                    short(method.input_type()),
                    star(method.server_streaming()),
                    short(method.output_type())
                )
            })
            .collect();
        let expected: Vec<_> = expected.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(found, expected, "{name}");
    }
}
