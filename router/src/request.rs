//! What the headers of a call say, parsed once.

use std::time::Duration;

use api::names::headers;
use base64::prelude::*;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{edit::Encoding, failure::Failure, model::ModelId, rules::NameKind};

/// Most ids in one call: each is a copy of the request and a response to be held.
pub const MAX_IDS: usize = 64;

/// The models that the headers name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The headers name none.
    None,
    /// The usual case.
    One(NameKind, ModelId),
    /// The same request goes to each.
    Many(NameKind, Vec<ModelId>),
}

/// Which of several models must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Those that are not found are left out.
    Any,
    /// All.
    All,
}

/// The headers of a call that concern the router, read in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Models.
    pub target: Target,
    /// `grpc-timeout`.
    pub timeout: Option<Duration>,
    /// `grpc-encoding`.
    pub encoding: Encoding,
    /// `content-type` is one of gRPC's.
    pub is_grpc: bool,
    /// There are headers that must not reach the runtime.
    pub own: bool,
    /// `mm-balanced: true`: the caller balances over routers itself.
    pub balanced: bool,
    /// `stowage-retry`.
    pub retry: Retry,
}

/// Whether a call may be repeated that may have been executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// The client does not say so.
    #[default]
    Never,
    /// It does no harm.
    Safe,
}

impl Routing {
    /// Reads the headers. Both kinds of id, an empty one, or a timeout that is none, is an error.
    pub fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let mut routing = Self {
            target: Target::None,
            timeout: None,
            encoding: Encoding::Identity,
            is_grpc: false,
            own: false,
            balanced: false,
            retry: Retry::Never,
        };
        let (mut kind, mut ids, mut legacy) = (None, Vec::new(), None);
        for (name, value) in headers {
            let (this, binary) = match name.as_str() {
                "content-type" => {
                    routing.is_grpc = value.as_bytes().starts_with(b"application/grpc");
                    continue;
                }
                "grpc-timeout" => {
                    routing.timeout = Some(timeout(value)?);
                    continue;
                }
                "grpc-encoding" => {
                    routing.encoding = Encoding::of(value);
                    continue;
                }
                headers::MODEL_ID => (NameKind::Model, false),
                headers::MODEL_ID_BIN => (NameKind::Model, true),
                headers::VMODEL_ID => (NameKind::VModel, false),
                headers::VMODEL_ID_BIN => (NameKind::VModel, true),
                headers::BALANCED => {
                    routing.own = true;
                    routing.balanced = is_balanced(value);
                    continue;
                }
                headers::RETRY => {
                    routing.own = true;
                    routing.retry = retry(value)?;
                    continue;
                }
                headers::LEGACY_MODEL_ID => {
                    routing.own = true;
                    legacy = Some((name, value));
                    continue;
                }
                other => {
                    routing.own |= is_own(other);
                    continue;
                }
            };
            routing.own = true;
            if *kind.get_or_insert(this) != this {
                return Err(Failure::invalid(
                    "must include only one of mm-model-id and mm-vmodel-id",
                ));
            }
            if ids.len() == MAX_IDS {
                return Err(Failure::invalid(format!(
                    "more than {MAX_IDS} model ids in one call"
                )));
            }
            ids.push(id(name, value, binary)?);
        }
        if kind.is_none()
            && let Some((name, value)) = legacy
        {
            kind = Some(NameKind::Model);
            ids.push(id(name, value, false)?);
        }
        routing.target = match (kind, ids.len()) {
            (Some(kind), 1) => Target::One(kind, ids.remove(0)),
            (Some(kind), _) => Target::Many(kind, ids),
            (None, _) => Target::None,
        };
        Ok(routing)
    }
}

