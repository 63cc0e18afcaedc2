//! Class labels, and what every classifier does with them.

use tract_onnx::{pb::NodeProto, tract_hir::internal::*};

use super::{Fact, tensor_of};

/// Class labels, which are the values of a classifier's first output.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// Reads them from a node; `ints` is the attribute's name, which differs between operators.
    pub(super) fn of(node: &NodeProto, ints: &str) -> TractResult<Self> {
        let ints: Option<Vec<i64>> = node.get_attr_opt_vec(ints)?;
        let strings: Option<Vec<String>> = node.get_attr_opt_vec("classlabels_strings")?;
        match (ints.filter(|v| !v.is_empty()), strings.filter(|v| !v.is_empty())) {
            (Some(ints), None) => Ok(Self::Ints(ints)),
            (None, Some(strings)) => Ok(Self::Strings(strings)),
            (None, None) => bail!("no class labels"),
            (Some(_), Some(_)) => bail!("class labels are both integers and strings"),
        }
    }

    pub(super) fn len(&self) -> usize {
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

    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len() * 8,
            Self::Strings(labels) => labels.iter().map(|label| label.len() + size_of::<String>()).sum(),
        }
    }

    /// Types and shapes of a classifier's two outputs: a label and `width` scores for each row.
    pub(super) fn facts(&self, rows: TDim, width: usize) -> TVec<Fact> {
        tvec![
            (self.datum_type(), tvec![rows.clone()]),
            (DatumType::F32, tvec![rows, width.to_dim()]),
        ]
    }

    /// A classifier's two outputs, from the index of each row's label and the scores of all rows.
    pub(super) fn answer(
        &self,
        winners: &[usize],
        scores: Vec<f32>,
        width: usize,
    ) -> TractResult<TVec<Tensor>> {
        Ok(tvec![
            self.pick(winners)?,
            tensor_of(&[winners.len(), width], scores)?
        ])
    }
}

/// Index of the largest score; the first of equals. NaN is never the largest.
pub(super) fn argmax<T: PartialOrd + Copy>(scores: impl IntoIterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (index, score) in scores.into_iter().enumerate() {
        let is_number = score.partial_cmp(&score).is_some();
        if is_number && best.is_none_or(|(_, best)| score > best) {
            best = Some((index, score));
        }
    }
    best.map_or(0, |(index, _)| index)
}
