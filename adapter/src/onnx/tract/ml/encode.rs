//! Operators between labels and numbers: `LabelEncoder`, `OneHotEncoder`, `ArrayFeatureExtractor`.

use std::{collections::HashMap, hash::Hash};

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{Built, Fact, Kernel, built, only, slice, tensor_attribute, tensor_of};

// --- LabelEncoder -------------------------------------------------------------------------------------------------

/// Keys to positions in the values.
#[derive(Debug)]
enum Keys {
    Strings(HashMap<String, usize>),
    Ints(HashMap<i64, usize>),
    /// By bits; zero and NaN in one form each.
    Floats {
        keys: HashMap<u64, usize>,
        datum_type: DatumType,
        nan: bool,
    },
}

#[derive(Debug)]
struct LabelEncoder {
    keys: Keys,
    values: Tensor,
    /// One element of the values' type.
    default: Tensor,
}

fn float_bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

/// Version of `ai.onnx.ml` that the model imports.
fn version(ctx: &ParsingContext) -> i64 {
    let sets = &ctx.model.opset_import;
    sets.iter()
        .find(|set| set.domain == "ai.onnx.ml")
        .map_or(1, |set| set.version)
}

/// The first of equal keys wins.
fn index<K: Hash + Eq>(keys: impl IntoIterator<Item = K>) -> HashMap<K, usize> {
    let mut map = HashMap::new();
    for (position, key) in keys.into_iter().enumerate() {
        map.entry(key).or_insert(position);
    }
    map
}

/// One of the three or four attribute spellings of a list, `keys` or `values`.
fn list(ctx: &ParsingContext, node: &NodeProto, prefix: &str) -> TractResult<Option<Tensor>> {
    let strings: Option<Vec<String>> = node.get_attr_opt_vec(&format!("{prefix}_strings"))?;
    let ints: Option<Vec<i64>> = node.get_attr_opt_vec(&format!("{prefix}_int64s"))?;
    let floats: Option<Vec<f32>> = node.get_attr_opt_vec(&format!("{prefix}_floats"))?;
    if let Some(strings) = strings.filter(|v| !v.is_empty()) {
        return Ok(Some(tensor1(&strings)));
    }
    if let Some(ints) = ints.filter(|v| !v.is_empty()) {
        return Ok(Some(tensor1(&ints)));
    }
    if let Some(floats) = floats.filter(|v| !v.is_empty()) {
        return Ok(Some(tensor1(&floats)));
    }
    tensor_attribute(ctx, node, &format!("{prefix}_tensor"))
}

pub(super) fn label_encoder(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let classes: Option<Vec<String>> = node.get_attr_opt_vec("classes_strings")?;
    if let Some(classes) = classes.filter(|v| !v.is_empty()) {
        return super::classes::label_encoder(node, classes);
    }
    let keys = list(ctx, node, "keys")?.context("LabelEncoder without keys")?;
    let values = list(ctx, node, "values")?.context("LabelEncoder without values")?;
    ensure!(
        keys.len() == values.len(),
        "{} keys for {} values",
        keys.len(),
        values.len()
    );
    let keys = match keys.datum_type() {
        DatumType::String => Keys::Strings(index(slice::<String>(&keys)?.iter().cloned())),
        DatumType::I64 | DatumType::I32 | DatumType::I16 => {
            let keys = keys.cast_to::<i64>()?;
            Keys::Ints(index(slice::<i64>(&keys)?.iter().copied()))
        }
        float @ (DatumType::F32 | DatumType::F64) => {
            let keys = keys.cast_to::<f64>()?;
            let keys = index(slice::<f64>(&keys)?.iter().map(|v| float_bits(*v)));
            // Until version 4 NaN was equal to no key.
            Keys::Floats {
                keys,
                datum_type: float,
                nan: version(ctx) >= 4,
            }
        }
        other => bail!("LabelEncoder keys of type {other:?} are not supported"),
    };
    let default = match (
        tensor_attribute(ctx, node, "default_tensor")?,
        values.datum_type(),
    ) {
        (Some(default), _) => default,
        (None, DatumType::String) => {
            let default: Option<String> = node.get_attr_opt("default_string")?;
            tensor0(default.unwrap_or_else(|| "_Unused".to_owned()))
        }
        (None, DatumType::F32) => tensor0(node.get_attr_opt::<f32>("default_float")?.unwrap_or(-0.0)),
        (None, DatumType::F64) => tensor0(-0.0_f64),
        (None, _) => tensor0(node.get_attr_opt::<i64>("default_int64")?.unwrap_or(-1)),
    };
    ensure!(
        default.len() == 1,
        "the default of LabelEncoder must be one element"
    );
    let default = match values.datum_type() {
        DatumType::String => default,
        number => default.cast_to_dt(number)?.into_owned(),
    };
    ensure!(
        default.datum_type() == values.datum_type(),
        "default and values differ in type"
    );
    built(LabelEncoder {
        keys,
        values,
        default,
    })
}