fn id(name: &HeaderName, value: &HeaderValue, binary: bool) -> Result<ModelId, Failure> {
    let decoded;
    let bytes = if binary {
        // gRPC sends binary metadata without padding and accepts it with.
        let text = value
            .as_bytes()
            .strip_suffix(b"==")
            .or(value.as_bytes().strip_suffix(b"="));
        decoded = BASE64_STANDARD_NO_PAD
            .decode(text.unwrap_or(value.as_bytes()))
            .map_err(|_| Failure::invalid(format!("{name} is not valid base64")))?;
        &decoded[..]
    } else {
        value.as_bytes()
    };
    let id = std::str::from_utf8(bytes).map_err(|_| Failure::invalid(format!("{name} is not UTF-8")))?;
    if id.is_empty() {
        return Err(Failure::invalid(format!("{name} must not be empty")));
    }
    if id.len() > ModelId::MAX_LEN {
        return Err(Failure::invalid(format!(
            "{name} is longer than {} bytes",
            ModelId::MAX_LEN
        )));
    }
    Ok(ModelId::from(id))
}

/// Reads `mm-balanced`; anything but `true` is no.
pub fn is_balanced(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"true")
}

/// Reads `stowage-retry`.
fn retry(value: &HeaderValue) -> Result<Retry, Failure> {
    match value.as_bytes() {
        b"safe" => Ok(Retry::Safe),
        b"never" => Ok(Retry::Never),
        _ => Err(Failure::invalid("stowage-retry must be \"safe\" or \"never\"")),
    }
}

/// Reads `mm-required`.
pub fn required(headers: &HeaderMap) -> Result<Required, Failure> {
    match headers.get(headers::REQUIRED).map(HeaderValue::as_bytes) {
        None | Some(b"any") => Ok(Required::Any),
        Some(b"all") => Ok(Required::All),
        Some(_) => Err(Failure::invalid("mm-required must be \"all\" or \"any\"")),
    }
}

/// Reads a `grpc-timeout`: at most eight digits and a unit.
pub fn timeout(value: &HeaderValue) -> Result<Duration, Failure> {
    let parse = |bytes: &[u8]| {
        let (unit, digits) = bytes.split_last()?;
        if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let n: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(match unit {
            b'H' => Duration::from_secs(n * 3600),
            b'M' => Duration::from_secs(n * 60),
            b'S' => Duration::from_secs(n),
            b'm' => Duration::from_millis(n),
            b'u' => Duration::from_micros(n),
            b'n' => Duration::from_nanos(n),
            _ => return None,
        })
    };
    parse(value.as_bytes())
        .ok_or_else(|| Failure::invalid("grpc-timeout must be at most 8 digits and one of H, M, S, m, u, n"))
}

/// A duration as `grpc-timeout`, rounded down to what eight digits can say, never to nothing.
pub fn timeout_value(left: Duration) -> HeaderValue {
    let micros = left.as_micros().max(1);
    let text = if micros < 100_000_000 {
        format!("{micros}u")
    } else if left.as_millis() < 100_000_000 {
        format!("{}m", left.as_millis())
    } else {
        format!("{}S", left.as_secs().min(99_999_999))
    };
    // Digits and a letter are a valid header value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("1m"))
}

/// Headers that are the router's own business, and stay here.
fn is_own(name: &str) -> bool {
    name.starts_with("mm-")
        || name.starts_with("stowage-")
        || name == headers::LEGACY_MODEL_ID
        || name == "user-agent"
        || name == "grpc-trace-bin"
}

/// Removes what is the router's own business, before the headers go to the runtime.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_own(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// The headers that name the concrete model to the runtime.
#[derive(Clone, Debug)]
pub struct IdHeaders {
    binary: Option<HeaderValue>,
    printable: Option<HeaderValue>,
}

const MODEL_ID: HeaderName = HeaderName::from_static(headers::MODEL_ID);
const MODEL_ID_BIN: HeaderName = HeaderName::from_static(headers::MODEL_ID_BIN);

impl IdHeaders {
    /// `mm-model-id-bin` always, `mm-model-id` where the id is printable ASCII.
    pub fn of(id: &str) -> Self {
        let printable = id.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        Self {
            binary: HeaderValue::from_str(&BASE64_STANDARD_NO_PAD.encode(id)).ok(),
            printable: printable.then(|| HeaderValue::from_str(id).ok()).flatten(),
        }
    }

    /// Adds `mm-model-id-bin` alone.
    pub fn put_binary(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.binary {
            headers.insert(MODEL_ID_BIN, value.clone());
        }
    }

