//! `MM_INFO_METRICS`: a gauge that is always 1, whose labels are taken from the environment.

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// Labels of one metric. Source: upstream.
const MAX_LABELS: usize = 4;

/// A gauge and the variables that its labels show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoMetric {
    name: String,
    /// Label and variable.
    labels: Vec<(String, String)>,
}

/// What is wrong with `MM_INFO_METRICS`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoMetricError {
    /// A part is missing.
    #[error("expected NAME;LABEL=VARIABLE,LABEL=VARIABLE")]
    Form,
    /// Prometheus takes no such name.
    #[error("{0:?}: names must be letters, digits and underscores, and must not begin with a digit")]
    Name(String),
    /// There are too many labels.
    #[error("more than {MAX_LABELS} labels")]
    TooMany,
}

impl std::str::FromStr for InfoMetric {
    type Err = InfoMetricError;

    fn from_str(text: &str) -> Result<Self, InfoMetricError> {
        let (metric, labels) = text.split_once(';').ok_or(InfoMetricError::Form)?;
        let labels: Vec<_> = labels
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (label, variable) = part.split_once('=').ok_or(InfoMetricError::Form)?;
                Ok((name(label)?, variable.trim().to_owned()))
            })
            .collect::<Result<_, _>>()?;
        if labels.len() > MAX_LABELS {
            return Err(InfoMetricError::TooMany);
        }
        Ok(Self {
            name: name(metric)?,
            labels,
        })
    }
}

fn name(text: &str) -> Result<String, InfoMetricError> {
    let text = text.trim();
    let valid = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if valid {
        Ok(text.to_owned())
    } else {
        Err(InfoMetricError::Name(text.to_owned()))
    }
}

impl InfoMetric {
    /// Registers the gauge. A variable that is not set is an empty label.
    pub fn register(&self, registry: &mut Registry, variable: impl Fn(&str) -> Option<String>) {
        let family = Family::<Vec<(String, String)>, Gauge>::default();
        let labels = self
            .labels
            .iter()
            .map(|(label, name)| (label.clone(), variable(name).unwrap_or_default()));
        family.get_or_create(&labels.collect()).set(1);
        registry.register(
            &self.name,
            "Always 1; the labels say what this instance is",
            family,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_from_the_environment() {
        let info: InfoMetric = "assistant_info;pod=POD,zone=ZONE".parse().unwrap();
        let mut registry = Registry::default();
        info.register(&mut registry, |name| (name == "POD").then(|| "p-1".to_owned()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("assistant_info{pod=\"p-1\",zone=\"\"} 1"), "{text}");
    }

    #[test]
    fn mistakes() {
        let error = |text: &str| text.parse::<InfoMetric>().unwrap_err();
        assert_eq!(error("name"), InfoMetricError::Form);
        assert_eq!(error("name;label"), InfoMetricError::Form);
        assert_eq!(error("1name;a=A"), InfoMetricError::Name("1name".into()));
        assert_eq!(error("n;a=A,b=A,c=A,d=A,e=A"), InfoMetricError::TooMany);
    }
}
