//! Which runtime will serve a model: the choice that `KServe`'s and ModelMesh Serving's controllers make later, as pure
//! functions that can say why.

use std::{cmp::Reverse, fmt, sync::Arc};

use crate::{
    snapshot::{Format, Runtime, Snapshot},
    suggest,
};

/// The protocol that `KServe` looks for when a model names none.
pub const DEFAULT_PROTOCOL: &str = "v1";

/// What a model needs of its runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// Where the model is.
    pub namespace: &'a str,
    /// `modelFormat.name`; compared exactly.
    pub format: &'a str,
    /// `modelFormat.version`; compared as text, so `1` is not `1.0`.
    pub version: Option<&'a str>,
    /// `protocolVersion`, if the model names one.
    pub protocol: Option<&'a str>,
    /// For ModelMesh rather than one model per pod.
    pub multi_model: bool,
    /// Whether the model spans nodes (it has a `workerSpec`).
    pub multi_node: bool,
}

impl Wish<'_> {
    /// `name` or `name:version`.
    pub fn label(&self) -> String {
        match self.version {
            Some(version) => format!("{}:{version}", self.format),
            None => self.format.to_owned(),
        }
    }

    /// Whether an entry of `supportedModelFormats` serves the model.
    fn fits(&self, format: &Format) -> bool {
        format.name == self.format
            && self
                .version
                .is_none_or(|version| format.version.as_deref() == Some(version))
    }
}

/// Why a runtime does not serve a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// `spec.disabled` is true.
    Disabled,
    /// It serves many models per pod and one per pod was asked for, or the reverse.
    MultiModel {
        /// What the runtime is.
        offered: bool,
    },
    /// It does not list the format; `near` is one that it lists and that differs only in case.
    Format {
        /// The entry that may have been meant.
        near: Option<String>,
    },
    /// It lists the format in other versions only.
    Version {
        /// Those versions.
        offered: Vec<String>,
    },
    /// It lists the format, but not with `autoSelect: true`.
    NotAutoSelect,
    /// It does not speak the protocol.
    Protocol {
        /// The protocol looked for.
        wanted: String,
        /// Whether the model named it, or `v1` was assumed.
        assumed: bool,
        /// What it speaks.
        offered: Vec<String>,
    },
    /// It has no `workerSpec` and the model spans nodes, or the reverse.
    Workers {
        /// Whether the runtime has one.
        offered: bool,
    },
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("is disabled"),
            Self::MultiModel { offered: true } => f.write_str("is for ModelMesh"),
            Self::MultiModel { offered: false } => f.write_str("is not for ModelMesh"),
            Self::Format { near: Some(near) } => write!(f, "lists the format as `{near}`; case matters"),
            Self::Format { near: None } => f.write_str("does not list the format"),
            Self::Version { offered } => {
                write!(
                    f,
                    "lists the format in version {}",
                    suggest::list(offered.iter().map(String::as_str))
                )
            }
            Self::NotAutoSelect => f.write_str("lists the format without `autoSelect: true`"),
            Self::Protocol {
                wanted,
                assumed,
                offered,
            } => {
                let assumed = if *assumed {
                    " (assumed, since `protocolVersion` is not set)"
                } else {
                    ""
                };
                if offered.is_empty() {
                    return write!(f, "lists no protocol, so not `{wanted}`{assumed}");
                }
                let offered = suggest::list(offered.iter().map(String::as_str));
                write!(f, "speaks {offered}, not `{wanted}`{assumed}")
            }
            Self::Workers { offered: true } => {
                f.write_str("is for models that span nodes (it has a `workerSpec`)")
            }
            Self::Workers { offered: false } => f.write_str("has no `workerSpec`"),
        }
    }
}

/// The outcome of an automatic choice.
#[derive(Debug, Clone, Default)]
pub struct Selection<'s> {
    /// Those that would do, best first; the first is taken. For ModelMesh all of them are a pool.
    pub candidates: Vec<&'s Arc<Runtime>>,
    /// Those that list the format and do not do, with every reason.
    pub rejected: Vec<(&'s Arc<Runtime>, Vec<Objection>)>,
    /// How many runtimes were looked at.
    pub looked_at: usize,
}

