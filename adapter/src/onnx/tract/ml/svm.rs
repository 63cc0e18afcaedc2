//! `SVMClassifier` and `SVMRegressor`.

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{
    Built, Fact, Kernel, Rows, batch, built,
    labels::{Labels, argmax},
    only,
    post::{PostTransform, logistic},
    tensor_of,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

/// Kernel function with its parameters, and the vectors it compares with.
#[derive(Debug)]
struct Vectors {
    function: Function,
    gamma: f32,
    coef0: f32,
    degree: f32,
    count: usize,
    features: usize,
    values: Vec<f32>,
}

impl Vectors {
    fn of(node: &NodeProto, count: usize) -> TractResult<Self> {
        let function = match node.get_attr_opt::<&str>("kernel_type")? {
            None | Some("LINEAR") => Function::Linear,
            Some("POLY") => Function::Poly,
            Some("RBF") => Function::Rbf,
            Some("SIGMOID") => Function::Sigmoid,
            Some(other) => bail!("unknown kernel_type {other:?}"),
        };
        let parameters: Vec<f32> = node.get_attr_opt_vec("kernel_params")?.unwrap_or_default();
        let parameter = |index: usize| parameters.get(index).copied().unwrap_or(0.0);
        let values: Vec<f32> = node.get_attr_vec("support_vectors")?;
        ensure!(
            count > 0 && !values.is_empty() && values.len().is_multiple_of(count),
            "{} values cannot be divided among {count} support vectors",
            values.len()
        );
        Ok(Self {
            function,
            gamma: parameter(0),
            coef0: parameter(1),
            degree: parameter(2),
            count,
            features: values.len() / count,
            values,
        })
    }

    /// Similarity of a row to each support vector.
    fn compare<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.values.chunks_exact(self.features).map(move |vector| {
            let pairs = || vector.iter().zip(row);
            let dot = || pairs().map(|(a, b)| a * b).sum::<f32>();
            match self.function {
                Function::Linear => dot(),
                Function::Poly => (self.gamma * dot() + self.coef0).powf(self.degree),
                Function::Sigmoid => (self.gamma * dot() + self.coef0).tanh(),
                Function::Rbf => {
                    let distance = pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
                    (-self.gamma * distance).exp()
                }
            }
        })
    }

    fn size_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }
}

// --- Regressor ----------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct SvmRegressor {
    vectors: Vectors,
    coefficients: Vec<f32>,
    rho: f32,
    one_class: bool,
    post: PostTransform,
}

pub(super) fn regressor(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let count: usize = node.get_attr_opt("n_supports")?.unwrap_or(0);
    ensure!(count > 0, "SVMRegressor without support vectors is not supported");
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    ensure!(
        coefficients.len() == count,
        "{} coefficients for {count} support vectors",
        coefficients.len()
    );
    let rho: Vec<f32> = node.get_attr_vec("rho")?;
    built(SvmRegressor {
        vectors: Vectors::of(node, count)?,
        coefficients,
        rho: rho.first().copied().context("rho is empty")?,
        one_class: node.get_attr_opt::<i64>("one_class")?.unwrap_or(0) != 0,
        post: PostTransform::of(node)?,
    })
}

impl Kernel for SvmRegressor {
    fn name(&self) -> &'static str {
        "SVMRegressor"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec![(
            DatumType::F32,
            tvec![batch(&only(inputs)?.1)?, 1.to_dim()]
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = Rows::of(only(inputs)?)?;
        rows.expect(self.vectors.features)?;
        let mut answers = Vec::with_capacity(rows.count);
        for row in rows.iter() {
            let sum: f32 = self
                .vectors
                .compare(row)
                .zip(&self.coefficients)
                .map(|(k, c)| k * c)
                .sum();
            let mut score = [sum + self.rho];
            if self.one_class {
                score[0] = if score[0] > 0.0 { 1.0 } else { -1.0 };
            } else {
                self.post.apply(&mut score);
            }
            answers.push(score[0]);
        }
        Ok(tvec![tensor_of(&[rows.count, 1], answers)?])
    }

    fn size_bytes(&self) -> usize {
        self.vectors.size_bytes() + self.coefficients.len() * size_of::<f32>()
    }
}

// --- Classifier ---------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct SvmClassifier {
    vectors: Vectors,
    /// First support vector of each class, and one past the last.
    starts: Vec<usize>,
    /// `classes - 1` rows of one coefficient for each support vector.
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    /// Platt's parameters for each pair of classes; empty = no probabilities.
    platt: Vec<(f32, f32)>,
    labels: Labels,
    post: PostTransform,
}

pub(super) fn classifier(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::of(node, "classlabels_ints")?;
    let classes = labels.len();
    ensure!(classes >= 2, "SVMClassifier needs two classes or more");
    let per_class: Vec<usize> = node.get_attr_opt_vec("vectors_per_class")?.unwrap_or_default();
    ensure!(
        per_class.len() == classes,
        "vectors_per_class has {} entries for {classes} classes; linear SVMClassifier is not supported",
        per_class.len()
    );
    let mut starts = vec![0_usize];
    for count in per_class {
        let next = starts.last().and_then(|start| start.checked_add(count));
        starts.push(next.context("vectors_per_class overflows")?);
    }
    let count = starts.last().copied().unwrap_or_default();
    let vectors = Vectors::of(node, count)?;
    let pairs = classes * (classes - 1) / 2;
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let expected = (classes - 1)
        .checked_mul(count)
        .context("too many support vectors")?;
    ensure!(
        coefficients.len() == expected,
        "{} coefficients, expected {expected}",
        coefficients.len()
    );
    let rho: Vec<f32> = node.get_attr_vec("rho")?;
    ensure!(
        rho.len() == pairs,
        "{} entries in rho, expected {pairs}",
        rho.len()
    );
    let a: Vec<f32> = node.get_attr_opt_vec("prob_a")?.unwrap_or_default();
    let b: Vec<f32> = node.get_attr_opt_vec("prob_b")?.unwrap_or_default();
    ensure!(
        a.len() == b.len() && (a.is_empty() || a.len() == pairs),
        "prob_a and prob_b must have {pairs} entries each"
    );
    let platt = a.into_iter().zip(b).collect();
    built(SvmClassifier {
        vectors,
        starts,
        coefficients,
        rho,
        platt,
        labels,
        post: PostTransform::of(node)?,
    })
}

