//! A model in ONNX Runtime.

use std::borrow::Cow;

use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue, SessionOutputs};

use super::{
    element::tensor_info,
    environment::Runtime,
    file::ModelFile,
    reason::{contained, load_error},
    sessions::{self, Sessions},
    tensors,
};
use crate::onnx::{
    engine::{LoadError, LoadedModel, RunError, TensorInfo},
    tensor::Tensor,
};

/// What a session keeps whatever its graph: measured with a model of one node, rounded up.
const SESSION_BYTES: u64 = 96 * 1024;
/// What it keeps for one node besides its tensors.
const NODE_BYTES: u64 = 4 * 1024;
/// The library allocates with glibc, which keeps what was freed between two blocks that are in use: as much again as
/// the weights, measured, unless the weights are larger than any block that it does not give back at once.
const MOST_KEPT: u64 = 32 << 20;

/// Memory of one session. The weights are there once, as they are in the file or packed for the processor.
fn session_bytes(file: &ModelFile) -> u64 {
    let weights = file.bytes();
    SESSION_BYTES
        .saturating_add(NODE_BYTES.saturating_mul(file.inspected.nodes as u64))
        .saturating_add(weights)
        .saturating_add(weights.min(MOST_KEPT))
}

/// A model with its sessions.
#[derive(Debug)]
pub(super) struct OrtModel {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    sessions: Sessions,
    size_bytes: u64,
}

impl OrtModel {
    pub(super) fn new(runtime: &Runtime, file: ModelFile) -> Result<Self, LoadError> {
        let session = sessions::make(runtime, &file).map_err(|error| load_error(&error, &file.inspected))?;
        let unsupported = |reason: String| LoadError::Unsupported { reason };
        let inputs = infos(
            "input",
            file.inspected.inputs.iter().map(|input| &input.name),
            session.inputs(),
        )
        .map_err(unsupported)?;
        let outputs =
            infos("output", file.inspected.outputs.iter(), session.outputs()).map_err(unsupported)?;
        let size_bytes = session_bytes(&file);
        Ok(Self {
            inputs,
            outputs,
            sessions: Sessions::new(runtime.clone(), file, session, size_bytes),
            size_bytes,
        })
    }
}

/// Declarations of the named tensors; `kind` says which they are, for messages.
fn infos<'a>(
    kind: &str,
    names: impl Iterator<Item = &'a String>,
    outlets: &[ort::value::Outlet],
) -> Result<Vec<TensorInfo>, String> {
    let info = |name: &String| {
        let outlet = outlets.iter().find(|outlet| outlet.name() == name);
        let outlet = outlet.ok_or_else(|| format!("{kind} {name:?} is not in the engine's graph"))?;
        tensor_info(name, outlet.dtype()).map_err(|reason| format!("{kind} {reason}"))
    };
    names.map(info).collect()
}

impl LoadedModel for OrtModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn is_busy(&self) -> bool {
        self.sessions.are_busy()
    }

    fn run(&self, inputs: &[Tensor], wanted: &[usize]) -> Result<Vec<Tensor>, RunError> {
        let run = || {
            let mut values = Vec::with_capacity(inputs.len());
            for (info, input) in self.inputs.iter().zip(inputs) {
                values.push((Cow::Borrowed(info.name.as_str()), tensors::input(input)?));
            }
            self.sessions.with(|session| self.call(session, values, wanted))
        };
        contained(run).unwrap_or_else(|reason| Err(RunError::Panic { reason }))
    }
}

type Named<'a> = (Cow<'a, str>, SessionInputValue<'a>);

impl OrtModel {
    fn call(
        &self,
        session: &mut Session,
        inputs: Vec<Named<'_>>,
        wanted: &[usize],
    ) -> Result<Vec<Tensor>, RunError> {
        let wanted = wanted.iter().filter_map(|index| self.outputs.get(*index));
        let wanted = wanted.map(|info| info.name.as_str()).collect::<Vec<_>>();
        if wanted.len() == self.outputs.len() {
            let outputs = session.run(inputs).map_err(|error| tensors::refused(&error))?;
            return answers(&outputs, &wanted);
        }
        // The engine leaves out what leads to no output that is asked for.
        let select = |selector: OutputSelector, name: &&str| selector.with(*name);
        let selector = wanted.iter().fold(OutputSelector::no_default(), select);
        let options = RunOptions::new().map_err(|error| tensors::refused(&error))?;
        let options = options.with_outputs(selector);
        let outputs = session
            .run_with_options(inputs, &options)
            .map_err(|error| tensors::refused(&error))?;
        answers(&outputs, &wanted)
    }
}

fn answers(outputs: &SessionOutputs<'_>, wanted: &[&str]) -> Result<Vec<Tensor>, RunError> {
    let answer = |name: &&str| {
        let value = outputs.get(name).ok_or_else(|| RunError::Refused {
            reason: format!("the engine did not answer output {name:?}"),
        })?;
        tensors::output(value)
    };
    wanted.iter().map(answer).collect()
}
