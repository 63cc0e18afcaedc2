//! Which methods carry a model id in their messages, and which methods pass: `MM_DATAPLANE_CONFIG`.

use std::collections::HashMap;

use api::names::methods;
use serde::Deserialize;

pub use crate::mesh::Kind as NameKind;
use crate::wire::path::FieldPath;

/// How the model of a call is found in its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extract {
    /// Where the id stands.
    pub path: FieldPath,
    /// What it is.
    pub kind: NameKind,
    /// Where a version stands that selects among the versions of one name, as V2 has it.
    pub version: Option<FieldPath>,
    /// The method takes one message and answers with one, so its first response frame may be waited for.
    pub unary: bool,
}

/// Extraction rules by full method path (with leading slash).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// In order of path: a handful at most, for which a search is quicker than a hash.
    methods: Box<[(Box<str>, Option<Extract>)]>,
    allow_others: bool,
}

/// Why a data plane configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not JSON, or not of the expected form.
    #[error("data plane configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// A path is no list of field numbers.
    #[error(
        "data plane configuration: rpcConfigs[{method:?}].idExtractionPath {path:?} is no path: \
         1 to 16 field numbers of at least 1 are expected"
    )]
    Path {
        /// Method as written.
        method: String,
        /// Path as written.
        path: Vec<u32>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ConfigJson {
    #[serde(default)]
    rpc_configs: HashMap<String, RpcJson>,
    #[serde(default)]
    allow_other_rpcs: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RpcJson {
    #[serde(default)]
    id_extraction_path: Vec<u32>,
    #[serde(default)]
    v_model_id: bool,
}

impl Default for Rules {
    /// The V2 methods by their model name, everything else by headers.
    fn default() -> Self {
        let v2 = |unary| {
            Some(Extract {
                path: FieldPath::new(&[1])?,
                kind: NameKind::Either,
                version: FieldPath::new(&[2]),
                unary,
            })
        };
        let methods = [
            (methods::MODEL_INFER, true),
            (methods::MODEL_METADATA, true),
            (methods::MODEL_CONFIG, true),
            (methods::MODEL_STATISTICS, true),
            (methods::MODEL_STREAM_INFER, false),
        ];
        Self::new(
            methods
                .into_iter()
                .map(|(method, unary)| (method.into(), v2(unary)))
                .collect(),
            true,
        )
    }
}

/// What the rules say of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Passes; the id is in the message, headers are the fallback.
    Extract(&'a Extract),
    /// Passes; the id is in the headers.
    Headers,
    /// Not listed, and others are not allowed.
    Denied,
}

impl Rules {
    fn new(mut methods: Vec<(Box<str>, Option<Extract>)>, allow_others: bool) -> Self {
        methods.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            methods: methods.into(),
            allow_others,
        }
    }

    /// Rules from the JSON of `MM_DATAPLANE_CONFIG`.
    pub fn from_json(json: &str) -> Result<Self, RulesError> {
        let config: ConfigJson = serde_json::from_str(json)?;
        let mut methods = Vec::with_capacity(config.rpc_configs.len());
        for (method, rpc) in config.rpc_configs {
            let extract = if rpc.id_extraction_path.is_empty() {
                None
            } else {
                let Some(path) = FieldPath::new(&rpc.id_extraction_path) else {
                    return Err(RulesError::Path {
                        method,
                        path: rpc.id_extraction_path,
                    });
                };
                let kind = if rpc.v_model_id {
                    NameKind::VModel
                } else {
                    NameKind::Model
                };
                Some(Extract {
                    path,
                    kind,
                    version: None,
                    unary: false,
                })
            };
            methods.push((format!("/{}", method.trim_start_matches('/')).into(), extract));
        }
        Ok(Self::new(methods, config.allow_other_rpcs))
    }

    /// The rule for a method path with leading slash.
    pub fn of(&self, method: &str) -> Verdict<'_> {
        let found = self.methods.binary_search_by(|(name, _)| (**name).cmp(method));
        match found.ok().and_then(|i| self.methods.get(i)) {
            Some((_, Some(extract))) => Verdict::Extract(extract),
            Some((_, None)) => Verdict::Headers,
            None if self.allow_others => Verdict::Headers,
            None => Verdict::Denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2_by_default() {
        let rules = Rules::default();
        let Verdict::Extract(extract) = rules.of(methods::MODEL_INFER) else {
            panic!("extracts")
        };
        assert_eq!(
            (extract.path.fields(), extract.kind),
            (&[1][..], NameKind::Either)
        );
        assert_eq!(rules.of("/any.Service/Method"), Verdict::Headers);
    }

    #[test]
    fn configured() {
        let rules = Rules::from_json(
            r#"{"rpcConfigs":{"a.B/c":{"idExtractionPath":[1,3],"vModelId":true},"a.B/d":{}}}"#,
        )
        .expect("valid");
        let Verdict::Extract(extract) = rules.of("/a.B/c") else {
            panic!("extracts")
        };
        assert_eq!(
            (extract.path.fields(), extract.kind),
            (&[1, 3][..], NameKind::VModel)
        );
        assert_eq!(rules.of("/a.B/d"), Verdict::Headers);
        assert_eq!(rules.of("/a.B/e"), Verdict::Denied);
        assert_eq!(rules.of(methods::MODEL_INFER), Verdict::Denied);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |json| format!("{}", Rules::from_json(json).expect_err("refused"));
        assert!(error(r#"{"rpcConfig":{}}"#).contains("unknown field `rpcConfig`"));
        assert!(error(r#"{"rpcConfigs":{"a.B/c":{"idExtractionPath":[0]}}}"#).contains("\"a.B/c\""));
        assert!(error("{").contains("data plane configuration"));
    }
}
