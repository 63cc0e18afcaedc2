//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{
    Built, Fact, Kernel, Labels, Rows, argmax, batch, built, forest::Forest, only, post::PostTransform,
    tensor_of,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

// --- Regressor ----------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct TreeRegressor {
    forest: Forest,
    aggregate: Aggregate,
    post: PostTransform,
}

pub(super) fn regressor(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    ensure!(targets > 0, "no targets");
    let aggregate = match node.get_attr_opt::<&str>("aggregate_function")? {
        None | Some("SUM") => Aggregate::Sum,
        Some("AVERAGE") => Aggregate::Average,
        Some("MIN") => Aggregate::Min,
        Some("MAX") => Aggregate::Max,
        Some(other) => bail!("unknown aggregate_function {other:?}"),
    };
    let forest = Forest::of(ctx, node, "target", targets)?;
    ensure!(
        forest.base.is_empty() || forest.base.len() == targets,
        "{} base_values for {targets} targets",
        forest.base.len()
    );
    built(TreeRegressor {
        forest,
        aggregate,
        post: PostTransform::of(node)?,
    })
}

impl TreeRegressor {
    fn score(&self, row: &[f32], scores: &mut [f32], touched: &mut [bool]) {
        match self.aggregate {
            Aggregate::Sum => self.forest.sum(row, scores, touched),
            Aggregate::Average => {
                self.forest.sum(row, scores, touched);
                let trees = self.forest.roots.len() as f32;
                for score in scores.iter_mut() {
                    *score /= trees;
                }
            }
            Aggregate::Min => self.extreme(row, scores, touched, |new, old| new < old),
            Aggregate::Max => self.extreme(row, scores, touched, |new, old| new > old),
        }
        // A target that no leaf scored stays 0, without its base value.
        for ((score, base), _) in scores
            .iter_mut()
            .zip(&self.forest.base)
            .zip(&*touched)
            .filter(|(_, touched)| **touched)
        {
            *score += base;
        }
    }

    fn extreme(
        &self,
        row: &[f32],
        scores: &mut [f32],
        touched: &mut [bool],
        wins: impl Fn(f32, f32) -> bool,
    ) {
        for root in &self.forest.roots {
            for weight in self.forest.leaf(*root, row) {
                let target = weight.target as usize;
                if !touched[target] || wins(weight.value, scores[target]) {
                    scores[target] = weight.value;
                    touched[target] = true;
                }
            }
        }
    }
}

impl Kernel for TreeRegressor {
    fn name(&self) -> &'static str {
        "TreeEnsembleRegressor"
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec![(
            DatumType::F32,
            tvec![batch(&only(inputs)?.1)?, self.forest.targets.to_dim()]
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = Rows::of(only(inputs)?)?;
        self.forest.check(&rows)?;
        let targets = self.forest.targets;
        let mut answers = vec![0.0; rows.count * targets];
        let mut touched = vec![false; targets];
        for (row, scores) in rows.iter().zip(answers.chunks_exact_mut(targets)) {
            touched.fill(false);
            self.score(row, scores, &mut touched);
            self.post.apply(scores);
        }
        Ok(tvec![tensor_of(&[rows.count, targets], answers)?])
    }

    fn size_bytes(&self) -> usize {
        self.forest.size_bytes()
    }
}

// --- Classifier ---------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct TreeClassifier {
    forest: Forest,
    labels: Labels,
    post: PostTransform,
    /// Two classes whose leaves all score the same one: that score is the second class's.
    single: bool,
    all_positive: bool,
}

pub(super) fn classifier(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::of(node, "classlabels_int64s")?;
    let forest = Forest::of(ctx, node, "class", labels.len())?;
    let first = forest.weights.first().context("no leaf has a weight")?.target;
    let single = labels.len() == 2 && forest.weights.iter().all(|weight| weight.target == first);
    let all_positive = forest.weights.iter().all(|weight| weight.value >= 0.0);
    ensure!(
        matches!(forest.base.len(), 0)
            || forest.base.len() == labels.len()
            || single && forest.base.len() == 1,
        "{} base_values for {} classes",
        forest.base.len(),
        labels.len()
    );
    built(TreeClassifier {
        forest,
        labels,
        post: PostTransform::of(node)?,
        single,
        all_positive,
    })
}

impl TreeClassifier {
    /// Label of a row, and its transformed scores.
    fn finish(&self, scores: &mut [f32], touched: &[bool]) -> usize {
        if !self.single {
            for (score, base) in scores.iter_mut().zip(&self.forest.base) {
                *score += base;
            }
            // A class that nothing scored cannot win against negative scores.
            let has_base = !self.forest.base.is_empty();
            let entrants = scores.iter().zip(touched).map(|(score, touched)| {
                if *touched || has_base {
                    *score
                } else {
                    f32::NEG_INFINITY
                }
            });
            let winner = argmax(entrants);
            self.post.apply(scores);
            return winner;
        }
        // One of the two is zero: no leaf scores it.
        let score = scores.iter().sum::<f32>() + self.forest.base.last().copied().unwrap_or(0.0);
        let wins = score > if self.all_positive { 0.5 } else { 0.0 };
        let is_logistic = self.post == PostTransform::Logistic;
        let other = if self.all_positive && !is_logistic {
            1.0 - score
        } else {
            -score
        };
        scores.copy_from_slice(&[other, score]);
        // No other transform is applied to a pair that was made from one score.
        if is_logistic {
            self.post.apply(scores);
        }
        usize::from(wins)
    }
}

impl Kernel for TreeClassifier {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let rows = batch(&only(inputs)?.1)?;
        Ok(tvec![
            (self.labels.datum_type(), tvec![rows.clone()]),
            (DatumType::F32, tvec![rows, self.labels.len().to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = Rows::of(only(inputs)?)?;
        self.forest.check(&rows)?;
        let classes = self.labels.len();
        let mut winners = Vec::with_capacity(rows.count);
        let mut answers = vec![0.0; rows.count * classes];
        let mut touched = vec![false; classes];
        for (row, scores) in rows.iter().zip(answers.chunks_exact_mut(classes)) {
            touched.fill(false);
            self.forest.sum(row, scores, &mut touched);
            winners.push(self.finish(scores, &touched));
        }
        Ok(tvec![
            self.labels.pick(&winners)?,
            tensor_of(&[rows.count, classes], answers)?
        ])
    }

    fn size_bytes(&self) -> usize {
        self.forest.size_bytes() + self.labels.size_bytes()
    }
}
