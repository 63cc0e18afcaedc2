//! The compiled-in engine: tract, with operators of our own for `ai.onnx.ml`.

mod graph;
mod ml;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use api::datatype::Datatype;
use bytes::Bytes;
use prost::Message as _;
use tract_onnx::{
    Onnx,
    data_resolver::ModelDataResolver,
    pb::ModelProto,
    prelude::{InferenceModelExt as _, IntoRunnable as _, TypedModel, TypedSimplePlan},
    tract_hir::internal::*,
};

use self::graph::{Declared, Signature, Unnamed};
use super::{
    engine::{Dim, Engine, LoadError, LoadedModel, RunError, TensorInfo},
    source::Source,
    tensor::{self, Tensor as V2Tensor},
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
            .finish()
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
        let typed = parsed.model.into_optimized().map_err(|error| prepare(&error))?;
        for output in &signature.unmapped {
            tracing::warn!(
                file = %source.file.display(),
                output,
                "ZipMap taken out, the output is the tensor of probabilities"
            );
        }
        TractModel::new(typed, signature).map_err(|error| prepare(&error))
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
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
    fn new(model: TypedModel, signature: Signature) -> TractResult<Self> {
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
        let size_bytes = size_bytes(&model);
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

/// V2's name of an engine type.
fn datatype(datum_type: DatumType) -> Option<Datatype> {
    Some(match datum_type {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        // Shapes are symbolic inside the engine, and integers when they leave it.
        DatumType::I64 | DatumType::TDim => Datatype::Int64,
        DatumType::F16 => Datatype::Fp16,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        DatumType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// V2's name of an ONNX element type.
fn onnx_datatype(elem_type: i32) -> Option<Datatype> {
    let elem_type = tract_onnx::pb::tensor_proto::DataType::try_from(elem_type).ok()?;
    datatype(DatumType::try_from(elem_type).ok()?)
}

/// The engine's type of a V2 datatype.
fn datum_type(datatype: Datatype) -> Option<DatumType> {
    Some(match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Fp16 => DatumType::F16,
        Datatype::Fp32 => DatumType::F32,
        Datatype::Fp64 => DatumType::F64,
        Datatype::Bytes => DatumType::String,
        Datatype::Bf16 => return None,
    })
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
        let konsts = node
            .outputs
            .iter()
            .filter_map(|output| output.fact.konst.as_ref());
        let tensors = konsts
            .filter(|tensor| seen.insert(Arc::as_ptr(tensor)))
            .map(|tensor| tensor_bytes(tensor));
        let bytes = tensors.chain(kernel).sum::<usize>();
        total = total.saturating_add(bytes as u64);
    }
    total
}

fn tensor_bytes(tensor: &Tensor) -> usize {
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

/// Fixed-size elements from little-endian bytes; `$from` makes one of them.
macro_rules! elements {
    ($raw:expr, $size:literal, $from:expr) => {{
        let (chunks, rest) = $raw.as_chunks::<$size>();
        ensure!(rest.is_empty(), "raw data ends inside an element");
        chunks.iter().map(|chunk| $from(*chunk)).collect::<Vec<_>>()
    }};
}

fn from_v2(input: &V2Tensor) -> TractResult<Tensor> {
    let (shape, raw) = (input.shape.as_slice(), &input.raw);
    Ok(match input.datatype {
        Datatype::Bool => array(shape, raw.iter().map(|byte| *byte != 0).collect())?,
        Datatype::Uint8 => array(shape, raw.to_vec())?,
        Datatype::Int8 => array(shape, elements!(raw, 1, i8::from_le_bytes))?,
        Datatype::Uint16 => array(shape, elements!(raw, 2, u16::from_le_bytes))?,
        Datatype::Int16 => array(shape, elements!(raw, 2, i16::from_le_bytes))?,
        Datatype::Uint32 => array(shape, elements!(raw, 4, u32::from_le_bytes))?,
        Datatype::Int32 => array(shape, elements!(raw, 4, i32::from_le_bytes))?,
        Datatype::Uint64 => array(shape, elements!(raw, 8, u64::from_le_bytes))?,
        Datatype::Int64 => array(shape, elements!(raw, 8, i64::from_le_bytes))?,
        Datatype::Fp16 => array(shape, elements!(raw, 2, f16::from_le_bytes))?,
        Datatype::Fp32 => array(shape, elements!(raw, 4, f32::from_le_bytes))?,
        Datatype::Fp64 => array(shape, elements!(raw, 8, f64::from_le_bytes))?,
        Datatype::Bf16 => bail!("the engine has no BF16"),
        Datatype::Bytes => {
            let count = tensor::element_count(shape).context("shape overflows")?;
            let elements = tensor::split_bytes(raw, count)?;
            let strings = elements
                .iter()
                .map(|element| Ok(std::str::from_utf8(element)?.to_owned()));
            array(shape, strings.collect::<TractResult<Vec<String>>>()?)?
        }
    })
}

fn array<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into())
}

/// Raw little-endian bytes of fixed-size elements.
macro_rules! raw {
    ($tensor:expr, $type:ty) => {{
        let elements = $tensor.try_as_plain_ram()?.as_slice::<$type>()?;
        let mut raw = Vec::with_capacity(size_of_val(elements));
        elements
            .iter()
            .for_each(|element| raw.extend_from_slice(&element.to_le_bytes()));
        Bytes::from(raw)
    }};
}

fn to_v2(value: &Tensor, datatype: Datatype) -> TractResult<V2Tensor> {
    let wanted = datum_type(datatype).context("no such type")?;
    let value = if value.datum_type() == wanted {
        std::borrow::Cow::Borrowed(value)
    } else {
        value.cast_to_dt(wanted)?
    };
    let raw = match datatype {
        Datatype::Bool => {
            let elements = value.try_as_plain_ram()?.as_slice::<bool>()?;
            elements.iter().map(|element| u8::from(*element)).collect()
        }
        Datatype::Uint8 => raw!(value, u8),
        Datatype::Int8 => raw!(value, i8),
        Datatype::Uint16 => raw!(value, u16),
        Datatype::Int16 => raw!(value, i16),
        Datatype::Uint32 => raw!(value, u32),
        Datatype::Int32 => raw!(value, i32),
        Datatype::Uint64 => raw!(value, u64),
        Datatype::Int64 => raw!(value, i64),
        Datatype::Fp16 => raw!(value, f16),
        Datatype::Fp32 => raw!(value, f32),
        Datatype::Fp64 => raw!(value, f64),
        Datatype::Bytes => {
            let elements = value.try_as_plain_ram()?.as_slice::<String>()?;
            tensor::join_bytes(elements).context("a string is longer than 4 GiB")?
        }
        Datatype::Bf16 => bail!("the engine has no BF16"),
    };
    Ok(V2Tensor {
        datatype,
        shape: value.shape().to_vec(),
        raw,
    })
}
