//! Operators from numbers to numbers: `Scaler`, `Imputer`, `Normalizer`, `Binarizer`, `FeatureVectorizer`.

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{Built, Fact, Kernel, Rows, built, numbers, only, slice, tensor_of};

// --- Scaler -------------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

pub(super) fn scaler(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let offset: Vec<f32> = node.get_attr_opt_vec("offset")?.unwrap_or_default();
    let scale: Vec<f32> = node.get_attr_opt_vec("scale")?.unwrap_or_default();
    ensure!(
        !offset.is_empty() && offset.len() == scale.len(),
        "offset and scale must have the same length"
    );
    built(Scaler { offset, scale })
}

impl Kernel for Scaler {
    fn name(&self) -> &'static str {
        "Scaler"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec![(DatumType::F32, only(inputs)?.1.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let columns = last(input);
        ensure!(
            self.scale.len() == 1 || self.scale.len() == columns,
            "expected {} features, got {columns}",
            self.scale.len()
        );
        let mut values = numbers::<f32>(input)?;
        let factors = self.offset.iter().zip(&self.scale).cycle();
        for (value, (offset, scale)) in values.iter_mut().zip(factors) {
            *value = (*value - offset) * scale;
        }
        Ok(tvec![tensor_of(input.shape(), values)?])
    }

    fn size_bytes(&self) -> usize {
        (self.offset.len() + self.scale.len()) * size_of::<f32>()
    }
}

// --- Imputer ------------------------------------------------------------------------------------------------------

#[derive(Debug)]
enum Imputer {
    Floats { imputed: Vec<f32>, replaced: f32 },
    Ints { imputed: Vec<i64>, replaced: i64 },
}

pub(super) fn imputer(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let floats: Vec<f32> = node.get_attr_opt_vec("imputed_value_floats")?.unwrap_or_default();
    let ints: Vec<i64> = node.get_attr_opt_vec("imputed_value_int64s")?.unwrap_or_default();
    built(match (floats.is_empty(), ints.is_empty()) {
        (false, true) => {
            let replaced = node.get_attr_opt("replaced_value_float")?.unwrap_or(0.0);
            Imputer::Floats {
                imputed: floats,
                replaced,
            }
        }
        (true, false) => {
            let replaced = node.get_attr_opt("replaced_value_int64")?.unwrap_or(0);
            Imputer::Ints {
                imputed: ints,
                replaced,
            }
        }
        _ => bail!("exactly one of imputed_value_floats and imputed_value_int64s is needed"),
    })
}

fn impute<T: Copy>(
    values: &mut [T],
    columns: usize,
    imputed: &[T],
    is_replaced: impl Fn(T) -> bool,
) -> TractResult<()> {
    ensure!(
        imputed.len() == 1 || imputed.len() == columns,
        "expected {} features, got {columns}",
        imputed.len()
    );
    for (value, imputed) in values.iter_mut().zip(imputed.iter().cycle()) {
        if is_replaced(*value) {
            *value = *imputed;
        }
    }
    Ok(())
}

impl Kernel for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let datum_type = match self {
            Self::Floats { .. } => DatumType::F32,
            Self::Ints { .. } => DatumType::I64,
        };
        Ok(tvec![(datum_type, only(inputs)?.1.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let columns = last(input);
        Ok(tvec![match self {
            Self::Floats { imputed, replaced } => {
                let mut values = numbers::<f32>(input)?;
                #[allow(clippy::float_cmp, reason = "the operator compares exactly")]
                let is_replaced = |v: f32| v == *replaced || (v.is_nan() && replaced.is_nan());
                impute(&mut values, columns, imputed, is_replaced)?;
                tensor_of(input.shape(), values)?
            }
            Self::Ints { imputed, replaced } => {
                let ints = input.cast_to::<i64>()?;
                let mut values = slice::<i64>(&ints)?.to_vec();
                impute(&mut values, columns, imputed, |v| v == *replaced)?;
                tensor_of(input.shape(), values)?
            }
        }])
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Floats { imputed, .. } => imputed.len() * size_of::<f32>(),
            Self::Ints { imputed, .. } => imputed.len() * size_of::<i64>(),
        }
    }
}

// --- Normalizer ---------------------------------------------------------------------------------------------------

#[derive(Debug)]
enum Normalizer {
    Max,
    L1,
    L2,
}

pub(super) fn normalizer(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    built(match node.get_attr_opt::<&str>("norm")? {
        None | Some("MAX") => Normalizer::Max,
        Some("L1") => Normalizer::L1,
        Some("L2") => Normalizer::L2,
        Some(other) => bail!("unknown norm {other:?}"),
    })
}

impl Kernel for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec![(DatumType::F32, only(inputs)?.1.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let mut values = numbers::<f32>(input)?;
        for row in values.chunks_mut(last(input).max(1)) {
            let norm = match self {
                Self::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                Self::L1 => row.iter().map(|v| v.abs()).sum(),
                Self::L2 => row.iter().map(|v| v * v).sum::<f32>().sqrt(),
            };
            if norm != 0.0 {
                for value in row {
                    *value /= norm;
                }
            }
        }
        Ok(tvec![tensor_of(input.shape(), values)?])
    }

    fn size_bytes(&self) -> usize {
        0
    }
}

// --- Binarizer ----------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

pub(super) fn binarizer(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    built(Binarizer {
        threshold: node.get_attr_opt("threshold")?.unwrap_or(0.0),
    })
}

impl Kernel for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec![only(inputs)?.clone()])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let values = numbers::<f32>(input)?
            .into_iter()
            .map(|v| if v > self.threshold { 1.0 } else { 0.0 })
            .collect::<Vec<f32>>();
        let output = tensor_of(input.shape(), values)?;
        Ok(tvec![output.cast_to_dt(input.datum_type())?.into_owned()])
    }

    fn size_bytes(&self) -> usize {
        0
    }
}

