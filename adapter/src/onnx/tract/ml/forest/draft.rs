//! Trees as a model describes them, checked and laid out for walking.

use tract_onnx::tract_hir::internal::*;

use super::{Mode, Node, Real, Split, Trees, Weight};

/// Trees whose parts refer to each other by index; nothing is checked yet.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) parts: Vec<Part>,
    pub(super) roots: Vec<usize>,
    /// Whether thresholds or weights are doubles.
    pub(super) double: bool,
}

#[derive(Debug)]
pub(super) enum Part {
    Branch(Branch),
    /// Targets and what is added to them.
    Leaf(Vec<(u32, f64)>),
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) feature: u32,
    pub(super) test: Test,
    pub(super) missing_is_true: bool,
    pub(super) yes: usize,
    pub(super) no: usize,
}

#[derive(Debug)]
pub(super) enum Test {
    Compare(Mode, f64),
    /// Whether the value is one of these.
    Member(Vec<f64>),
}

impl Branch {
    /// The comparisons that stand for the test: the first that holds leads to `yes`.
    fn comparisons(&self) -> Vec<(Mode, f64)> {
        match &self.test {
            Test::Compare(mode, threshold) => vec![(*mode, *threshold)],
            // Nothing is less than that.
            Test::Member(members) if members.is_empty() => vec![(Mode::Lt, f64::NEG_INFINITY)],
            Test::Member(members) => members.iter().map(|member| (Mode::Eq, *member)).collect(),
        }
    }
}

impl Draft {
    /// Columns that a row must have.
    pub(super) fn features(&self) -> usize {
        let feature = |part: &Part| match part {
            Part::Branch(branch) => branch.feature as usize + 1,
            Part::Leaf(_) => 0,
        };
        self.parts.iter().map(feature).max().unwrap_or(0)
    }

    /// Checks that the parts are trees, and puts them in the order in which they are walked: each node is followed by
    /// the one it leads to if true.
    pub(super) fn lay_out<T: Real>(&self) -> TractResult<Trees<T>> {
        let mut trees = Trees {
            nodes: Vec::with_capacity(self.parts.len()),
            weights: Vec::new(),
            ends: Vec::new(),
            roots: Vec::with_capacity(self.roots.len()),
            uniform: None,
        };
        let mut visited = vec![false; self.parts.len()];
        for root in &self.roots {
            trees.roots.push(u32::try_from(trees.nodes.len())?);
            self.lay_out_tree(*root, &mut trees, &mut visited)?;
        }
        ensure!(
            visited.iter().all(|visited| *visited),
            "a node cannot be reached from a root"
        );
        trees.nodes.shrink_to_fit();
        trees.weights.shrink_to_fit();
        trees.ends.shrink_to_fit();
        trees.uniform = uniform(&trees.nodes);
        Ok(trees)
    }

    fn lay_out_tree<T: Real>(
        &self,
        root: usize,
        trees: &mut Trees<T>,
        visited: &mut [bool],
    ) -> TractResult<()> {
        // A part, and the nodes that lead to it: if true, or if false.
        let mut stack: Vec<(usize, Vec<(usize, bool)>)> = vec![(root, Vec::new())];
        while let Some((index, parents)) = stack.pop() {
            let part = self.parts.get(index).context("a node that does not exist")?;
            let here = u32::try_from(trees.nodes.len())?;
            for (parent, yes) in parents {
                let parent = &mut trees.nodes[parent];
                parent.next[usize::from(!yes)] = here;
            }
            match part {
                Part::Leaf(weights) => {
                    let weights = weights.iter().map(|(target, value)| Weight {
                        target: *target,
                        value: T::nearest(*value),
                    });
                    let leaf = u32::try_from(trees.ends.len()).ok();
                    let leaf = leaf
                        .filter(|leaf| *leaf <= Split::MAX_INDEX)
                        .context("too many leaves")?;
                    trees.weights.extend(weights);
                    trees.ends.push(u32::try_from(trees.weights.len())?);
                    trees.nodes.push(Node {
                        split: Split::new(leaf, Mode::Leaf, false),
                        threshold: T::default(),
                        next: [here, here],
                    });
                }
                Part::Branch(branch) => {
                    ensure!(!visited[index], "a node has two parents");
                    ensure!(
                        branch.feature <= Split::MAX_INDEX,
                        "feature id {} is too large, the limit is {}",
                        branch.feature,
                        Split::MAX_INDEX
                    );
                    let first = trees.nodes.len();
                    for (mode, threshold) in branch.comparisons() {
                        trees.nodes.push(Node {
                            split: Split::new(branch.feature, mode, branch.missing_is_true),
                            threshold: T::nearest(threshold),
                            // The next comparison; of the last, replaced when its node is reached.
                            next: [0, u32::try_from(trees.nodes.len() + 1)?],
                        });
                    }
                    let last = trees.nodes.len() - 1;
                    stack.push((branch.no, vec![(last, false)]));
                    stack.push((branch.yes, (first..=last).map(|node| (node, true)).collect()));
                }
            }
            visited[index] = true;
        }
        Ok(())
    }
}

fn uniform<T>(nodes: &[Node<T>]) -> Option<Mode> {
    let mut branches = nodes
        .iter()
        .map(|node| node.split)
        .filter(|split| !split.is_leaf());
    let mode = branches.next()?.mode();
    let plain = |split: Split| split.mode() == mode && !split.missing_is_true();
    nodes
        .iter()
        .all(|node| node.split.is_leaf() || plain(node.split))
        .then_some(mode)
}