impl LabelEncoder {
    fn positions(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        Ok(match &self.keys {
            Keys::Strings(keys) => slice::<String>(input)?
                .iter()
                .map(|v| keys.get(v).copied())
                .collect(),
            Keys::Ints(keys) => {
                let input = input.cast_to::<i64>()?;
                slice::<i64>(&input)?
                    .iter()
                    .map(|v| keys.get(v).copied())
                    .collect()
            }
            Keys::Floats { keys, nan, .. } => {
                let input = input.cast_to::<f64>()?;
                let find = |v: &f64| keys.get(&float_bits(*v)).copied().filter(|_| *nan || !v.is_nan());
                slice::<f64>(&input)?.iter().map(find).collect()
            }
        })
    }

    fn values_at<T: Datum>(&self, input: &Tensor) -> TractResult<Tensor> {
        let values = slice::<T>(&self.values)?;
        let default = slice::<T>(&self.default)?
            .first()
            .context("LabelEncoder without default")?;
        let picked = self
            .positions(input)?
            .into_iter()
            .map(|position| position.and_then(|p| values.get(p)).unwrap_or(default).clone())
            .collect();
        tensor_of(input.shape(), picked)
    }
}

impl Kernel for LabelEncoder {
    fn name(&self) -> &'static str {
        "LabelEncoder"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (datum_type, shape) = only(inputs)?;
        let fits = match &self.keys {
            Keys::Strings(_) => *datum_type == DatumType::String,
            Keys::Ints(_) => {
                datum_type.is_integer() || datum_type.is_tdim() || *datum_type == DatumType::Bool
            }
            Keys::Floats {
                datum_type: float, ..
            } => datum_type == float,
        };
        ensure!(
            fits,
            "LabelEncoder input of type {datum_type:?} does not fit its keys"
        );
        Ok(tvec![(self.values.datum_type(), shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        Ok(tvec![match self.values.datum_type() {
            DatumType::String => self.values_at::<String>(input)?,
            DatumType::I64 => self.values_at::<i64>(input)?,
            DatumType::I32 => self.values_at::<i32>(input)?,
            DatumType::I16 => self.values_at::<i16>(input)?,
            DatumType::F32 => self.values_at::<f32>(input)?,
            DatumType::F64 => self.values_at::<f64>(input)?,
            other => bail!("LabelEncoder values of type {other:?} are not supported"),
        }])
    }

    fn size_bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::Strings(keys) => keys.keys().map(|key| key.len() + 48).sum(),
            Keys::Ints(keys) => keys.len() * 24,
            Keys::Floats { keys, .. } => keys.len() * 24,
        };
        keys + tensor_bytes(&self.values)
    }
}

fn tensor_bytes(tensor: &Tensor) -> usize {
    match slice::<String>(tensor) {
        Ok(strings) => strings.iter().map(|s| s.len() + size_of::<String>()).sum(),
        Err(_) => tensor.len() * tensor.datum_type().size_of(),
    }
}

// --- OneHotEncoder ------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct OneHotEncoder {
    categories: Keys,
    width: usize,
    zeros: bool,
}

pub(super) fn one_hot_encoder(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let ints: Vec<i64> = node.get_attr_opt_vec("cats_int64s")?.unwrap_or_default();
    let strings: Vec<String> = node.get_attr_opt_vec("cats_strings")?.unwrap_or_default();
    let (categories, width) = match (ints.is_empty(), strings.is_empty()) {
        (false, true) => (Keys::Ints(index(ints.iter().copied())), ints.len()),
        (true, false) => (Keys::Strings(index(strings.iter().cloned())), strings.len()),
        _ => bail!("exactly one of cats_int64s and cats_strings is needed"),
    };
    let zeros = node.get_attr_opt::<i64>("zeros")?.unwrap_or(1) != 0;
    built(OneHotEncoder {
        categories,
        width,
        zeros,
    })
}