// --- FeatureVectorizer --------------------------------------------------------------------------------------------

#[derive(Debug)]
struct FeatureVectorizer {
    dimensions: Vec<usize>,
}

pub(super) fn feature_vectorizer(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    built(FeatureVectorizer {
        dimensions: node.get_attr_opt_vec("inputdimensions")?.unwrap_or_default(),
    })
}

impl FeatureVectorizer {
    fn width(&self) -> TractResult<usize> {
        let width = self
            .dimensions
            .iter()
            .try_fold(0_usize, |sum, d| sum.checked_add(*d));
        width.context("inputdimensions overflow")
    }
}

impl Kernel for FeatureVectorizer {
    fn name(&self) -> &'static str {
        "FeatureVectorizer"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(
            inputs.len() == self.dimensions.len() && !inputs.is_empty(),
            "{} inputs for {} inputdimensions",
            inputs.len(),
            self.dimensions.len()
        );
        Ok(tvec![(
            DatumType::F32,
            tvec![super::batch(&inputs[0].1)?, self.width()?.to_dim()]
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let parts = inputs
            .iter()
            .map(|input| Rows::<f32>::of(input))
            .collect::<TractResult<Vec<_>>>()?;
        let rows = parts.first().map_or(0, |part| part.count);
        ensure!(
            parts.iter().all(|part| part.count == rows),
            "the inputs differ in the number of rows"
        );
        for (part, width) in parts.iter().zip(&self.dimensions) {
            ensure!(
                part.columns == *width,
                "expected {width} features, got {}",
                part.columns
            );
        }
        let mut values = Vec::with_capacity(parts.iter().map(|part| part.values.len()).sum());
        for row in 0..rows {
            for part in &parts {
                values.extend_from_slice(&part.values[row * part.columns..(row + 1) * part.columns]);
            }
        }
        Ok(tvec![tensor_of(&[rows, self.width()?], values)?])
    }

    fn size_bytes(&self) -> usize {
        self.dimensions.len() * size_of::<usize>()
    }
}

/// Extent of the innermost dimension.
fn last(tensor: &Tensor) -> usize {
    tensor.shape().last().copied().unwrap_or(1)
}