impl<'s> Selection<'s> {
    /// The runtime that is taken.
    pub fn chosen(&self) -> Option<&'s Arc<Runtime>> {
        self.candidates.first().copied()
    }
}

/// Every runtime that lists the format, best first: what is wrong with it, or that it would do.
impl fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain(usize::MAX))
    }
}

impl Selection<'_> {
    /// The same in one line, for at most so many runtimes. Those with the fewest objections come first.
    pub fn explain(&self, most: usize) -> String {
        let fitting = self.candidates.iter().enumerate().map(|(position, runtime)| {
            format!(
                "`{}` {}",
                runtime.name,
                if position == 0 { "is chosen" } else { "would do" }
            )
        });
        let mut rejected: Vec<_> = self.rejected.iter().collect();
        rejected.sort_by_key(|(_, objections)| objections.len());
        let rejected = rejected.into_iter().map(|(runtime, objections)| {
            let objections: Vec<String> = objections.iter().map(ToString::to_string).collect();
            format!("`{}` {}", runtime.name, objections.join(" and "))
        });
        let mut parts: Vec<String> = fitting.chain(rejected).take(most).collect();
        let more = self.looked_at.saturating_sub(parts.len());
        if more > 0 {
            parts.push(format!("{more} more"));
        }
        parts.join("; ")
    }
}

/// The automatic choice of `KServe`'s controller.
pub fn kserve<'s>(wish: &Wish<'_>, snapshot: &'s Snapshot) -> Selection<'s> {
    let mut selection = Selection::default();
    let namespaced = snapshot.serving_runtimes.get(wish.namespace);
    // A namespaced runtime beats every cluster runtime, whatever the priorities are.
    for scope in namespaced.into_iter().chain([&*snapshot.cluster_runtimes]) {
        selection.looked_at += scope.len();
        let mut fitting = Vec::new();
        for runtime in scope.with_format(wish.format) {
            let objections = objections(wish, runtime);
            if objections.is_empty() {
                fitting.push(runtime);
            } else {
                selection.rejected.push((runtime, objections));
            }
        }
        fitting.sort_by(|left, right| order(wish, left).cmp(&order(wish, right)));
        selection.candidates.extend(fitting);
    }
    selection
}

/// Highest priority, simplest protocol, newest, name.
fn order<'r>(wish: &Wish<'_>, runtime: &'r Runtime) -> impl Ord + use<'r> {
    // Of the first entry of that name, whatever its version and whether it may be selected: as upstream.
    let priority = runtime
        .formats
        .iter()
        .find(|format| format.name == wish.format)
        .and_then(|format| format.priority);
    (
        Reverse(priority),
        runtime.protocol_rank(),
        Reverse(&runtime.created),
        &runtime.name,
    )
}

fn objections(wish: &Wish<'_>, runtime: &Runtime) -> Vec<Objection> {
    let mut objections = Vec::new();
    if runtime.disabled {
        objections.push(Objection::Disabled);
    }
    if runtime.multi_model != wish.multi_model {
        objections.push(Objection::MultiModel {
            offered: runtime.multi_model,
        });
    }
    objections.extend(format_objection(wish, runtime, true));
    let wanted = wish.protocol.unwrap_or(DEFAULT_PROTOCOL);
    if !runtime.speaks(wanted) {
        objections.push(protocol_objection(runtime, wanted, wish.protocol.is_none()));
    }
    if runtime.multi_node != wish.multi_node {
        objections.push(Objection::Workers {
            offered: runtime.multi_node,
        });
    }
    objections
}

fn protocol_objection(runtime: &Runtime, wanted: &str, assumed: bool) -> Objection {
    Objection::Protocol {
        wanted: wanted.to_owned(),
        assumed,
        offered: runtime.protocols.clone(),
    }
}

