//! `MM_PAYLOAD_PROCESSORS`: URIs between spaces, `scheme://…?<model>#<method>`.

use std::fmt;

use http::Uri;
use percent_encoding::percent_decode_str;

/// So many processors are a mistake: each gets its own copy.
const MAX_PROCESSORS: usize = 16;

/// A processor and what it wants to see.
#[derive(Clone, PartialEq, Eq)]
pub struct Processor {
    pub(super) target: Target,
    /// Id of a model or of a vmodel; `None` = any.
    pub(super) model: Option<String>,
    /// `package.Service/Method` or `Method`; `None` = any.
    pub(super) method: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The log says that there was a payload, not what was in it.
    Logger,
    /// Events are posted as JSON.
    Http(Uri),
}

/// What is wrong with a processor's URI.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// It cannot be read.
    #[error("payload processor {0}: not a URI: {1}")]
    Invalid(String, http::uri::InvalidUri),
    /// It leads nowhere.
    #[error("payload processor {0}: the scheme must be http, https or logger")]
    Scheme(String),
    /// It has no host.
    #[error("payload processor {0}: there is no host in it")]
    NoHost(String),
    /// There are too many.
    #[error("more than {MAX_PROCESSORS} payload processors")]
    TooMany,
    /// TLS cannot be set up.
    #[error("payload processors over https: {0}")]
    Tls(String),
}

impl fmt::Debug for Processor {
    /// Without user and password, which a URI may have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.target {
            Target::Logger => "logger",
            Target::Http(uri) => uri.host().unwrap_or_default(),
        };
        f.debug_struct("Processor")
            .field("host", &host)
            .field("model", &self.model)
            .field("method", &self.method)
            .finish()
    }
}

/// Reads the variable's value.
pub fn processors(text: &str) -> Result<Vec<Processor>, ProcessorError> {
    let processors: Vec<_> = text.split_whitespace().map(processor).collect::<Result<_, _>>()?;
    if processors.len() > MAX_PROCESSORS {
        return Err(ProcessorError::TooMany);
    }
    Ok(processors)
}

fn processor(text: &str) -> Result<Processor, ProcessorError> {
    let (rest, method) = text.split_once('#').unwrap_or((text, ""));
    let (base, model) = rest.split_once('?').unwrap_or((rest, ""));
    // What an error shows: the query and the user may be secrets.
    let shown = || base.rsplit('@').next().unwrap_or(base).to_owned();
    let filter = |part: &str| {
        let part = percent_decode_str(part).decode_utf8_lossy().into_owned();
        (!matches!(part.trim(), "" | "*")).then_some(part)
    };
    let target = match base.split_once("://").map(|(scheme, _)| scheme) {
        Some("logger") => Target::Logger,
        Some("http" | "https") => {
            let uri: Uri = base
                .parse()
                .map_err(|err| ProcessorError::Invalid(shown(), err))?;
            if uri.host().is_none_or(str::is_empty) {
                return Err(ProcessorError::NoHost(shown()));
            }
            Target::Http(uri)
        }
        _ => return Err(ProcessorError::Scheme(shown())),
    };
    Ok(Processor {
        target,
        model: filter(model),
        method: filter(method).map(|method| method.trim_start_matches('/').to_owned()),
    })
}

impl Processor {
    /// Whether it wants calls of `package.Service/Method`.
    pub(super) fn wants_method(&self, method: &str) -> bool {
        let short = method.rsplit('/').next().unwrap_or(method);
        self.method
            .as_deref()
            .is_none_or(|wanted| wanted == method || wanted == short)
    }

    /// Whether it wants calls of a model that was asked for by this vmodel.
    pub(super) fn wants_model(&self, model: &str, vmodel: Option<&str>) -> bool {
        self.model
            .as_deref()
            .is_none_or(|wanted| wanted == model || Some(wanted) == vmodel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Processor {
        processors(text).unwrap().remove(0)
    }

    #[test]
    fn filters() {
        let all = one("http://sink:8080/events");
        assert!(all.wants_method("a.B/c") && all.wants_model("m", None));
        let stars = one("http://sink/?*#*");
        assert_eq!((stars.model, stars.method), (None, None));
        let some = one("http://sink/?iris#predict");
        assert!(some.wants_method("a.B/predict") && !some.wants_method("a.B/train"));
        assert!(some.wants_model("iris", None) && some.wants_model("iris-1", Some("iris")));
        assert!(!some.wants_model("wine", None));
        let full = one("logger://?#a.B/predict");
        assert!(full.wants_method("a.B/predict") && !full.wants_method("x.Y/predict"));
        assert_eq!(one("https://sink/?gr%C3%BCn").model.as_deref(), Some("grün"));
    }

    #[test]
    fn several_and_none() {
        assert_eq!(processors(" ").unwrap(), []);
        assert_eq!(processors("logger:// http://a/  https://b/").unwrap().len(), 3);
        assert!(processors(&"logger:// ".repeat(17)).is_err());
    }

    #[test]
    fn mistakes_show_no_secret() {
        let error = |text: &str| processors(text).unwrap_err().to_string();
        assert!(error("kafka://user:secret@host/").contains("http, https or logger"));
        assert!(error("http:///path").contains("payload processor"));
        for bad in ["kafka://user:secret@host/?secret", "http://user:secret@ho st^/"] {
            assert!(!error(bad).contains("secret"), "{}", error(bad));
        }
    }
}
