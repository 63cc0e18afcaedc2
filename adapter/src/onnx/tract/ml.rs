//! Operators of `ai.onnx.ml` that the engine lacks, or where a forest evaluator of our own is much faster.
//!
//! Each operator is a [`Kernel`]: attributes read once, shapes as a pure function, evaluation on whole tensors.
//! [`KernelOp`] is the one adapter between kernels and the engine. Behavior follows ONNX Runtime, which is what
//! models are tested with before they get here.

mod encode;
mod forest;
mod linear;
mod numeric;
mod post;
mod svm;
mod tree;

use std::{fmt, sync::Arc};

use tract_onnx::{
    model::{OnnxOpRegister, ParsingContext},
    pb::NodeProto,
    tract_hir::internal::*,
};

/// Datum type and shape of a tensor.
type Fact = (DatumType, TVec<TDim>);

/// One `ai.onnx.ml` operator with its attributes.
trait Kernel: fmt::Debug + Send + Sync + 'static {
    /// Operator name.
    fn name(&self) -> &'static str;

    /// Number of outputs.
    fn outputs(&self) -> usize {
        1
    }

    /// Types and shapes of the outputs.
    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>>;

    /// The outputs for these inputs.
    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>>;

    /// Heap memory of the attributes.
    fn size_bytes(&self) -> usize;
}

/// Names of all operators of the domain that [`register`] adds; the register of the engine knows no domains.
pub(super) const OPERATORS: [&str; 16] = [
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
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    // Taken out of the graph before the engine sees it.
    "ZipMap",
];

/// Adds the operators to the engine's register.
pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("ArrayFeatureExtractor", encode::array_feature_extractor);
    register.insert("Binarizer", numeric::binarizer);
    register.insert("FeatureVectorizer", numeric::feature_vectorizer);
    register.insert("Imputer", numeric::imputer);
    register.insert("LabelEncoder", encode::label_encoder);
    register.insert("LinearClassifier", linear::classifier);
    register.insert("LinearRegressor", linear::regressor);
    register.insert("Normalizer", numeric::normalizer);
    register.insert("OneHotEncoder", encode::one_hot_encoder);
    register.insert("SVMClassifier", svm::classifier);
    register.insert("SVMRegressor", svm::regressor);
    register.insert("Scaler", numeric::scaler);
    register.insert("TreeEnsembleClassifier", tree::classifier);
    register.insert("TreeEnsembleRegressor", tree::regressor);
}

/// What a builder of the engine's register answers.
type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

#[allow(clippy::unnecessary_wraps, reason = "every builder ends with it")]
fn built(kernel: impl Kernel) -> Built {
    Ok((expand(KernelOp(Arc::new(kernel))), vec![]))
}

/// A kernel as the engine's operator, both while types are inferred and when it runs.
#[derive(Clone)]
pub(super) struct KernelOp(Arc<dyn Kernel>);

impl KernelOp {
    /// Heap memory of the kernel.
    pub(super) fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }
}

impl fmt::Debug for KernelOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A forest would print every node.
        f.write_str(self.0.name())
    }
}

impl PartialEq for KernelOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KernelOp {}

