//! `LabelEncoder` of the first version: words to their positions in one list, and back.

use std::collections::HashMap;

use tract_onnx::{pb::NodeProto, tract_hir::internal::*};

use super::{Built, Fact, Kernel, built, only, slice, tensor_of};

#[derive(Debug)]
struct ClassEncoder {
    classes: Vec<String>,
    positions: HashMap<String, i64>,
    default_word: String,
    default_position: i64,
}

pub(super) fn label_encoder(node: &NodeProto, classes: Vec<String>) -> Built {
    let mut positions = HashMap::with_capacity(classes.len());
    for (position, class) in classes.iter().enumerate() {
        // The first of equals is the one that is found.
        positions.entry(class.clone()).or_insert(i64::try_from(position)?);
    }
    built(ClassEncoder {
        classes,
        positions,
        default_word: node
            .get_attr_opt("default_string")?
            .unwrap_or_else(|| "_Unused".to_owned()),
        default_position: node.get_attr_opt("default_int64")?.unwrap_or(-1),
    })
}

impl Kernel for ClassEncoder {
    fn name(&self) -> &'static str {
        "LabelEncoder"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (datum_type, shape) = only(inputs)?;
        let output = match datum_type {
            DatumType::String => DatumType::I64,
            DatumType::I64 => DatumType::String,
            other => bail!("LabelEncoder input of type {other:?}, expected strings or 64-bit integers"),
        };
        Ok(tvec![(output, shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let output = if input.datum_type() == DatumType::String {
            let position = |word: &String| self.positions.get(word).copied().unwrap_or(self.default_position);
            tensor_of(input.shape(), slice::<String>(input)?.iter().map(position).collect())?
        } else {
            let word = |position: &i64| {
                let class = usize::try_from(*position).ok().and_then(|p| self.classes.get(p));
                class.unwrap_or(&self.default_word).clone()
            };
            tensor_of(input.shape(), slice::<i64>(input)?.iter().map(word).collect())?
        };
        Ok(tvec![output])
    }

    fn size_bytes(&self) -> usize {
        // Each word is kept twice, and the map has an entry of some 48 bytes for it.
        self.classes.iter().map(|class| 2 * class.len() + size_of::<String>() + 48).sum()
    }
}
