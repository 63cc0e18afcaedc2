//! `post_transform`: how raw scores become what is answered.

use tract_onnx::{pb::NodeProto, tract_hir::internal::*};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    pub(super) fn of(node: &NodeProto) -> TractResult<Self> {
        Ok(match node.get_attr_opt::<&str>("post_transform")? {
            None | Some("NONE") => Self::None,
            Some("SOFTMAX") => Self::Softmax,
            Some("LOGISTIC") => Self::Logistic,
            Some("SOFTMAX_ZERO") => Self::SoftmaxZero,
            Some("PROBIT") => Self::Probit,
            Some(other) => bail!("unknown post_transform {other:?}"),
        })
    }

    /// The same as [`Self::of`] where the attribute is a number. The standard counts softmax before logistic; ONNX
    /// Runtime does it the other way round, and models are tested with that.
    pub(super) fn of_number(node: &NodeProto) -> TractResult<Self> {
        Ok(match node.get_attr_opt::<i64>("post_transform")? {
            None | Some(0) => Self::None,
            Some(1) => Self::Logistic,
            Some(2) => Self::Softmax,
            Some(3) => Self::SoftmaxZero,
            Some(4) => Self::Probit,
            Some(other) => bail!("unknown post_transform {other}"),
        })
    }

    /// Transforms the scores of one row in place.
    pub(super) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
            Self::Softmax => softmax(scores, |_| false),
            Self::SoftmaxZero => softmax(scores, |score| score.abs() <= ZERO),
        }
    }
}

/// What `SOFTMAX_ZERO` takes for zero.
const ZERO: f32 = 1e-7;

fn softmax(scores: &mut [f32], skip: impl Fn(f32) -> bool) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if skip(*score) {
            *score *= (-max).exp();
        } else {
            *score = (*score - max).exp();
            sum += *score;
        }
    }
    for score in scores {
        *score /= sum;
    }
}

/// The logistic function, without overflow for large negative scores.
pub(super) fn logistic(score: f32) -> f32 {
    let positive = 1.0 / (1.0 + (-score.abs()).exp());
    if score < 0.0 { 1.0 - positive } else { positive }
}

/// Inverse of the normal distribution, by Winitzki's approximation of the inverse error function.
fn probit(probability: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * probability - 1.0;
    let log = (1.0 - x * x).ln();
    let half = 2.0 / (std::f32::consts::PI * A) + 0.5 * log;
    let inverse = (-half + (half * half - log / A).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * inverse.copysign(x)
}
