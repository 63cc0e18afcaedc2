//! Forests from the attributes of a node: `TreeEnsembleClassifier` and `TreeEnsembleRegressor` in one form,
//! `TreeEnsemble` in another.

use std::collections::{HashMap, HashSet};

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{
    Forest, Mode,
    draft::{Branch, Draft, Part, Test},
};
use crate::onnx::tract::ml::{numbers, tensor_attribute};

/// A list attribute of a known length.
fn column<'a, T>(node: &'a NodeProto, name: &str, len: usize) -> TractResult<Vec<T>>
where
    T: tract_onnx::pb_helpers::AttrTVecType<'a>,
{
    let values: Vec<T> = node.get_attr_vec(name)?;
    check_len(name, values.len(), len)?;
    Ok(values)
}

/// A list attribute of a known length, or as many zeros.
fn flags(node: &NodeProto, name: &str, len: usize) -> TractResult<Vec<bool>> {
    let values: Vec<i64> = node.get_attr_opt_vec(name)?.unwrap_or_default();
    if values.is_empty() {
        return Ok(vec![false; len]);
    }
    check_len(name, values.len(), len)?;
    Ok(values.into_iter().map(|value| value != 0).collect())
}

fn check_len(name: &str, got: usize, expected: usize) -> TractResult<()> {
    ensure!(got == expected, "{name} has {got} entries, expected {expected}");
    Ok(())
}

/// Floats, or the doubles of a tensor; and whether they are doubles.
struct Values {
    values: Vec<f64>,
    double: bool,
}

