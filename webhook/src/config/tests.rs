#![expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with `json!` in place"
)]

use serde_json::json;

use super::*;

fn parse(data: Value) -> Result<Config, ConfigError> {
    Config::parse(data.as_object().expect("an object"))
}

#[test]
fn keys_are_read_whatever_their_case() {
    let config = parse(json!({
        "deploy": r#"{"DefaultDeploymentMode": "RawDeployment"}"#,
        "inferenceService": r#"{"Resource": {"CpuRequest": "500m", "memoryLIMIT": "1Gi", "cpuLimit": ""}}"#,
        "security": {"AutoMountServiceAccountToken": true},
        "localModel": {"enabled": true, "unknown": [1]},
    }));
    let config = config.expect("it parses");
    assert_eq!(config.default_deployment_mode, DeploymentMode::Standard);
    assert_eq!(config.resources.cpu_request.as_deref(), Some("500m"));
    assert_eq!(config.resources.memory_limit.as_deref(), Some("1Gi"));
    assert_eq!(
        config.resources.cpu_limit, None,
        "empty means: leave that key alone"
    );
    assert!(config.automount_token && config.local_model);
}

#[test]
fn what_is_absent_means_what_it_means_upstream() {
    let config = parse(json!({})).expect("it parses");
    assert_eq!(config.default_deployment_mode, DeploymentMode::Knative);
    assert_eq!(config.resources, ResourceDefaults::default());
    assert!(!config.automount_token);
    assert_eq!(config.storage_secret, "storage-config");
}

#[test]
fn errors_name_the_place_and_what_would_be_right() {
    for (data, text) in [
        (json!({"deploy": "{"}), "`deploy` is not JSON"),
        (json!({"deploy": "[]"}), "`deploy` is not JSON: not an object"),
        (
            json!({"deploy": {}}),
            "`deploy.defaultDeploymentMode` must be `Knative`, `Standard` or `ModelMesh`",
        ),
        (
            json!({"deploy": {"defaultDeploymentMode": "Raw"}}),
            "`deploy.defaultDeploymentMode` must be",
        ),
        (
            json!({"inferenceService": {"resource": {"cpuLimit": "much"}}}),
            "`inferenceService.resource.cpuLimit`",
        ),
        (
            json!({"security": {"autoMountServiceAccountToken": "true"}}),
            "must be true or false",
        ),
        (
            json!({"multiNode": {"customGPUResourceTypeList": [1]}}),
            "must be a list of strings",
        ),
    ] {
        let err = parse(data).expect_err(text).to_string();
        assert!(err.contains(text), "{err}");
    }
}
