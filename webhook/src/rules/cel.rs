//! What the CEL expressions of rules may refer to.

/// Variables of a `ValidatingAdmissionPolicy`, in order: each may use those before it. A policy needs those that its
/// expression names, and those that these name.
pub static VARIABLES: &[(&str, &str)] = &[
    ("spec", "has(object.spec) ? object.spec : {}"),
    (
        "annotations",
        "has(object.metadata.annotations) ? object.metadata.annotations : {}",
    ),
    (
        "predictor",
        "has(variables.spec.predictor) ? variables.spec.predictor : {}",
    ),
    (
        "components",
        "[variables.predictor] + (has(variables.spec.transformer) ? [variables.spec.transformer] : []) + \
         (has(variables.spec.explainer) ? [variables.spec.explainer] : [])",
    ),
    (
        "frameworks",
        "['model', 'sklearn', 'tensorflow', 'xgboost', 'pytorch', 'triton', 'onnx', 'huggingface', 'pmml', \
         'lightgbm', 'paddle']",
    ),
    (
        "blocks",
        "variables.frameworks.filter(b, b in variables.predictor)",
    ),
    (
        "canaries",
        "variables.spec.?canary.orValue([]).map(c, c.?predictor.orValue({}))",
    ),
    ("predictors", "[variables.predictor] + variables.canaries"),
];

/// Objects that are being deleted are not looked at: the condition under which a policy applies.
pub const MATCH_CONDITION: &str = "!has(object.metadata.deletionTimestamp)";
