//! Decision trees as one flat array of nodes.

mod draft;
mod read;

use std::ops::{AddAssign, DivAssign};

use tract_onnx::tract_hir::internal::*;

use self::draft::Draft;
use super::Rows;

pub(super) use self::read::{read_ensemble, read_trees};

/// A float of the width that thresholds, features or scores have.
pub(super) trait Real:
    Datum + Copy + PartialOrd + Default + AddAssign + DivAssign + Into<f64>
{
    /// The nearest one.
    fn nearest(value: f64) -> Self;
}

impl Real for f32 {
    #[allow(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
    fn nearest(value: f64) -> Self {
        value as Self
    }
}

impl Real for f64 {
    fn nearest(value: f64) -> Self {
        value
    }
}

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

/// How the scores of the trees become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Sixteen bytes where the threshold is a float: four nodes in a cache line.
#[derive(Clone, Copy, Debug)]
struct Node<T> {
    /// Feature, mode and what a missing value means, packed.
    split: Split,
    threshold: T,
    /// Node if true, and node if false; of a leaf, itself.
    next: [u32; 2],
}

/// What a node looks at: an index, then three bits of mode, then whether a missing value is true. The index is that of the
/// feature, or of a leaf among the leaves.
#[derive(Clone, Copy, Debug)]
struct Split(u32);

impl Split {
    /// Features and leaves beyond have no index: no row is that long, and no model that large.
    const MAX_INDEX: u32 = (1 << 28) - 1;

    fn new(index: u32, mode: Mode, missing_is_true: bool) -> Self {
        Self(index << 4 | (mode as u32) << 1 | u32::from(missing_is_true))
    }

    fn index(self) -> usize {
        (self.0 >> 4) as usize
    }

    fn mode(self) -> Mode {
        match self.0 >> 1 & 7 {
            0 => Mode::Leq,
            1 => Mode::Lt,
            2 => Mode::Gte,
            3 => Mode::Gt,
            4 => Mode::Eq,
            5 => Mode::Neq,
            _ => Mode::Leaf,
        }
    }

    fn is_leaf(self) -> bool {
        self.mode() == Mode::Leaf
    }

