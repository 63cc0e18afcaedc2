//! Which model a call is for: by its headers, or by what has arrived of its first message.

use tonic::Code;

use super::{Incoming, Plane};
use crate::{
    edit,
    failure::Failure,
    model::{ModelId, versioned_name},
    request::Target,
    rules::{Extract, NameKind, Verdict},
    wire::path::FieldPath,
};

/// Which model a call is for.
pub(super) struct Destination {
    pub(super) kind: NameKind,
    pub(super) names: Names,
    /// Later messages must name what the first one named.
    pub(super) expect: Option<(FieldPath, String)>,
    pub(super) unary: bool,
}

/// What has arrived of a body, or all there is of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Arrived,
    Ended,
}

/// What the model is called.
pub(super) enum Names {
    One(String),
    Many(Vec<ModelId>),
}

impl Plane {
    /// Reads on until it is clear which model a call is for.
    pub(super) async fn wait_for_destination(&self, incoming: &mut Incoming) -> Result<Destination, Failure> {
        loop {
            if !incoming.body.pull_for_peek().await? {
                let ended = self.destination(incoming, Reading::Ended)?;
                return ended
                    .ok_or_else(|| Failure::new(Code::Internal, "half-closed without a request message"));
            }
            if let Some(destination) = self.destination(incoming, Reading::Arrived)? {
                return Ok(destination);
            }
        }
    }

    /// Finds out which model a call is for; `None` when more of its first message is needed for that.
    pub(super) fn destination(
        &self,
        incoming: &mut Incoming,
        reading: Reading,
    ) -> Result<Option<Destination>, Failure> {
        let rules = self.rules.load();
        let extract = match rules.of(incoming.parts.uri.path()) {
            Verdict::Denied => {
                let method = incoming.parts.uri.path().trim_start_matches('/');
                let text = format!("{method} is not listed in the router's data plane configuration");
                return Err(Failure::new(Code::Unimplemented, text));
            }
            Verdict::Headers => None,
            Verdict::Extract(extract) => Some(extract),
        };
        let unary = extract.is_some_and(|extract| extract.unary);
        // With V2's own rules a header is the more explicit word; with configured rules the message is, as upstream.
        let by_message = extract
            .filter(|extract| extract.kind != NameKind::Either || incoming.routing.target == Target::None);
        if let Some(extract) = by_message {
            match self.peek(incoming, extract)? {
                None if reading == Reading::Arrived => return Ok(None),
                None => {}
                Some((wire_name, _)) if wire_name.is_empty() => {}
                Some((wire_name, version)) => {
                    let name = if version.is_empty() {
                        None
                    } else {
                        self.with_version(&wire_name, &version)
                    };
                    let expect = (!extract.unary).then(|| (extract.path.clone(), wire_name.clone()));
                    let name = name.unwrap_or(wire_name);
                    return Ok(Some(Destination {
                        kind: extract.kind,
                        names: Names::One(name),
                        expect,
                        unary,
                    }));
                }
            }
        }
        let (kind, names) = match &incoming.routing.target {
            Target::One(kind, id) => (*kind, Names::One(id.as_str().to_owned())),
            Target::Many(kind, ids) => (*kind, Names::Many(ids.clone())),
            Target::None if extract.is_some() => {
                return Err(Failure::invalid(
                    "must include mm-model-id header, or the model's name in the request",
                ));
            }
            Target::None => return Err(Failure::invalid("must include mm-model-id header")),
        };
        Ok(Some(Destination {
            kind,
            names,
            expect: None,
            unary,
        }))
    }

    /// The name for one version, where versions are registered; else the name alone, and the runtime judges the version.
    fn with_version(&self, name: &str, version: &str) -> Option<String> {
        let versioned = versioned_name(name, version);
        // A version that is not known is answered so here, without a call that would have the runtime suspected of
        // forgetting models.
        let known = self.mesh.lookup(&versioned, NameKind::Either).is_some() || self.mesh.has_versions(name);
        known.then(|| versioned.into_owned())
    }

    /// Name and version in what has arrived of the first message; `None` when more of it is needed.
    fn peek(&self, incoming: &mut Incoming, extract: &Extract) -> Result<Option<(String, String)>, Failure> {
        let (limit, encoding) = (self.options.message_limit, incoming.routing.encoding);
        let read = |message: &[u8], total: usize| {
            let Some(name) = edit::read(&extract.path, message, total)? else {
                return Ok(None);
            };
            let version = match &extract.version {
                None => None,
                Some(path) => match edit::read(path, message, total)? {
                    None => return Ok(None),
                    Some(version) => version,
                },
            };
            Ok(Some((name.unwrap_or_default(), version.unwrap_or_default())))
        };
        let found = incoming.body.peek(|prefix, message| {
            if !prefix.compressed {
                return read(message, prefix.length);
            }
            if message.len() < prefix.length {
                return Ok(None);
            }
            let plain = encoding.decode(message, limit)?;
            read(&plain, plain.len())
        })?;
        let longest = ModelId::MAX_LEN;
        match found {
            Some((name, _)) if name.len() > longest => Err(Failure::invalid(format!(
                "the model's name is longer than {longest} bytes"
            ))),
            found => Ok(found),
        }
    }
}