impl Values {
    /// An attribute that newer models may give as a tensor of another name.
    fn of(ctx: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Self> {
        match node.get_attr_opt_vec::<f32>(name)? {
            Some(values) if !values.is_empty() => Ok(Self {
                values: values.into_iter().map(f64::from).collect(),
                double: false,
            }),
            _ => Self::of_tensor(ctx, node, &format!("{name}_as_tensor")),
        }
    }

    /// A tensor attribute; empty where there is none.
    fn of_tensor(ctx: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Self> {
        let tensor = tensor_attribute(ctx, node, name)?;
        Ok(Self {
            double: tensor
                .as_ref()
                .is_some_and(|tensor| tensor.datum_type() == DatumType::F64),
            values: tensor.as_ref().map(numbers).transpose()?.unwrap_or_default(),
        })
    }

    fn expect(self, name: &str, len: usize) -> TractResult<Self> {
        check_len(name, self.values.len(), len)?;
        Ok(self)
    }
}

// --- TreeEnsembleClassifier, TreeEnsembleRegressor ----------------------------------------------------------------

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
type Positions = HashMap<(i64, i64), usize>;

fn positions(trees: &[i64], ids: &[i64]) -> TractResult<Positions> {
    let mut positions = HashMap::with_capacity(ids.len());
    for (position, key) in trees.iter().copied().zip(ids.iter().copied()).enumerate() {
        let previous = positions.insert(key, position);
        ensure!(previous.is_none(), "tree {} has node {} twice", key.0, key.1);
    }
    Ok(positions)
}

fn find(positions: &Positions, tree: i64, id: i64) -> TractResult<usize> {
    let position = positions.get(&(tree, id)).copied();
    position.with_context(|| format!("tree {tree} has no node {id}"))
}

/// Reads a forest of the older operators; `leaves` is how the names of its leaf attributes begin.
pub(in super::super) fn read_trees(
    ctx: &ParsingContext,
    node: &NodeProto,
    leaves: &str,
    targets: usize,
) -> TractResult<Forest> {
    let trees: Vec<i64> = node.get_attr_vec("nodes_treeids")?;
    let count = trees.len();
    ensure!(count > 0, "no nodes");
    let ids = column::<i64>(node, "nodes_nodeids", count)?;
    let positions = positions(&trees, &ids)?;
    let mut draft = branches(ctx, node, &trees, &positions)?;
    add_weights(ctx, node, leaves, targets, &positions, &mut draft)?;
    draft.roots = roots(&trees, &draft.parts)?;
    let base = Values::of(ctx, node, "base_values")?;
    Forest::new(&draft, targets, base.values)
}

fn branches(
    ctx: &ParsingContext,
    node: &NodeProto,
    trees: &[i64],
    positions: &Positions,
) -> TractResult<Draft> {
    let count = trees.len();
    let features = column::<i64>(node, "nodes_featureids", count)?;
    let yes = column::<i64>(node, "nodes_truenodeids", count)?;
    let no = column::<i64>(node, "nodes_falsenodeids", count)?;
    let modes = column::<&str>(node, "nodes_modes", count)?;
    let thresholds = Values::of(ctx, node, "nodes_values")?.expect("nodes_values", count)?;
    let missing = flags(node, "nodes_missing_value_tracks_true", count)?;
    let mut parts = Vec::with_capacity(count);
    for index in 0..count {
        parts.push(match mode(modes[index])? {
            Mode::Leaf => Part::Leaf(Vec::new()),
            mode => Part::Branch(Branch {
                feature: u32::try_from(features[index]).context("feature id is negative or too large")?,
                test: Test::Compare(mode, thresholds.values[index]),
                missing_is_true: missing[index],
                yes: find(positions, trees[index], yes[index])?,
                no: find(positions, trees[index], no[index])?,
            }),
        });
    }
    Ok(Draft {
        parts,
        roots: Vec::new(),
        double: thresholds.double,
    })
}

fn add_weights(
    ctx: &ParsingContext,
    node: &NodeProto,
    leaves: &str,
    targets: usize,
    positions: &Positions,
    draft: &mut Draft,
) -> TractResult<()> {
    let ids: Vec<i64> = node.get_attr_vec(&format!("{leaves}_ids"))?;
    let count = ids.len();
    let trees = column::<i64>(node, &format!("{leaves}_treeids"), count)?;
    let node_ids = column::<i64>(node, &format!("{leaves}_nodeids"), count)?;
    let name = format!("{leaves}_weights");
    let values = Values::of(ctx, node, &name)?.expect(&name, count)?;
    draft.double |= values.double;
    for index in 0..count {
        let leaf = find(positions, trees[index], node_ids[index])?;
        let target = target(ids[index], targets)?;
        // Weights of inner nodes are never reached.
        if let Part::Leaf(weights) = &mut draft.parts[leaf] {
            weights.push((target, values.values[index]));
        }
    }
    Ok(())
}

fn target(id: i64, targets: usize) -> TractResult<u32> {
    let target = u32::try_from(id)
        .ok()
        .filter(|target| (*target as usize) < targets);
    target.with_context(|| format!("target {id} of {targets}"))
}

/// The node of each tree that is no other node's child.
fn roots(trees: &[i64], parts: &[Part]) -> TractResult<Vec<usize>> {
    let mut is_child = vec![false; parts.len()];
    for part in parts {
        if let Part::Branch(branch) = part {
            // Positions of nodes that were found.
            is_child[branch.yes] = true;
            is_child[branch.no] = true;
        }
    }
    let mut roots = Vec::new();
    let mut seen: HashSet<i64> = HashSet::new();
    for (index, tree) in trees.iter().enumerate().filter(|(index, _)| !is_child[*index]) {
        ensure!(seen.insert(*tree), "tree {tree} has more than one root");
        roots.push(index);
    }
    for tree in trees {
        ensure!(seen.contains(tree), "tree {tree} has no root");
    }
    Ok(roots)
}

// --- TreeEnsemble -------------------------------------------------------------------------------------------------

/// `BRANCH_MEMBER` among the modes of `TreeEnsemble`.
const MEMBER: u8 = 6;

/// Reads a forest of `TreeEnsemble`, whose leaves have one target each.
pub(in super::super) fn read_ensemble(
    ctx: &ParsingContext,
    node: &NodeProto,
    targets: usize,
) -> TractResult<Forest> {
    let features: Vec<i64> = node.get_attr_vec("nodes_featureids")?;
    let count = features.len();
    let splits = Values::of_tensor(ctx, node, "nodes_splits")?.expect("nodes_splits", count)?;
    let yes = column::<i64>(node, "nodes_truenodeids", count)?;
    let no = column::<i64>(node, "nodes_falsenodeids", count)?;
    let yes_leaves = flags(node, "nodes_trueleafs", count)?;
    let no_leaves = flags(node, "nodes_falseleafs", count)?;
    let missing = flags(node, "nodes_missing_value_tracks_true", count)?;
    let modes = tensor_attribute(ctx, node, "nodes_modes")?.context("no nodes_modes")?;
    let modes = numbers::<u8>(&modes)?;
    check_len("nodes_modes", modes.len(), count)?;
    let ids: Vec<i64> = node.get_attr_vec("leaf_targetids")?;
    let weights = Values::of_tensor(ctx, node, "leaf_weights")?.expect("leaf_weights", ids.len())?;
    let members = Values::of_tensor(ctx, node, "membership_values")?.values;
    // NaN ends each set.
    let mut sets = members.split_inclusive(|member| member.is_nan());

    let child = |id: i64, is_leaf: bool| {
        let (kind, limit, offset) = if is_leaf {
            ("leaf", ids.len(), count)
        } else {
            ("node", count, 0)
        };
        let index = usize::try_from(id).ok().filter(|index| *index < limit);
        let index = index.with_context(|| format!("{kind} {id} of {limit}"))?;
        TractResult::Ok(offset + index)
    };
    let mut parts = Vec::with_capacity(count + ids.len());
    for index in 0..count {
        let compare = |mode| Test::Compare(mode, splits.values[index]);
        let test = match modes[index] {
            0 => compare(Mode::Leq),
            1 => compare(Mode::Lt),
            2 => compare(Mode::Gte),
            3 => compare(Mode::Gt),
            4 => compare(Mode::Eq),
            5 => compare(Mode::Neq),
            MEMBER => {
                let set = sets.next().context("too few sets in membership_values")?;
                Test::Member(set.iter().copied().filter(|member| !member.is_nan()).collect())
            }
            other => bail!("unknown node mode {other}"),
        };
        parts.push(Part::Branch(Branch {
            feature: u32::try_from(features[index]).context("feature id is negative or too large")?,
            test,
            missing_is_true: missing[index],
            yes: child(yes[index], yes_leaves[index])?,
            no: child(no[index], no_leaves[index])?,
        }));
    }
    for (id, weight) in ids.iter().zip(&weights.values) {
        parts.push(Part::Leaf(vec![(target(*id, targets)?, *weight)]));
    }
    let roots: Vec<i64> = node.get_attr_vec("tree_roots")?;
    let draft = Draft {
        parts,
        roots: roots
            .into_iter()
            .map(|root| child(root, false))
            .collect::<TractResult<_>>()?,
        double: splits.double || weights.double,
    };
    Forest::new(&draft, targets, Vec::new())
}