    fn missing_is_true(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A score that a leaf adds to one target.
#[derive(Clone, Copy, Debug)]
struct Weight<T> {
    target: u32,
    value: T,
}

/// Trees, and what their leaves add to. Every index was checked when it was read, and no node is its own descendant.
#[derive(Debug)]
struct Trees<T> {
    nodes: Vec<Node<T>>,
    weights: Vec<Weight<T>>,
    /// Where the weights of each leaf end; they begin where those of the one before end.
    ends: Vec<u32>,
    roots: Vec<u32>,
    /// The mode that all nodes have, if they have one and none knows missing values.
    uniform: Option<Mode>,
}

/// Trees of either width, with what is the same for both.
#[derive(Debug)]
pub(super) struct Forest {
    trees: Width,
    features: usize,
    pub(super) targets: usize,
    pub(super) base: Vec<f64>,
}

#[derive(Debug)]
enum Width {
    Single(Trees<f32>),
    Double(Trees<f64>),
}

/// Scores of all rows, one for each target, and whether any leaf scored it.
#[derive(Debug)]
pub(super) struct Scores<V> {
    pub(super) values: Vec<V>,
    pub(super) touched: Vec<bool>,
}

/// Rows that go through a tree together, so that its nodes are read from memory once.
const BLOCK: usize = 64;
/// Rows, or trees of one row, that take their steps together.
const LANES: usize = 8;

impl<T: Real> Trees<T> {
    /// The leaf that each row ends in, in the tree of its root. Several at once keep the processor busy: one waits for
    /// memory at each node.
    fn leaves<const LANES: usize, V: Real + From<T>>(
        &self,
        roots: [u32; LANES],
        rows: [&[V]; LANES],
        test: impl Fn(&Node<T>, V) -> bool,
    ) -> [usize; LANES] {
        let mut at = roots;
        loop {
            let mut leaves = [0; LANES];
            let mut done = true;
            for (lane, row) in rows.iter().enumerate() {
                let node = &self.nodes[at[lane] as usize];
                // The number of columns was checked against the largest feature. A leaf's index is none: whatever
                // the test says of the value there, a leaf leads to itself.
                let value = row.get(node.split.index()).copied().unwrap_or_default();
                // No branch here: half of the time it would be predicted wrongly.
                at[lane] = node.next[usize::from(!test(node, value))];
                leaves[lane] = node.split.index();
                done &= node.split.is_leaf();
            }
            if done {
                return leaves;
            }
        }
    }

    fn weights(&self, leaf: usize) -> &[Weight<T>] {
        let start = leaf.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.weights[start as usize..self.ends[leaf] as usize]
    }

    fn score<V: Real + From<T>>(
        &self,
        rows: &Rows<V>,
        targets: usize,
        aggregate: Aggregate,
        test: impl Fn(&Node<T>, V) -> bool + Copy,
    ) -> Scores<V> {
        let mut values = vec![V::default(); rows.count * targets];
        let mut touched = vec![false; rows.count * targets];
        let block = BLOCK * targets;
        let blocks = values.chunks_mut(block).zip(touched.chunks_mut(block));
        for (index, (values, touched)) in blocks.enumerate() {
            let mut add = |row: usize, leaf: usize| {
                for weight in self.weights(leaf) {
                    let slot = row * targets + weight.target as usize;
                    aggregate.add(&mut values[slot], &mut touched[slot], V::from(weight.value));
                }
            };
            let first = index * BLOCK;
            let count = BLOCK.min(rows.count - first);
            let together = count - count % LANES;
            for root in &self.roots {
                for row in (0..together).step_by(LANES) {
                    let lanes = std::array::from_fn(|lane| rows.row(first + row + lane));
                    let leaves = self.leaves([*root; LANES], lanes, test);
                    for (lane, leaf) in leaves.into_iter().enumerate() {
                        add(row + lane, leaf);
                    }
                }
            }
            // Too few rows for all lanes: each goes through several trees at once.
            let (groups, rest) = self.roots.as_chunks::<LANES>();
            for row in together..count {
                let values = rows.row(first + row);
                for roots in groups {
                    for leaf in self.leaves(*roots, [values; LANES], test) {
                        add(row, leaf);
                    }
                }
                for root in rest {
                    let [leaf] = self.leaves([*root], [values], test);
                    add(row, leaf);
                }
            }
        }
        if aggregate == Aggregate::Average {
            let trees = V::nearest(self.roots.len() as f64);
            for value in &mut values {
                *value /= trees;
            }
        }
        Scores { values, touched }
    }

    fn run<V: Real + From<T>>(&self, rows: &Rows<V>, targets: usize, aggregate: Aggregate) -> Scores<V> {
        match self.uniform {
            Some(Mode::Leq) => self.score(rows, targets, aggregate, |node, value| {
                value <= V::from(node.threshold)
            }),
            Some(Mode::Lt) => self.score(rows, targets, aggregate, |node, value| {
                value < V::from(node.threshold)
            }),
            _ => self.score(rows, targets, aggregate, decide),
        }
    }

    fn size_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<T>>()
            + self.weights.capacity() * size_of::<Weight<T>>()
            + self.ends.capacity() * size_of::<u32>()
            + self.roots.capacity() * size_of::<u32>()
    }
}

/// Whether a value takes the branch for true.
fn decide<T: Real, V: Real + From<T>>(node: &Node<T>, value: V) -> bool {
    let threshold = V::from(node.threshold);
    let holds = match node.split.mode() {
        Mode::Leq => value <= threshold,
        Mode::Lt => value < threshold,
        Mode::Gte => value >= threshold,
        Mode::Gt => value > threshold,
        Mode::Eq => value == threshold,
        Mode::Neq | Mode::Leaf => value != threshold,
    };
    holds || (node.split.missing_is_true() && value.partial_cmp(&value).is_none())
}

impl Aggregate {
    #[inline]
    fn add<V: Real>(self, score: &mut V, touched: &mut bool, value: V) {
        match self {
            Self::Sum | Self::Average => *score += value,
            Self::Min if *touched && *score <= value => {}
            Self::Max if *touched && *score >= value => {}
            Self::Min | Self::Max => *score = value,
        }
        *touched = true;
    }
}

impl Forest {
    fn new(draft: &Draft, targets: usize, base: Vec<f64>) -> TractResult<Self> {
        let trees = if draft.double {
            Width::Double(draft.lay_out()?)
        } else {
            Width::Single(draft.lay_out()?)
        };
        Ok(Self {
            trees,
            features: draft.features(),
            targets,
            base,
        })
    }

    /// Scores of every row of floats.
    pub(super) fn singles(&self, input: &Tensor, aggregate: Aggregate) -> TractResult<Scores<f32>> {
        match &self.trees {
            Width::Single(trees) => Ok(trees.run(&self.rows(input)?, self.targets, aggregate)),
            Width::Double(_) => {
                let scores = self.doubles(input, aggregate)?;
                Ok(Scores {
                    values: scores.values.into_iter().map(f32::nearest).collect(),
                    touched: scores.touched,
                })
            }
        }
    }

    /// Scores of every row of doubles.
    pub(super) fn doubles(&self, input: &Tensor, aggregate: Aggregate) -> TractResult<Scores<f64>> {
        let rows = self.rows(input)?;
        Ok(match &self.trees {
            Width::Single(trees) => trees.run(&rows, self.targets, aggregate),
            Width::Double(trees) => trees.run(&rows, self.targets, aggregate),
        })
    }

    fn rows<V: Real>(&self, input: &Tensor) -> TractResult<Rows<V>> {
        let rows = Rows::of(input)?;
        ensure!(
            rows.columns >= self.features,
            "expected {} features or more, got {}",
            self.features,
            rows.columns
        );
        Ok(rows)
    }

    /// Whether every leaf scores the same target.
    pub(super) fn has_one_target(&self) -> bool {
        fn same<T>(weights: &[Weight<T>]) -> bool {
            weights.windows(2).all(|pair| pair[0].target == pair[1].target)
        }
        match &self.trees {
            Width::Single(trees) => same(&trees.weights),
            Width::Double(trees) => same(&trees.weights),
        }
    }

    /// Whether no leaf subtracts.
    pub(super) fn is_positive(&self) -> bool {
        match &self.trees {
            Width::Single(trees) => trees.weights.iter().all(|weight| weight.value >= 0.0),
            Width::Double(trees) => trees.weights.iter().all(|weight| weight.value >= 0.0),
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let trees = match &self.trees {
            Width::Single(trees) => trees.size_bytes(),
            Width::Double(trees) => trees.size_bytes(),
        };
        trees + self.base.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests;
