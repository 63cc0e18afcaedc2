//! `LinearClassifier` and `LinearRegressor`.

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{
    Built, Fact, Kernel, Rows, batch, built,
    labels::{Labels, argmax},
    only,
    post::PostTransform,
    tensor_of,
};

/// One row of coefficients and one intercept for each target.
#[derive(Debug)]
struct Weights {
    targets: usize,
    features: usize,
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
}

impl Weights {
    fn new(targets: usize, coefficients: Vec<f32>, intercepts: Option<Vec<f32>>) -> TractResult<Self> {
        ensure!(targets > 0, "no targets");
        ensure!(
            !coefficients.is_empty() && coefficients.len().is_multiple_of(targets),
            "{} coefficients cannot be divided among {targets} targets",
            coefficients.len()
        );
        let intercepts = intercepts
            .filter(|v| !v.is_empty())
            .unwrap_or_else(|| vec![0.0; targets]);
        ensure!(
            intercepts.len() == targets,
            "{} intercepts for {targets} targets",
            intercepts.len()
        );
        Ok(Self {
            targets,
            features: coefficients.len() / targets,
            coefficients,
            intercepts,
        })
    }

    /// Scores of one row, one for each target.
    fn scores<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.coefficients
            .chunks_exact(self.features)
            .zip(&self.intercepts)
            .map(move |(coefficients, intercept)| {
                coefficients.iter().zip(row).map(|(c, x)| c * x).sum::<f32>() + intercept
            })
    }

    fn size_bytes(&self) -> usize {
        (self.coefficients.len() + self.intercepts.len()) * size_of::<f32>()
    }
}

#[derive(Debug)]
struct LinearRegressor {
    weights: Weights,
    post: PostTransform,
}

pub(super) fn regressor(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("targets")?.unwrap_or(1);
    let weights = Weights::new(
        targets,
        node.get_attr_vec("coefficients")?,
        node.get_attr_opt_vec("intercepts")?,
    )?;
    built(LinearRegressor {
        weights,
        post: PostTransform::of(node)?,
    })
}

impl Kernel for LinearRegressor {
    fn name(&self) -> &'static str {
        "LinearRegressor"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let rows = batch(&only(inputs)?.1)?;
        Ok(tvec![(
            DatumType::F32,
            tvec![rows, self.weights.targets.to_dim()]
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = Rows::of(only(inputs)?)?;
        rows.expect(self.weights.features)?;
        let mut answers = Vec::with_capacity(rows.count * self.weights.targets);
        for row in rows.iter() {
            let start = answers.len();
            answers.extend(self.weights.scores(row));
            self.post.apply(&mut answers[start..]);
        }
        Ok(tvec![tensor_of(&[rows.count, self.weights.targets], answers)?])
    }

    fn size_bytes(&self) -> usize {
        self.weights.size_bytes()
    }
}

#[derive(Debug)]
struct LinearClassifier {
    weights: Weights,
    labels: Labels,
    post: PostTransform,
}

pub(super) fn classifier(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::of(node, "classlabels_ints")?;
    let intercepts: Option<Vec<f32>> = node.get_attr_opt_vec("intercepts")?;
    let intercepts = intercepts.filter(|v| !v.is_empty());
    // Without intercepts nothing but the labels says how many targets there are.
    let targets = intercepts.as_ref().map_or(labels.len(), Vec::len);
    ensure!(
        targets == labels.len() || (targets == 1 && labels.len() == 2),
        "{targets} targets for {} class labels",
        labels.len()
    );
    let weights = Weights::new(targets, node.get_attr_vec("coefficients")?, intercepts)?;
    built(LinearClassifier {
        weights,
        labels,
        post: PostTransform::of(node)?,
    })
}

impl LinearClassifier {
    /// Two classes, but only the second one has coefficients.
    fn is_single(&self) -> bool {
        self.weights.targets == 1 && self.labels.len() == 2
    }
}

impl Kernel for LinearClassifier {
    fn name(&self) -> &'static str {
        "LinearClassifier"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(self.labels.facts(batch(&only(inputs)?.1)?, self.labels.len()))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = Rows::of(only(inputs)?)?;
        rows.expect(self.weights.features)?;
        let mut winners = Vec::with_capacity(rows.count);
        let mut answers = Vec::with_capacity(rows.count * self.labels.len());
        for row in rows.iter() {
            let start = answers.len();
            answers.extend(self.weights.scores(row));
            let scores = &mut answers[start..];
            if self.is_single() {
                winners.push(usize::from(scores[0] > 0.0));
                if self.post == PostTransform::Logistic || self.post == PostTransform::Probit {
                    self.post.apply(scores);
                }
                let score = scores[0];
                answers[start] = 1.0 - score;
                answers.push(score);
            } else {
                winners.push(argmax(scores.iter().copied()));
                self.post.apply(scores);
            }
        }
        self.labels.answer(&winners, answers, self.labels.len())
    }

    fn size_bytes(&self) -> usize {
        self.weights.size_bytes() + self.labels.size_bytes()
    }
}