    /// Adds them to a request.
    pub fn put(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.binary {
            headers.insert(MODEL_ID_BIN, value.clone());
        }
        if let Some(value) = &self.printable {
            headers.insert(MODEL_ID, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect()
    }

    fn of(headers: &HeaderMap) -> Result<Target, Failure> {
        Routing::of(headers).map(|routing| routing.target)
    }

    #[test]
    fn ids() {
        let one = |kind, id| Ok(Target::One(kind, ModelId::from(id)));
        assert_eq!(of(&map(&[("te", "trailers")])), Ok(Target::None));
        assert_eq!(of(&map(&[("mm-model-id", "a")])), one(NameKind::Model, "a"));
        assert_eq!(of(&map(&[("mm-vmodel-id", "a")])), one(NameKind::VModel, "a"));
        assert_eq!(
            of(&map(&[("mm-model-id-bin", "w6k=")])),
            one(NameKind::Model, "é")
        );
        assert_eq!(of(&map(&[("mm-model-id-bin", "w6k")])), one(NameKind::Model, "é"));
        assert_eq!(of(&map(&[("tas-model-id", "old")])), one(NameKind::Model, "old"));
        assert_eq!(
            of(&map(&[("tas-model-id", "old"), ("mm-model-id", "a")])),
            one(NameKind::Model, "a")
        );
        let many = Target::Many(NameKind::Model, vec![ModelId::from("a"), ModelId::from("b")]);
        assert_eq!(of(&map(&[("mm-model-id", "a"), ("mm-model-id", "b")])), Ok(many));
    }

    #[test]
    fn manners_of_the_caller() {
        let read = |name, value| {
            Routing::of(&map(&[(name, value)])).map(|routing| (routing.balanced, routing.retry, routing.own))
        };
        assert_eq!(read("mm-balanced", "true"), Ok((true, Retry::Never, true)));
        assert_eq!(read("mm-balanced", "yes"), Ok((false, Retry::Never, true)));
        assert_eq!(read("stowage-retry", "safe"), Ok((false, Retry::Safe, true)));
        assert_eq!(read("stowage-retry", "never"), Ok((false, Retry::Never, true)));
        let failure = read("stowage-retry", "always").expect_err("refused");
        assert!(failure.message.contains("stowage-retry"), "{}", failure.message);
    }

    #[test]
    fn bad_ids() {
        let error = |pairs: &[(&'static str, &'static str)]| of(&map(pairs)).expect_err("refused").message;
        assert!(error(&[("mm-model-id", "a"), ("mm-vmodel-id", "b")]).contains("only one of"));
        assert!(error(&[("mm-model-id", "")]).contains("mm-model-id must not be empty"));
        assert!(error(&[("mm-model-id-bin", "*")]).contains("mm-model-id-bin is not valid base64"));
        assert!(error(&[("mm-model-id-bin", "/w")]).contains("mm-model-id-bin is not UTF-8"));
    }

    #[test]
    fn timeouts() {
        let read = |value| Routing::of(&map(&[("grpc-timeout", value)])).map(|routing| routing.timeout);
        assert_eq!(read("10S"), Ok(Some(Duration::from_secs(10))));
        assert_eq!(read("99999999H"), Ok(Some(Duration::from_hours(99_999_999))));
        for bad in ["", "S", "123456789S", "1x", "-1S"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(timeout_value(Duration::from_millis(1500)), "1500000u");
        assert_eq!(timeout_value(Duration::from_secs(1000)), "1000000m");
        assert_eq!(timeout_value(Duration::from_secs(1_000_000)), "1000000S");
        assert_eq!(timeout_value(Duration::ZERO), "1u");
    }

    #[test]
    fn own_headers_stay_here() {
        let mut headers = map(&[
            ("mm-model-id", "a"),
            ("mm-balanced", "true"),
            ("stowage-hop", "hit"),
            ("authorization", "x"),
            ("user-agent", "y"),
        ]);
        strip(&mut headers);
        assert_eq!(headers, map(&[("authorization", "x")]));
        let mut headers = HeaderMap::new();
        IdHeaders::of("é").put(&mut headers);
        assert_eq!(headers, map(&[("mm-model-id-bin", "w6k")]));
        IdHeaders::of("a").put(&mut headers);
        assert_eq!(headers, map(&[("mm-model-id-bin", "YQ"), ("mm-model-id", "a")]));
    }
}
