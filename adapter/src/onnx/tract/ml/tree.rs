//! `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`.

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{
    Built, Fact, Kernel, batch, built,
    forest::{Aggregate, Forest, Real, Scores, read_ensemble, read_trees},
    labels::{Labels, argmax},
    only,
    post::PostTransform,
    tensor_of,
};

// --- Regressor and TreeEnsemble -----------------------------------------------------------------------------------

#[derive(Debug)]
struct Regressor {
    name: &'static str,
    forest: Forest,
    aggregate: Aggregate,
    post: PostTransform,
    /// Whether the scores have the type of the input; else they are floats.
    typed: bool,
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
    let forest = read_trees(ctx, node, "target", targets)?;
    ensure!(
        forest.base.is_empty() || forest.base.len() == targets,
        "{} base_values for {targets} targets",
        forest.base.len()
    );
    built(Regressor {
        name: "TreeEnsembleRegressor",
        forest,
        aggregate,
        post: PostTransform::of(node)?,
        typed: false,
    })
}

pub(super) fn ensemble(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    ensure!(targets > 0, "no targets");
    let aggregate = match node.get_attr_opt::<i64>("aggregate_function")? {
        Some(0) => Aggregate::Average,
        None | Some(1) => Aggregate::Sum,
        Some(2) => Aggregate::Min,
        Some(3) => Aggregate::Max,
        Some(other) => bail!("unknown aggregate_function {other}"),
    };
    built(Regressor {
        name: "TreeEnsemble",
        forest: read_ensemble(ctx, node, targets)?,
        aggregate,
        post: PostTransform::of_number(node)?,
        typed: true,
    })
}

impl Regressor {
    /// Scores with their base values; a target that no leaf scored stays 0, without its base value.
    fn finish<V: Real>(&self, scores: Scores<V>) -> Vec<V> {
        let Scores { mut values, touched } = scores;
        let base = self.forest.base.iter().cycle();
        for ((score, base), _) in values
            .iter_mut()
            .zip(base)
            .zip(touched)
            .filter(|(_, touched)| *touched)
        {
            *score += V::nearest(*base);
        }
        values
    }

    fn transform(&self, scores: &mut [f32]) {
        for row in scores.chunks_exact_mut(self.forest.targets) {
            self.post.apply(row);
        }
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (datum_type, shape) = only(inputs)?;
        let answered = match datum_type {
            DatumType::F16 | DatumType::F64 if self.typed => *datum_type,
            _ => DatumType::F32,
        };
        Ok(tvec![(
            answered,
            tvec![batch(shape)?, self.forest.targets.to_dim()]
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let targets = self.forest.targets;
        let is_double = input.datum_type() == DatumType::F64;
        if is_double && self.typed && self.post == PostTransform::None {
            let scores = self.finish(self.forest.doubles(input, self.aggregate)?);
            return Ok(tvec![tensor_of(&[scores.len() / targets, targets], scores)?]);
        }
        let mut scores = if is_double {
            let scores = self.finish(self.forest.doubles(input, self.aggregate)?);
            scores.into_iter().map(f32::nearest).collect()
        } else {
            self.finish(self.forest.singles(input, self.aggregate)?)
        };
        self.transform(&mut scores);
        let answer = tensor_of(&[scores.len() / targets, targets], scores)?;
        Ok(tvec![if self.typed {
            answer.cast_to_dt(input.datum_type())?.into_owned()
        } else {
            answer
        }])
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
    let forest = read_trees(ctx, node, "class", labels.len())?;
    let single = labels.len() == 2 && forest.has_one_target();
    ensure!(
        forest.base.is_empty() || forest.base.len() == labels.len() || single && forest.base.len() == 1,
        "{} base_values for {} classes",
        forest.base.len(),
        labels.len()
    );
    built(TreeClassifier {
        labels,
        post: PostTransform::of(node)?,
        single,
        all_positive: forest.is_positive(),
        forest,
    })
}

impl TreeClassifier {
    /// The outputs for the scores of all rows.
    fn answer<V: Real>(&self, scores: Scores<V>) -> TractResult<TVec<Tensor>> {
        let classes = self.labels.len();
        let Scores { mut values, touched } = scores;
        let mut winners = Vec::with_capacity(values.len() / classes);
        let mut answers = Vec::with_capacity(values.len());
        for (scores, touched) in values
            .chunks_exact_mut(classes)
            .zip(touched.chunks_exact(classes))
        {
            let start = answers.len();
            let (winner, transform) = if self.single {
                self.pair(scores)
            } else {
                (self.winner(scores, touched), true)
            };
            winners.push(winner);
            answers.extend(scores.iter().map(|score| f32::nearest((*score).into())));
            if transform {
                self.post.apply(&mut answers[start..]);
            }
        }
        self.labels.answer(&winners, answers, classes)
    }

    /// Adds the base values; the answer is the class with the largest score.
    fn winner<V: Real>(&self, scores: &mut [V], touched: &[bool]) -> usize {
        for (score, base) in scores.iter_mut().zip(&self.forest.base) {
            *score += V::nearest(*base);
        }
        // A class that nothing scored cannot win against negative scores.
        let has_base = !self.forest.base.is_empty();
        let entrants = scores.iter().zip(touched).map(|(score, touched)| {
            if *touched || has_base {
                *score
            } else {
                V::nearest(f64::NEG_INFINITY)
            }
        });
        argmax(entrants)
    }

    /// Makes a pair of the one score; the answer is the class, and whether the transform is applied.
    fn pair<V: Real>(&self, scores: &mut [V]) -> (usize, bool) {
        // One of the two is zero: no leaf scores it.
        let mut score = V::default();
        for part in scores.iter() {
            score += *part;
        }
        score += V::nearest(self.forest.base.last().copied().unwrap_or(0.0));
        let score: f64 = score.into();
        let wins = score > if self.all_positive { 0.5 } else { 0.0 };
        let is_logistic = self.post == PostTransform::Logistic;
        let other = if self.all_positive && !is_logistic {
            1.0 - score
        } else {
            -score
        };
        for (slot, score) in scores.iter_mut().zip([other, score]) {
            *slot = V::nearest(score);
        }
        // No other transform is applied to a pair that was made from one score.
        (usize::from(wins), is_logistic)
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
        Ok(self.labels.facts(batch(&only(inputs)?.1)?, self.labels.len()))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        if input.datum_type() == DatumType::F64 {
            self.answer(self.forest.doubles(input, Aggregate::Sum)?)
        } else {
            self.answer(self.forest.singles(input, Aggregate::Sum)?)
        }
    }

    fn size_bytes(&self) -> usize {
        self.forest.size_bytes() + self.labels.size_bytes()
    }
}