impl OneHotEncoder {
    fn positions(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        Ok(match &self.categories {
            Keys::Strings(keys) => slice::<String>(input)?
                .iter()
                .map(|v| keys.get(v).copied())
                .collect(),
            Keys::Ints(keys) => {
                ensure!(
                    input.datum_type() != DatumType::String,
                    "expected a numeric input, got strings"
                );
                let input = input.cast_to::<i64>()?;
                slice::<i64>(&input)?
                    .iter()
                    .map(|v| keys.get(v).copied())
                    .collect()
            }
            Keys::Floats { .. } => bail!("OneHotEncoder has no float categories"),
        })
    }
}

impl Kernel for OneHotEncoder {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let mut shape = only(inputs)?.1.clone();
        shape.push(self.width.to_dim());
        Ok(tvec![(DatumType::F32, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let positions = self.positions(input)?;
        let total = positions
            .len()
            .checked_mul(self.width)
            .context("output too large")?;
        let mut values = vec![0.0_f32; total];
        for (row, position) in values.chunks_mut(self.width).zip(positions) {
            match position {
                // Positions index the categories, of which there are `width`.
                Some(position) => row[position] = 1.0,
                None => ensure!(self.zeros, "unknown category, and zeros is 0"),
            }
        }
        let mut shape = input.shape().to_vec();
        shape.push(self.width);
        Ok(tvec![tensor_of(&shape, values)?])
    }

    fn size_bytes(&self) -> usize {
        match &self.categories {
            Keys::Strings(keys) => keys.keys().map(|key| key.len() + 48).sum(),
            Keys::Ints(keys) => keys.len() * 24,
            Keys::Floats { .. } => 0,
        }
    }
}

// --- ArrayFeatureExtractor ----------------------------------------------------------------------------------------

#[derive(Debug)]
struct ArrayFeatureExtractor;

pub(super) fn array_feature_extractor(_ctx: &ParsingContext, _node: &NodeProto) -> Built {
    built(ArrayFeatureExtractor)
}

fn extract<T: Datum>(input: &Tensor, shape: &[usize], indices: &[usize]) -> TractResult<Tensor> {
    let width = input.shape().last().copied().unwrap_or(1);
    let mut values = Vec::with_capacity(shape.iter().product());
    for row in slice::<T>(input)?.chunks_exact(width.max(1)) {
        // Every index was checked against the width.
        values.extend(indices.iter().map(|index| row[*index].clone()));
    }
    tensor_of(shape, values)
}

impl Kernel for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        "ArrayFeatureExtractor"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [(datum_type, shape), (_, indices)] = inputs else {
            bail!("expected 2 inputs, got {}", inputs.len())
        };
        let picked: TDim = indices.iter().product();
        let mut output: TVec<TDim> = match shape.as_slice() {
            [] => bail!("expected data of rank 1 or more, got a scalar"),
            [_] => tvec![1.to_dim()],
            [outer @ .., _] => outer.iter().cloned().collect(),
        };
        output.push(picked);
        Ok(tvec![(*datum_type, output)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [data, indices] = inputs else {
            bail!("expected 2 inputs, got {}", inputs.len())
        };
        let width = data
            .shape()
            .last()
            .copied()
            .context("expected data of rank 1 or more, got a scalar")?;
        let indices = indices.cast_to::<i64>()?;
        let indices = slice::<i64>(&indices)?
            .iter()
            .map(|index| usize::try_from(*index).ok().filter(|i| *i < width))
            .collect::<Option<Vec<_>>>()
            .with_context(|| format!("feature index outside of 0..{width}"))?;
        let outer = &data.shape()[..data.rank() - 1];
        let mut shape = if outer.is_empty() { vec![1] } else { outer.to_vec() };
        shape.push(indices.len());
        Ok(tvec![match data.datum_type() {
            DatumType::String => extract::<String>(data, &shape, &indices)?,
            DatumType::I64 => extract::<i64>(data, &shape, &indices)?,
            DatumType::I32 => extract::<i32>(data, &shape, &indices)?,
            DatumType::F32 => extract::<f32>(data, &shape, &indices)?,
            DatumType::F64 => extract::<f64>(data, &shape, &indices)?,
            other => bail!("ArrayFeatureExtractor data of type {other:?} is not supported"),
        }])
    }

    fn size_bytes(&self) -> usize {
        0
    }
}
