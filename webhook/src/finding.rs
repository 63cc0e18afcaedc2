//! What is answered: findings with the rule, the field and the words for a person.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::rules::Rule;

/// What a finding does to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The request is refused.
    Deny,
    /// The request passes, and the person who sent it is told.
    Warn,
}

impl Severity {
    /// `deny` or `warn`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// Where in the object something is, as `spec.predictor.containers[0].name`. Keys that are no plain words print as
/// `metadata.annotations["serving.kserve.io/deploymentMode"]`. The path of the whole object is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    /// The path as an RFC 6901 pointer, to look the place up in a source file or in JSON.
    pub fn pointer(&self) -> String {
        let mut out = String::new();
        for step in &self.0 {
            out.push('/');
            match step {
                Step::Key(key) => out.push_str(&key.replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => out.push_str(&index.to_string()),
            }
        }
        out
    }

    /// Whether `self` is `other` or lies below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_plain(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    f.write_str(key)?;
                }
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// One thing that is wrong or worth a word.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule that was broken.
    pub rule: &'static Rule,
    /// What it does to the request, after mode, ratcheting and suppression.
    pub severity: Severity,
    /// The field that a person has to look at.
    pub field: FieldPath,
    /// What is wrong, with the value found.
    pub message: String,
    /// What would be right, where that is likely.
    pub hint: Option<String>,
    /// The reason in the object's annotation, if it asked to be spared this finding. Such a finding is never a
    /// denial, is not sent as a warning and does not fail `--fail-on warn`; reports list it.
    pub suppressed: Option<String>,
    /// Tells whether two versions of an object commit the same offence.
    pub(crate) fingerprint: u64,
}

impl PartialEq for Finding {
    fn eq(&self, other: &Self) -> bool {
        self.rule.id == other.rule.id
            && self.severity == other.severity
            && self.field == other.field
            && self.message == other.message
            && self.hint == other.hint
            && self.suppressed == other.suppressed
    }
}

impl Finding {
    /// Whether the finding refuses the request.
    pub fn denies(&self) -> bool {
        self.severity == Severity::Deny
    }
}

/// `spec.predictor: message (hint) [RULE]`, the one line that a person sees.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.0.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        write!(f, " [{}]", self.rule.id)
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 6)?;
        out.serialize_field("rule", self.rule.id)?;
        out.serialize_field("severity", &self.severity)?;
        out.serialize_field("field", &self.field)?;
        out.serialize_field("message", &self.message)?;
        match &self.hint {
            Some(hint) => out.serialize_field("hint", hint)?,
            None => out.skip_field("hint")?,
        }
        match &self.suppressed {
            Some(reason) => out.serialize_field("suppressed", reason)?,
            None => out.skip_field("suppressed")?,
        }
        out.end()
    }
}
