//! Which operators the engine has, by domain. Its own register knows names only.

use std::collections::HashSet;

/// The default domain, as it is written in messages.
pub(super) const DEFAULT_DOMAIN: &str = "ai.onnx";
/// Domain of classical machine learning.
pub(super) const ML_DOMAIN: &str = "ai.onnx.ml";
/// Operators that ONNX Runtime adds.
pub(super) const CONTRIB_DOMAIN: &str = "com.microsoft";

/// Operators of `ai.onnx.ml`.
const ML: [&str; 17] = [
    "ArrayFeatureExtractor",
    "Binarizer",
    "CategoryMapper",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
];
/// Taken out of the graph before the engine sees it.
const REMOVED: &str = "ZipMap";
/// Contributed operators that the default domain lacks.
const CONTRIB_ONLY: [&str; 11] = [
    "BiasGelu",
    "CDist",
    "FastGelu",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];
/// Contributed operators that the default domain has too.
const CONTRIB_TOO: [&str; 2] = ["Gelu", "RotaryEmbedding"];
/// In the engine's register, but in no standard.
const INTERNAL: [&str; 4] = ["ConstantLike", "ParametricSoftplus", "Rsqrt", "ScaledTanh"];

/// The operators of an engine.
#[derive(Debug)]
pub(super) struct Operators(HashSet<String>);

impl Operators {
    /// From the names in the engine's register.
    pub(super) fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut names = names.into_iter().collect::<HashSet<_>>();
        names.insert(REMOVED.to_owned());
        Self(names)
    }

    /// Whether there is such an operator; the default domain has its name.
    pub(super) fn has(&self, domain: &str, operator: &str) -> bool {
        self.0.contains(operator) && in_domain(domain, operator)
    }

    /// All operators with their domains, in order.
    pub(super) fn list(&self) -> Vec<(&'static str, String)> {
        let mut list = Vec::new();
        for domain in [DEFAULT_DOMAIN, ML_DOMAIN, CONTRIB_DOMAIN] {
            let names = self.0.iter().filter(|name| in_domain(domain, name));
            list.extend(names.map(|name| (domain, name.clone())));
        }
        list.sort();
        list
    }
}

fn in_domain(domain: &str, operator: &str) -> bool {
    match domain {
        DEFAULT_DOMAIN => {
            // Old exporters write this one without a domain.
            let simplified = operator == "SimplifiedLayerNormalization";
            let foreign = ML.contains(&operator) || CONTRIB_ONLY.contains(&operator);
            simplified || (!foreign && !INTERNAL.contains(&operator))
        }
        ML_DOMAIN => ML.contains(&operator),
        CONTRIB_DOMAIN => CONTRIB_ONLY.contains(&operator) || CONTRIB_TOO.contains(&operator),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_belongs_to_its_domain() {
        let operators = Operators::of(["Scaler", "Add", "CDist", "Rsqrt"].map(str::to_owned));
        for (domain, operator, expected) in [
            (DEFAULT_DOMAIN, "Add", true),
            (DEFAULT_DOMAIN, "Scaler", false),
            (DEFAULT_DOMAIN, "CDist", false),
            (DEFAULT_DOMAIN, "Rsqrt", false),
            (DEFAULT_DOMAIN, "Mul", false),
            (ML_DOMAIN, "Scaler", true),
            (ML_DOMAIN, "ZipMap", true),
            (ML_DOMAIN, "Add", false),
            (CONTRIB_DOMAIN, "CDist", true),
            (CONTRIB_DOMAIN, "Add", false),
            ("my.own", "Add", false),
        ] {
            assert_eq!(operators.has(domain, operator), expected, "{domain} {operator}");
        }
        let list = operators.list();
        let names = list
            .iter()
            .map(|(domain, name)| format!("{domain}:{name}"))
            .collect::<Vec<_>>();
        assert_eq!(
            names,
            [
                "ai.onnx:Add",
                "ai.onnx.ml:Scaler",
                "ai.onnx.ml:ZipMap",
                "com.microsoft:CDist"
            ]
        );
    }
}
