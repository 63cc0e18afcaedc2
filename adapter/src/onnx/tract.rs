//! The compiled-in engine: tract, with operators of our own for `ai.onnx.ml`.

mod convert;
mod extents;
pub(super) mod graph;
mod ml;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use prost::Message as _;
use tract_onnx::{
    Onnx,
    data_resolver::ModelDataResolver,
    pb::ModelProto,
    prelude::{InferenceModelExt as _, IntoRunnable as _, TypedModel, TypedSimplePlan},
    tract_hir::{internal::*, tract_core::ops::konst::Const},
};

use self::{
    convert::{datatype, from_v2, onnx_datatype, to_v2},
    graph::{Declared, Signature, Unnamed},
};
use super::{
    engine::{Dim, Engine, LoadError, LoadedModel, RunError, TensorInfo},
    source::Source,
    tensor::Tensor as V2Tensor,
};

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct TractEngine {
    onnx: Arc<Onnx>,
    operators: Arc<HashSet<String>>,
}

impl std::fmt::Debug for TractEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TractEngine")
            .field("operators", &self.operators.len())
            .finish_non_exhaustive()
    }
}

impl Default for TractEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl TractEngine {
    /// The engine with all its operators.
    pub fn new() -> Self {
        let mut onnx = tract_onnx::onnx();
        ml::register(&mut onnx.op_register);
        onnx.provider = Arc::new(FileReader);
        // Inferred shapes in the file use names that were replaced; the engine infers them itself.
        onnx.ignore_value_info = true;
        let operators = onnx.op_register.0.keys().cloned().collect();
        Self {
            onnx: Arc::new(onnx),
            operators: Arc::new(operators),
        }
    }

    fn attempt(&self, source: &Source, bytes: &Bytes, unnamed: Unnamed) -> Result<TractModel, LoadError> {
        let mut model = ModelProto::decode(bytes.clone()).map_err(|error| LoadError::Corrupt {
            path: source.file.clone(),
            reason: error.to_string(),
        })?;
        let opsets = graph::opsets(&model);
        let signature = graph::prepare(&mut model, &source.file, &self.operators, unnamed)?;
        let prepare = |error: &TractError| LoadError::Prepare {
            reason: reason(error),
            opsets: opsets.clone(),
        };
        let folder = source.file.parent().and_then(Path::to_str);
        let parsed = self.onnx.parse(&model, folder).map_err(|error| prepare(&error))?;
        // The file's own copy of the weights is not needed while the graph is optimized.
        drop(model);
        let mut typed = parsed.model.into_typed().map_err(|error| prepare(&error))?;
        typed.declutter().map_err(|error| prepare(&error))?;
        let plain_bytes = size_bytes(&typed);
        typed.optimize().map_err(|error| prepare(&error))?;
        for output in &signature.unmapped {
            tracing::warn!(
                file = %source.file.display(),
                output,
                "ZipMap taken out, the output is the tensor of probabilities"
            );
        }
        TractModel::new(typed, signature, plain_bytes).map_err(|error| prepare(&error))
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn platform(&self) -> &'static str {
        "tract_onnx"
    }

    fn description(&self) -> String {
        "the built-in engine (tract)".to_owned()
    }

    fn has_operator(&self, domain: &str, operator: &str) -> bool {
        graph::has_operator(&self.operators, domain, operator)
    }

    fn load(&self, source: &Source) -> Result<Box<dyn LoadedModel>, LoadError> {
        let bytes = fs::read(&source.file).map_err(|error| LoadError::Read {
            path: source.file.clone(),
            source: error,
        })?;
        let bytes = Bytes::from(bytes);
        let attempt = |unnamed| {
            catch_unwind(AssertUnwindSafe(|| self.attempt(source, &bytes, unnamed))).unwrap_or_else(|panic| {
                Err(LoadError::Panic {
                    reason: panic_text(&*panic),
                })
            })
        };
        let model = match attempt(Unnamed::Batch) {
            // Perhaps the outermost dimensions are not one batch after all.
            Err(LoadError::Prepare { .. }) => attempt(Unnamed::Distinct)?,
            result => result?,
        };
        Ok(Box::new(model))
    }
}

/// Longest part of the engine's own error text that is repeated; it prints whole nodes.
const MAX_REASON: usize = 600;

fn reason(error: &TractError) -> String {
    let text = format!("{error:#}").replace('\n', " ");
    match text.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message")
        .chars()
        .take(MAX_REASON)
        .collect()
}

/// Reads external data without mapping files: a mapped file that shrinks kills the process.
struct FileReader;

impl ModelDataResolver for FileReader {
    fn read_bytes_from_path(
        &self,
        buf: &mut Vec<u8>,
        path: &Path,
        offset: usize,
        length: Option<usize>,
    ) -> TractResult<()> {
        let mut file = File::open(path)?;
        let available = file.metadata()?.len().saturating_sub(offset as u64);
        let length = length.map_or(available, |length| length as u64);
        ensure!(
            length <= available,
            "external data file has {available} bytes after the offset, {length} needed"
        );
        file.seek(SeekFrom::Start(offset as u64))?;
        let read = file.take(length).read_to_end(buf)?;
        ensure!(read as u64 == length, "external data file ended early");
        Ok(())
    }
}

/// A graph that is ready to run.
#[derive(Debug)]
struct TractModel {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    /// Element types the plan wants, aligned with `inputs`.
    input_types: Vec<DatumType>,
    size_bytes: u64,
}

