//! `CategoryMapper`, and `LabelEncoder` of the first version: words to numbers and back, as the input wants it.

use std::collections::HashMap;

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{Built, Fact, Kernel, built, only, slice, tensor_of};

/// Pairs of words and numbers, with what stands for the unknown.
#[derive(Debug)]
struct Dictionary {
    name: &'static str,
    numbers: HashMap<String, i64>,
    words: HashMap<i64, String>,
    default_number: i64,
    default_word: String,
}

impl Dictionary {
    /// Of equal words or numbers the last is the one that is found.
    fn new(
        name: &'static str,
        node: &NodeProto,
        pairs: impl Iterator<Item = (String, i64)> + Clone,
    ) -> TractResult<Self> {
        Ok(Self {
            name,
            words: pairs.clone().map(|(word, number)| (number, word)).collect(),
            numbers: pairs.collect(),
            default_number: node.get_attr_opt("default_int64")?.unwrap_or(-1),
            default_word: node
                .get_attr_opt("default_string")?
                .unwrap_or_else(|| "_Unused".to_owned()),
        })
    }
}

/// The first version, where a word's number is its position.
pub(super) fn label_encoder(node: &NodeProto, classes: Vec<String>) -> Built {
    built(Dictionary::new(
        "LabelEncoder",
        node,
        classes.into_iter().zip(0..),
    )?)
}

pub(super) fn category_mapper(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let words: Vec<String> = node.get_attr_vec("cats_strings")?;
    let numbers: Vec<i64> = node.get_attr_vec("cats_int64s")?;
    ensure!(
        words.len() == numbers.len(),
        "{} cats_strings for {} cats_int64s",
        words.len(),
        numbers.len()
    );
    built(Dictionary::new(
        "CategoryMapper",
        node,
        words.into_iter().zip(numbers),
    )?)
}

impl Kernel for Dictionary {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (datum_type, shape) = only(inputs)?;
        let output = match datum_type {
            DatumType::String => DatumType::I64,
            DatumType::I64 => DatumType::String,
            other => bail!(
                "{} input of type {other:?}, expected strings or 64-bit integers",
                self.name
            ),
        };
        Ok(tvec![(output, shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let output = if input.datum_type() == DatumType::String {
            let number = |word: &String| self.numbers.get(word).copied().unwrap_or(self.default_number);
            tensor_of(
                input.shape(),
                slice::<String>(input)?.iter().map(number).collect(),
            )?
        } else {
            let word = |number: &i64| self.words.get(number).unwrap_or(&self.default_word).clone();
            tensor_of(input.shape(), slice::<i64>(input)?.iter().map(word).collect())?
        };
        Ok(tvec![output])
    }

    fn size_bytes(&self) -> usize {
        let words = self
            .numbers
            .keys()
            .chain(self.words.values())
            .map(String::len)
            .sum::<usize>();
        // A slot and its control byte, at the load that the maps grow to.
        let slots = self.numbers.capacity() + self.words.capacity();
        words + slots * (size_of::<(String, i64)>() + 1)
    }
}
