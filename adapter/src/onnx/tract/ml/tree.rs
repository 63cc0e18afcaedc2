//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: forests as one flat array of nodes.

use std::collections::{HashMap, HashSet};

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{
    Built, Fact, Kernel, Labels, Rows, argmax, batch, built, floats, only, post::PostTransform,
    tensor_attribute, tensor_of,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
    Leaf,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    mode: Mode,
    missing_is_true: bool,
    feature: u32,
    threshold: f32,
    /// Node if true; of a leaf, its first weight.
    yes: u32,
    /// Node if false; of a leaf, one past its last weight.
    no: u32,
}

/// A score that a leaf adds to one target.
#[derive(Clone, Copy, Debug)]
struct Weight {
    target: u32,
    value: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Trees, and what their leaves add to. Every index was checked when it was read.
#[derive(Debug)]
struct Forest {
    nodes: Vec<Node>,
    weights: Vec<Weight>,
    roots: Vec<u32>,
    features: usize,
    targets: usize,
    base: Vec<f32>,
}

/// A list attribute of a known length.
fn column<'a, T>(node: &'a NodeProto, name: &str, len: usize) -> TractResult<Vec<T>>
where
    T: tract_onnx::pb_helpers::AttrTVecType<'a>,
{
    let values: Vec<T> = node.get_attr_vec(name)?;
    ensure!(
        values.len() == len,
        "{name} has {} entries, expected {len}",
        values.len()
    );
    Ok(values)
}