impl TractModel {
    /// `plain_bytes` is the size before weights were laid out for the processor, where the engine knows it best.
    fn new(model: TypedModel, signature: Signature, plain_bytes: u64) -> TractResult<Self> {
        let mut inputs = Vec::with_capacity(signature.inputs.len());
        let mut input_types = Vec::with_capacity(signature.inputs.len());
        ensure!(
            model.inputs.len() == signature.inputs.len(),
            "the engine found other inputs than are declared"
        );
        for (declared, outlet) in signature.inputs.into_iter().zip(&model.inputs) {
            let fact = model.outlet_fact(*outlet)?;
            let Declared { name, dims, .. } = declared;
            let datatype = datatype(fact.datum_type)
                .with_context(|| format!("input {name:?} has type {:?}, which V2 lacks", fact.datum_type))?;
            input_types.push(fact.datum_type);
            inputs.push(TensorInfo {
                name,
                datatype,
                dims: dims.unwrap_or_default(),
            });
        }
        let mut outputs = Vec::with_capacity(signature.outputs.len());
        ensure!(
            model.outputs.len() == signature.outputs.len(),
            "the engine found other outputs than are declared"
        );
        for (declared, outlet) in signature.outputs.into_iter().zip(&model.outputs) {
            outputs.push(output_info(declared, model.outlet_fact(*outlet)?)?);
        }
        let size_bytes = size_bytes(&model).max(plain_bytes);
        let plan = model.into_runnable()?;
        Ok(Self {
            plan,
            inputs,
            outputs,
            input_types,
            size_bytes,
        })
    }
}

/// Declaration of an output: what the graph says, and where it says nothing, what the engine inferred.
fn output_info(declared: Declared, fact: &TypedFact) -> TractResult<TensorInfo> {
    let Declared {
        name,
        elem_type,
        dims,
    } = declared;
    let inferred = datatype(fact.datum_type);
    let datatype = elem_type
        .and_then(onnx_datatype)
        .or(inferred)
        .with_context(|| format!("output {name:?} has type {:?}, which V2 lacks", fact.datum_type))?;
    let known = |dim: &TDim| dim.to_usize().map_or(Dim::Any, Dim::Fixed);
    let facts = fact.shape.iter().map(known).collect::<Vec<_>>();
    let dims = match dims {
        // The engine may know more than the file, and the file more names than the engine.
        Some(dims) if dims.len() == facts.len() => {
            let pairs = dims.into_iter().zip(facts);
            pairs
                .map(|(dim, fact)| {
                    if matches!(fact, Dim::Fixed(_)) {
                        fact
                    } else {
                        open(dim)
                    }
                })
                .collect()
        }
        _ => facts,
    };
    Ok(TensorInfo { name, datatype, dims })
}

/// A dimension that the engine left open is open, whatever the file claims.
fn open(dim: Dim) -> Dim {
    match dim {
        Dim::Fixed(_) => Dim::Any,
        other => other,
    }
}

/// What the plan keeps for one node besides its tensors: measured over the test models, rounded up.
const NODE_BYTES: u64 = 2 * 1024;
/// What one model keeps whatever its graph: names, counters, entries in tables.
const MODEL_BYTES: u64 = 16 * 1024;

/// Memory of a prepared graph: every constant tensor once, our operators' tables, and a share for each node.
fn size_bytes(model: &TypedModel) -> u64 {
    let mut seen = HashSet::new();
    let mut total = MODEL_BYTES;
    for node in &model.nodes {
        total = total.saturating_add(NODE_BYTES);
        let kernel = node.op_as::<ml::KernelOp>().map(ml::KernelOp::size_bytes);
        let konst = node
            .op_as::<Const>()
            .filter(|konst| seen.insert(Arc::as_ptr(konst.val())));
        let facts = node.outputs.first().map(|output| &output.fact);
        let tensor = konst.map(|konst| tensor_bytes(konst.val(), facts));
        let bytes = tensor.into_iter().chain(kernel).sum::<usize>();
        total = total.saturating_add(bytes as u64);
    }
    total
}

/// Memory of a constant; `fact` knows it where the weights were packed.
fn tensor_bytes(tensor: &Tensor, fact: Option<&TypedFact>) -> usize {
    let packed = fact
        .filter(|fact| fact.exotic_fact.is_some())
        .and_then(|fact| fact.mem_size().to_usize().ok());
    if let Some(bytes) = packed {
        return bytes;
    }
    let strings = tensor
        .try_as_plain_ram()
        .ok()
        .and_then(|plain| plain.as_slice::<String>().ok());
    match strings {
        Some(strings) => strings.iter().map(|s| s.capacity() + size_of::<String>()).sum(),
        None => tensor.volume() * tensor.datum_type().size_of(),
    }
}

impl LoadedModel for TractModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn run(&self, inputs: &[V2Tensor], wanted: &[usize]) -> Result<Vec<V2Tensor>, RunError> {
        let run = || -> TractResult<Vec<V2Tensor>> {
            let inputs = inputs.iter().zip(&self.input_types).map(|(input, datum_type)| {
                let tensor = from_v2(input)?;
                Ok(if tensor.datum_type() == *datum_type {
                    tensor.into_tvalue()
                } else {
                    tensor.cast_to_dt(*datum_type)?.into_owned().into_tvalue()
                })
            });
            let inputs = inputs.collect::<TractResult<TVec<TValue>>>()?;
            let outputs = self.plan.run(inputs)?;
            let to_v2 = |index: &usize| {
                let value = outputs
                    .get(*index)
                    .context("the engine answered too few outputs")?;
                let info = self.outputs.get(*index).context("no such output")?;
                to_v2(value, info.datatype)
            };
            wanted.iter().map(to_v2).collect()
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result.map_err(|error| RunError::Refused {
                reason: reason(&error),
            }),
            Err(panic) => Err(RunError::Panic {
                reason: panic_text(&*panic),
            }),
        }
    }
}
