//! Decision trees as one flat array of nodes.

use std::collections::{HashMap, HashSet};

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{Rows, floats, tensor_attribute};

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
pub(super) struct Weight {
    pub(super) target: u32,
    pub(super) value: f32,
}

/// Trees, and what their leaves add to. Every index was checked when it was read.
#[derive(Debug)]
pub(super) struct Forest {
    nodes: Vec<Node>,
    pub(super) weights: Vec<Weight>,
    pub(super) roots: Vec<u32>,
    features: usize,
    pub(super) targets: usize,
    pub(super) base: Vec<f32>,
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
    /// Reads a forest from a node; `leaves` is how the names of its leaf attributes begin.
    pub(super) fn of(
        ctx: &ParsingContext,
        node: &NodeProto,
        leaves: &str,
        targets: usize,
    ) -> TractResult<Self> {
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
    pub(super) fn leaf(&self, root: u32, row: &[f32]) -> &[Weight] {
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
    pub(super) fn sum(&self, row: &[f32], scores: &mut [f32], touched: &mut [bool]) {
        for root in &self.roots {
            for weight in self.leaf(*root, row) {
                scores[weight.target as usize] += weight.value;
                touched[weight.target as usize] = true;
            }
        }
    }

    pub(super) fn check(&self, rows: &Rows) -> TractResult<()> {
        ensure!(
            rows.columns >= self.features,
            "expected {} features or more, got {}",
            self.features,
            rows.columns
        );
        Ok(())
    }

    pub(super) fn size_bytes(&self) -> usize {
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