impl SvmClassifier {
    fn pairs(&self) -> usize {
        self.rho.len()
    }

    /// Number of scores answered for each row.
    fn width(&self) -> usize {
        if self.platt.is_empty() && self.labels.len() > 2 {
            self.pairs()
        } else {
            self.labels.len()
        }
    }

    /// Decision value of each pair of classes, and the votes of each class.
    fn decide(&self, row: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let similarities = self.vectors.compare(row).collect::<Vec<_>>();
        let classes = self.labels.len();
        let mut decisions = Vec::with_capacity(self.pairs());
        let mut votes = vec![0.0; classes];
        // Indices are products of the lengths that were checked when the node was read.
        for i in 0..classes {
            for j in i + 1..classes {
                let part = |class: usize, row: usize| {
                    let range = self.starts[class]..self.starts[class + 1];
                    let offset = row * self.vectors.count;
                    let coefficients = &self.coefficients[offset + range.start..offset + range.end];
                    let products = coefficients.iter().zip(&similarities[range]);
                    products.map(|(c, s)| f64::from(c * s)).sum::<f64>()
                };
                let sum = part(i, j - 1) + part(j, i) + f64::from(self.rho[decisions.len()]);
                votes[if sum > 0.0 { i } else { j }] += 1.0;
                #[allow(clippy::cast_possible_truncation, reason = "scores are floats")]
                decisions.push(sum as f32);
            }
        }
        (decisions, votes)
    }

    fn transformed(&self, mut scores: Vec<f32>) -> Vec<f32> {
        self.post.apply(&mut scores);
        scores
    }

    /// Probabilities of the classes from those of their pairs.
    fn probabilities(&self, decisions: &[f32]) -> Vec<f32> {
        const EDGE: f32 = 1e-7;
        let classes = self.labels.len();
        let mut pairwise = vec![0.0; classes * classes];
        let mut index = 0;
        for i in 0..classes {
            for j in i + 1..classes {
                let (a, b) = self.platt[index];
                let p = (1.0 - logistic(decisions[index] * a + b)).clamp(EDGE, 1.0 - EDGE);
                pairwise[i * classes + j] = p;
                pairwise[j * classes + i] = 1.0 - p;
                index += 1;
            }
        }
        couple(classes, &pairwise)
    }
}

/// Couples pairwise probabilities: Wu, Lin and Weng (2004), second method.
fn couple(classes: usize, pairwise: &[f32]) -> Vec<f32> {
    const ITERATIONS: usize = 100;
    let at = |i: usize, j: usize| pairwise[i * classes + j];
    let q = |i: usize, j: usize| {
        if i == j {
            (0..classes)
                .filter(|k| *k != i)
                .map(|k| at(k, i) * at(k, i))
                .sum::<f32>()
        } else {
            -at(j, i) * at(i, j)
        }
    };
    let q = (0..classes * classes)
        .map(|k| q(k / classes, k % classes))
        .collect::<Vec<_>>();
    let tolerance = 0.005 / classes as f32;
    let mut p = vec![1.0 / classes as f32; classes];
    for _ in 0..ITERATIONS {
        let mut qp = q
            .chunks_exact(classes)
            .map(|row| dot(row, &p))
            .collect::<Vec<f32>>();
        let mut pqp = dot(&p, &qp);
        if qp.iter().all(|value| (value - pqp).abs() < tolerance) {
            break;
        }
        for i in 0..classes {
            let diagonal = q[i * classes + i];
            let step = (pqp - qp[i]) / diagonal;
            p[i] += step;
            pqp = (pqp + step * (step * diagonal + 2.0 * qp[i])) / (1.0 + step) / (1.0 + step);
            for j in 0..classes {
                qp[j] = (qp[j] + step * q[i * classes + j]) / (1.0 + step);
                p[j] /= 1.0 + step;
            }
        }
    }
    p
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Kernel for SvmClassifier {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(self.labels.facts(batch(&only(inputs)?.1)?, self.width()))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = Rows::of(only(inputs)?)?;
        rows.expect(self.vectors.features)?;
        let mut winners = Vec::with_capacity(rows.count);
        let mut answers = Vec::with_capacity(rows.count * self.width());
        for row in rows.iter() {
            let (decisions, votes) = self.decide(row);
            // Probabilities do not decide: they may contradict the votes where a row is near the border.
            winners.push(argmax(votes));
            let scores = if self.platt.is_empty() {
                match (decisions.as_slice(), self.post) {
                    // With two classes the one decision value counts for both.
                    ([decision], PostTransform::None) => vec![-decision, *decision],
                    ([decision], PostTransform::Logistic) => vec![logistic(-decision), logistic(*decision)],
                    ([decision], _) => vec![1.0 - decision, *decision],
                    _ => self.transformed(decisions),
                }
            } else {
                self.transformed(self.probabilities(&decisions))
            };
            answers.extend(scores);
        }
        self.labels.answer(&winners, answers, self.width())
    }

    fn size_bytes(&self) -> usize {
        self.vectors.size_bytes() + self.coefficients.len() * size_of::<f32>() + self.labels.size_bytes()
    }
}