/// A list of floats, which newer models may give as a tensor of doubles.
fn values(ctx: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Vec<f32>> {
    match node.get_attr_opt_vec::<f32>(name)? {
        Some(values) if !values.is_empty() => Ok(values),
        _ => match tensor_attribute(ctx, node, &format!("{name}_as_tensor"))? {
            Some(tensor) => floats(&tensor),
            None => Ok(Vec::new()),
        },
    }
}

fn mode(text: &str) -> TractResult<Mode> {
    Ok(match text {
        "BRANCH_LEQ" => Mode::Leq,
        "BRANCH_LT" => Mode::Lt,
        "BRANCH_GTE" => Mode::Gte,
        "BRANCH_GT" => Mode::Gt,
        "BRANCH_EQ" => Mode::Eq,
        "BRANCH_NEQ" => Mode::Neq,
        "LEAF" => Mode::Leaf,
        other => bail!("unknown node mode {other:?}"),
    })
}

/// Position of each node by tree and id.
fn positions(trees: &[i64], ids: &[i64]) -> TractResult<HashMap<(i64, i64), u32>> {
    let mut positions = HashMap::with_capacity(ids.len());
    for (position, key) in trees.iter().copied().zip(ids.iter().copied()).enumerate() {
        let previous = positions.insert(key, u32::try_from(position)?);
        ensure!(previous.is_none(), "tree {} has node {} twice", key.0, key.1);
    }
    Ok(positions)
}

impl Forest {
    fn of(ctx: &ParsingContext, node: &NodeProto, leaves: &str, targets: usize) -> TractResult<Self> {
        let trees: Vec<i64> = node.get_attr_vec("nodes_treeids")?;
        let count = trees.len();
        ensure!(count > 0, "no nodes");
        let ids = column::<i64>(node, "nodes_nodeids", count)?;
        let positions = positions(&trees, &ids)?;
        let mut nodes = Self::nodes(ctx, node, &trees, &positions)?;
        let weights = Self::weights(ctx, node, leaves, targets, &positions, &mut nodes)?;
        let roots = roots(&trees, &nodes)?;
        check_acyclic(&nodes, &roots)?;
        let base = values(ctx, node, "base_values")?;
        let features = nodes
            .iter()
            .filter(|n| n.mode != Mode::Leaf)
            .map(|n| n.feature as usize + 1)
            .max()
            .unwrap_or(0);
        Ok(Self {
            nodes,
            weights,
            roots,
            features,
            targets,
            base,
        })
    }

    fn nodes(
        ctx: &ParsingContext,
        node: &NodeProto,
        trees: &[i64],
        positions: &HashMap<(i64, i64), u32>,
    ) -> TractResult<Vec<Node>> {
        let count = trees.len();
        let features = column::<i64>(node, "nodes_featureids", count)?;
        let yes = column::<i64>(node, "nodes_truenodeids", count)?;
        let no = column::<i64>(node, "nodes_falsenodeids", count)?;
        let modes = column::<&str>(node, "nodes_modes", count)?;
        let thresholds = values(ctx, node, "nodes_values")?;
        ensure!(
            thresholds.len() == count,
            "nodes_values has {} entries, expected {count}",
            thresholds.len()
        );
        let missing: Vec<i64> = node
            .get_attr_opt_vec("nodes_missing_value_tracks_true")?
            .unwrap_or_default();
        ensure!(
            missing.is_empty() || missing.len() == count,
            "nodes_missing_value_tracks_true has {} entries, expected {count}",
            missing.len()
        );
        let mut nodes = Vec::with_capacity(count);
        for index in 0..count {
            let mode = mode(modes[index])?;
            let child = |id: i64| {
                let position = positions.get(&(trees[index], id)).copied();
                position.with_context(|| format!("tree {} has no node {id}", trees[index]))
            };
            let (yes, no) = if mode == Mode::Leaf {
                (0, 0)
            } else {
                (child(yes[index])?, child(no[index])?)
            };
            nodes.push(Node {
                mode,
                missing_is_true: missing.get(index).is_some_and(|v| *v != 0),
                feature: u32::try_from(features[index]).context("negative feature id")?,
                threshold: thresholds[index],
                yes,
                no,
            });
        }
        Ok(nodes)
    }

    /// Reads the weights in the order of their leaves, and points the leaves at them.
    fn weights(
        ctx: &ParsingContext,
        node: &NodeProto,
        leaves: &str,
        targets: usize,
        positions: &HashMap<(i64, i64), u32>,
        nodes: &mut [Node],
    ) -> TractResult<Vec<Weight>> {
        let ids: Vec<i64> = node.get_attr_vec(&format!("{leaves}_ids"))?;
        let count = ids.len();
        let trees = column::<i64>(node, &format!("{leaves}_treeids"), count)?;
        let node_ids = column::<i64>(node, &format!("{leaves}_nodeids"), count)?;
        let values = values(ctx, node, &format!("{leaves}_weights"))?;
        ensure!(
            values.len() == count,
            "{leaves}_weights has {} entries, expected {count}",
            values.len()
        );
        let mut entries = Vec::with_capacity(count);
        for index in 0..count {
            let key = (trees[index], node_ids[index]);
            let leaf = positions
                .get(&key)
                .with_context(|| format!("tree {} has no node {}", key.0, key.1))?;
            let target = u32::try_from(ids[index]).context("negative target id")?;
            ensure!((target as usize) < targets, "target {target} of {targets}");
            entries.push((
                *leaf,
                Weight {
                    target,
                    value: values[index],
                },
            ));
        }
        entries.sort_by_key(|(leaf, _)| *leaf);
        let mut weights: Vec<Weight> = Vec::with_capacity(count);
        for (leaf, weight) in entries {
            let start = u32::try_from(weights.len())?;
            let leaf = &mut nodes[leaf as usize];
            if leaf.mode != Mode::Leaf {
                // Weights of inner nodes are never reached.
                continue;
            }
            if leaf.no == 0 {
                leaf.yes = start;
            }
            leaf.no = start + 1;
            weights.push(weight);
        }
        Ok(weights)
    }

    /// Weights of the leaf that `row` ends in.
    fn leaf(&self, root: u32, row: &[f32]) -> &[Weight] {
        let mut node = &self.nodes[root as usize];
        loop {
            // The number of columns was checked against `features`.
            let value = if node.mode == Mode::Leaf {
                return &self.weights[node.yes as usize..node.no as usize];
            } else {
                row[node.feature as usize]
            };
            #[allow(clippy::float_cmp, reason = "the operator compares exactly")]
            let yes = match node.mode {
                Mode::Leq => value <= node.threshold,
                Mode::Lt => value < node.threshold,
                Mode::Gte => value >= node.threshold,
                Mode::Gt => value > node.threshold,
                Mode::Eq => value == node.threshold,
                Mode::Neq | Mode::Leaf => value != node.threshold,
            } || (node.missing_is_true && value.is_nan());
            node = &self.nodes[if yes { node.yes } else { node.no } as usize];
        }
    }

    /// Sums of the leaves for one row; the answer says which targets any leaf added to.
    fn sum(&self, row: &[f32], scores: &mut [f32], touched: &mut [bool]) {
        for root in &self.roots {
            for weight in self.leaf(*root, row) {
                scores[weight.target as usize] += weight.value;
                touched[weight.target as usize] = true;
            }
        }
    }

    fn check(&self, rows: &Rows) -> TractResult<()> {
        ensure!(
            rows.columns >= self.features,
            "expected {} features or more, got {}",
            self.features,
            rows.columns
        );
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.weights.capacity() * size_of::<Weight>()
            + self.roots.capacity() * size_of::<u32>()
            + self.base.capacity() * size_of::<f32>()
    }
}

/// The node of each tree that is no other node's child.
fn roots(trees: &[i64], nodes: &[Node]) -> TractResult<Vec<u32>> {
    let mut is_child = vec![false; nodes.len()];
    for node in nodes.iter().filter(|node| node.mode != Mode::Leaf) {
        is_child[node.yes as usize] = true;
        is_child[node.no as usize] = true;
    }
    let mut roots: Vec<u32> = Vec::new();
    let mut seen: HashSet<i64> = HashSet::new();
    for (index, tree) in trees.iter().enumerate().filter(|(index, _)| !is_child[*index]) {
        ensure!(seen.insert(*tree), "tree {tree} has more than one root");
        roots.push(u32::try_from(index)?);
    }
    for tree in trees {
        ensure!(seen.contains(tree), "tree {tree} has no root");
    }
    Ok(roots)
}

/// A node that is its own descendant would keep a row going round forever.
fn check_acyclic(nodes: &[Node], roots: &[u32]) -> TractResult<()> {
    let mut visited = vec![false; nodes.len()];
    let mut stack = roots.to_vec();
    while let Some(index) = stack.pop() {
        let node = &nodes[index as usize];
        ensure!(!visited[index as usize], "a node has two parents");
        visited[index as usize] = true;
        if node.mode != Mode::Leaf {
            stack.extend([node.yes, node.no]);
        }
    }
    ensure!(
        visited.iter().all(|visited| *visited),
        "a node cannot be reached from a root"
    );
    Ok(())
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
    fn finish(&self, scores: &mut [f32]) -> usize {
        if !self.single {
            for (score, base) in scores.iter_mut().zip(&self.forest.base) {
                *score += base;
            }
            let winner = argmax(scores);
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
            self.forest.sum(row, scores, &mut touched);
            winners.push(self.finish(scores));
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
