//! Operators of `ai.onnx.ml` that the engine lacks, or where a forest evaluator of our own is much faster, and `CDist`,
//! which converters of nearest neighbors emit.
//!
//! Each operator is a [`Kernel`]: attributes read once, shapes as a pure function, evaluation on whole tensors.
//! [`KernelOp`] is the one adapter between kernels and the engine. Behavior follows ONNX Runtime, which is what
//! models are tested with before they get here.

mod classes;
mod distance;
mod encode;
mod forest;
mod labels;
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
pub(super) type Fact = (DatumType, TVec<TDim>);

/// One `ai.onnx.ml` operator with its attributes.
pub(super) trait Kernel: fmt::Debug + Send + Sync + 'static {
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

/// Adds the operators to the engine's register.
pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("ArrayFeatureExtractor", encode::array_feature_extractor);
    register.insert("Binarizer", numeric::binarizer);
    register.insert("CDist", distance::cdist);
    register.insert("CategoryMapper", classes::category_mapper);
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
    register.insert("TreeEnsemble", tree::ensemble);
    register.insert("TreeEnsembleClassifier", tree::classifier);
    register.insert("TreeEnsembleRegressor", tree::regressor);
}

/// What a builder of the engine's register answers.
pub(super) type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

#[allow(clippy::unnecessary_wraps, reason = "every builder ends with it")]
fn built(kernel: impl Kernel) -> Built {
    Ok((expand(KernelOp::new(kernel)), vec![]))
}

/// A kernel as the engine's operator, both while types are inferred and when it runs.
#[derive(Clone)]
pub(super) struct KernelOp(Arc<dyn Kernel>);

impl KernelOp {
    /// The operator for this kernel.
    pub(super) fn new(kernel: impl Kernel) -> Self {
        Self(Arc::new(kernel))
    }

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

/// A rank-1 or rank-2 numeric tensor as rows.
struct Rows<T = f32> {
    count: usize,
    columns: usize,
    values: Vec<T>,
}

impl<T: Datum + Copy> Rows<T> {
    fn of(tensor: &Tensor) -> TractResult<Self> {
        let (count, columns) = match *tensor.shape() {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ => bail!("expected an input of rank 1 or 2, got shape {:?}", tensor.shape()),
        };
        Ok(Self {
            count,
            columns,
            values: numbers(tensor)?,
        })
    }

    fn iter(&self) -> impl Iterator<Item = &[T]> {
        (0..self.count).map(|row| self.row(row))
    }

    fn row(&self, row: usize) -> &[T] {
        // Rows without columns are still rows.
        self.values
            .get(row * self.columns..(row + 1) * self.columns)
            .unwrap_or(&[])
    }

    /// Fails unless the rows have exactly this many features.
    fn expect(&self, features: usize) -> TractResult<()> {
        ensure!(
            self.columns == features,
            "expected {features} features, got {}",
            self.columns
        );
        Ok(())
    }
}

/// Elements of a numeric tensor as numbers of one type.
fn numbers<T: Datum + Copy>(tensor: &Tensor) -> TractResult<Vec<T>> {
    ensure!(
        tensor.datum_type() != DatumType::String,
        "expected a numeric input, got strings"
    );
    let tensor = tensor.cast_to::<T>()?;
    Ok(slice::<T>(&tensor)?.to_vec())
}

/// Elements of a tensor of exactly this type.
fn slice<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice::<T>()
}

/// A tensor of this shape.
fn tensor_of<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into())
}

/// A tensor-valued attribute.
pub(super) fn tensor_attribute(
    ctx: &ParsingContext,
    node: &NodeProto,
    name: &str,
) -> TractResult<Option<Tensor>> {
    let proto = node.get_attr_opt::<&tract_onnx::pb::TensorProto>(name)?;
    proto.map(|proto| ctx.load_tensor(proto)).transpose()
}