impl Expansion for KernelOp {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.outputs())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.0.outputs())?;
        let types = inputs.iter().map(|input| &input.datum_type).collect::<Vec<_>>();
        s.given_all(types, move |s, types| {
            let shapes = inputs.iter().map(|input| &input.shape).collect::<Vec<_>>();
            s.given_all(shapes, move |s, shapes: Vec<TVec<TDim>>| {
                let facts = types.iter().copied().zip(shapes).collect::<Vec<_>>();
                for (output, (datum_type, shape)) in outputs.iter().zip(self.0.facts(&facts)?) {
                    s.equals(&output.datum_type, datum_type)?;
                    s.equals(&output.shape, ShapeFactoid::from(shape))?;
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for KernelOp {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for KernelOp {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(self
            .0
            .eval(&inputs)?
            .into_iter()
            .map(Tensor::into_tvalue)
            .collect())
    }
}

impl TypedOp for KernelOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let facts = inputs
            .iter()
            .map(|fact| (fact.datum_type, fact.shape.to_tvec()))
            .collect::<Vec<_>>();
        Ok(self
            .0
            .facts(&facts)?
            .into_iter()
            .map(|(datum_type, shape)| datum_type.fact(shape))
            .collect())
    }

    as_op!();
}

// --- What several kernels need ------------------------------------------------------------------------------------

/// The only input of an operator.
fn only<T>(inputs: &[T]) -> TractResult<&T> {
    match inputs {
        [input] => Ok(input),
        _ => bail!("expected 1 input, got {}", inputs.len()),
    }
}

/// Rows of a rank-2 input, a single row of a rank-1 input.
fn batch(shape: &[TDim]) -> TractResult<TDim> {
    match shape {
        [_] => Ok(1.to_dim()),
        [rows, _] => Ok(rows.clone()),
        _ => bail!("expected an input of rank 1 or 2, got rank {}", shape.len()),
    }
}

/// A rank-1 or rank-2 numeric tensor as rows of floats.
struct Rows {
    count: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Rows {
    fn of(tensor: &Tensor) -> TractResult<Self> {
        let (count, columns) = match *tensor.shape() {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ => bail!("expected an input of rank 1 or 2, got shape {:?}", tensor.shape()),
        };
        Ok(Self {
            count,
            columns,
            values: floats(tensor)?,
        })
    }

    fn iter(&self) -> impl Iterator<Item = &[f32]> {
        // Rows without columns are still rows.
        (0..self.count).map(|row| {
            self.values
                .get(row * self.columns..(row + 1) * self.columns)
                .unwrap_or(&[])
        })
    }
}

/// Elements of a numeric tensor as floats.
fn floats(tensor: &Tensor) -> TractResult<Vec<f32>> {
    ensure!(
        tensor.datum_type() != DatumType::String,
        "expected a numeric input, got strings"
    );
    let tensor = tensor.cast_to::<f32>()?;
    Ok(slice::<f32>(&tensor)?.to_vec())
}

/// Elements of a tensor of exactly this type.
fn slice<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice::<T>()
}

/// A tensor of this shape.
fn tensor_of<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into())
}

/// Class labels, which are the values of a classifier's first output.
#[derive(Clone, Debug)]
enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// Reads them from a node; `ints` is the attribute's name, which differs between operators.
    fn of(node: &NodeProto, ints: &str) -> TractResult<Self> {
        let ints: Option<Vec<i64>> = node.get_attr_opt_vec(ints)?;
        let strings: Option<Vec<String>> = node.get_attr_opt_vec("classlabels_strings")?;
        match (ints.filter(|v| !v.is_empty()), strings.filter(|v| !v.is_empty())) {
            (Some(ints), None) => Ok(Self::Ints(ints)),
            (None, Some(strings)) => Ok(Self::Strings(strings)),
            (None, None) => bail!("no class labels"),
            (Some(_), Some(_)) => bail!("class labels are both integers and strings"),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    fn datum_type(&self) -> DatumType {
        match self {
            Self::Ints(_) => DatumType::I64,
            Self::Strings(_) => DatumType::String,
        }
    }

    /// The labels with these indices.
    fn pick(&self, indices: &[usize]) -> TractResult<Tensor> {
        fn pick<T: Datum>(labels: &[T], indices: &[usize]) -> TractResult<Tensor> {
            let picked = indices
                .iter()
                .map(|i| labels.get(*i).cloned())
                .collect::<Option<Vec<_>>>();
            tensor_of(&[indices.len()], picked.context("class without a label")?)
        }
        match self {
            Self::Ints(labels) => pick(labels, indices),
            Self::Strings(labels) => pick(labels, indices),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len() * 8,
            Self::Strings(labels) => labels.iter().map(|label| label.len() + size_of::<String>()).sum(),
        }
    }
}

/// Index of the largest score; the first of equals.
fn argmax(scores: impl IntoIterator<Item = f32>) -> usize {
    let mut best = 0;
    let mut best_score = f32::NEG_INFINITY;
    for (index, score) in scores.into_iter().enumerate() {
        if score > best_score {
            best = index;
            best_score = score;
        }
    }
    best
}

/// A tensor-valued attribute.
fn tensor_attribute(ctx: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Option<Tensor>> {
    let proto = node.get_attr_opt::<&tract_onnx::pb::TensorProto>(name)?;
    proto.map(|proto| ctx.load_tensor(proto)).transpose()
}