fn format_objection(wish: &Wish<'_>, runtime: &Runtime, auto: bool) -> Option<Objection> {
    let named = || runtime.formats.iter().filter(|format| format.name == wish.format);
    if named().any(|format| wish.fits(format) && (format.auto_select || !auto)) {
        return None;
    }
    if named().next().is_none() {
        let near = runtime
            .formats
            .iter()
            .find(|format| format.name.eq_ignore_ascii_case(wish.format));
        return Some(Objection::Format {
            near: near.map(|format| format.name.clone()),
        });
    }
    if named().any(|format| wish.fits(format)) {
        return Some(Objection::NotAutoSelect);
    }
    let offered = named()
        .map(|format| format.version.clone().unwrap_or_else(|| "(any)".to_owned()))
        .collect();
    Some(Objection::Version { offered })
}

/// What speaks against the runtime that a model names itself. `KServe` then asks neither for `autoSelect` nor for
/// `multiModel`, and for a protocol only if the model names one.
pub fn named(wish: &Wish<'_>, runtime: &Runtime) -> Vec<Objection> {
    let mut objections = Vec::new();
    if runtime.disabled {
        objections.push(Objection::Disabled);
    }
    if let Some(wanted) = wish.protocol.filter(|wanted| !runtime.speaks(wanted)) {
        objections.push(protocol_objection(runtime, wanted, false));
    }
    objections.extend(format_objection(wish, runtime, false));
    if runtime.multi_node != wish.multi_node {
        objections.push(Objection::Workers {
            offered: runtime.multi_node,
        });
    }
    objections
}

/// The pool of ModelMesh runtimes that a model may be loaded in. A model without a protocol takes any; priorities do
/// not count. Nothing is asked of a runtime that the model names, but to be there for ModelMesh.
pub fn model_mesh<'s>(wish: &Wish<'_>, snapshot: &'s Snapshot) -> Selection<'s> {
    let mut selection = Selection::default();
    let namespaced = snapshot.serving_runtimes.get(wish.namespace);
    let cluster = &*snapshot.cluster_runtimes;
    for scope in namespaced.into_iter().chain([cluster]) {
        selection.looked_at += scope.len();
        for runtime in scope.with_format(wish.format) {
            let hidden =
                runtime.namespace.is_none() && namespaced.is_some_and(|own| own.get(&runtime.name).is_some());
            if hidden {
                selection.looked_at -= 1;
                continue;
            }
            let mut objections = Vec::new();
            if runtime.disabled {
                objections.push(Objection::Disabled);
            }
            if !runtime.multi_model {
                objections.push(Objection::MultiModel { offered: false });
            }
            objections.extend(format_objection(wish, runtime, true));
            if let Some(wanted) = wish.protocol.filter(|wanted| !mesh_speaks(runtime, wanted)) {
                objections.push(protocol_objection(runtime, wanted, false));
            }
            if objections.is_empty() {
                selection.candidates.push(runtime);
            } else {
                selection.rejected.push((runtime, objections));
            }
        }
    }
    selection
        .candidates
        .sort_by(|left, right| left.name.cmp(&right.name));
    selection
}

/// REST comes with every ModelMesh pod: what speaks gRPC v2 speaks v2.
fn mesh_speaks(runtime: &Runtime, wanted: &str) -> bool {
    let lists = |protocol: &str| runtime.protocols.iter().any(|known| known == protocol);
    lists(wanted) || (wanted == "v2" && lists("grpc-v2"))
}

/// Every format that some runtime in reach lists: for suggestions.
pub(crate) fn known_formats<'s>(namespace: &str, snapshot: &'s Snapshot) -> Vec<&'s str> {
    let namespaced = snapshot.serving_runtimes.get(namespace);
    let mut formats: Vec<&str> = namespaced
        .into_iter()
        .chain([&*snapshot.cluster_runtimes])
        .flat_map(super::snapshot::Runtimes::formats)
        .collect();
    formats.sort_unstable();
    formats.dedup();
    formats
}

/// Names of every runtime in reach: for suggestions.
pub(crate) fn known_names<'s>(namespace: &str, snapshot: &'s Snapshot) -> Vec<&'s str> {
    let namespaced = snapshot.serving_runtimes.get(namespace);
    let mut names: Vec<&str> = namespaced
        .into_iter()
        .chain([&*snapshot.cluster_runtimes])
        .flat_map(super::snapshot::Runtimes::names)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
