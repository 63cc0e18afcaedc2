use proptest::prelude::*;
use tract_onnx::{
    Onnx,
    model::ParsingContext,
    pb::{
        AttributeProto, ModelProto, NodeProto, TensorProto, attribute_proto::AttributeType,
        tensor_proto::DataType,
    },
};

use super::{
    draft::{Branch, Draft, Part, Test},
    *,
};

const TARGETS: u32 = 3;
const FEATURES: u32 = 4;

/// A tree as people draw it.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(Vec<(u32, f64)>),
    Branch {
        feature: u32,
        mode: Mode,
        members: Option<Vec<f64>>,
        threshold: f64,
        missing_is_true: bool,
        yes: Box<Tree>,
        no: Box<Tree>,
    },
}

impl Tree {
    /// The obvious way.
    fn leaf(&self, row: &[f64]) -> &[(u32, f64)] {
        match self {
            Self::Leaf(weights) => weights,
            Self::Branch {
                feature,
                mode,
                members,
                threshold,
                missing_is_true,
                yes,
                no,
            } => {
                let value = row[*feature as usize];
                #[allow(clippy::float_cmp, reason = "the operator compares exactly")]
                let holds = match (members, mode) {
                    (Some(members), _) => members.contains(&value),
                    (None, Mode::Leq) => value <= *threshold,
                    (None, Mode::Lt) => value < *threshold,
                    (None, Mode::Gte) => value >= *threshold,
                    (None, Mode::Gt) => value > *threshold,
                    (None, Mode::Eq) => value == *threshold,
                    (None, Mode::Neq | Mode::Leaf) => value != *threshold,
                };
                let next = if holds || (*missing_is_true && value.is_nan()) {
                    yes
                } else {
                    no
                };
                next.leaf(row)
            }
        }
    }

    fn add_to(&self, parts: &mut Vec<Part>) -> usize {
        let part = match self {
            Self::Leaf(weights) => Part::Leaf(weights.clone()),
            Self::Branch {
                feature,
                mode,
                members,
                threshold,
                missing_is_true,
                yes,
                no,
            } => Part::Branch(Branch {
                // Children first: the opposite of the order in which they are laid out.
                no: no.add_to(parts),
                yes: yes.add_to(parts),
                feature: *feature,
                test: members
                    .clone()
                    .map_or(Test::Compare(*mode, *threshold), Test::Member),
                missing_is_true: *missing_is_true,
            }),
        };
        parts.push(part);
        parts.len() - 1
    }
}

/// Few different values, so that thresholds are met exactly; all of them are floats.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-4..4_i32).prop_map(|v| f64::from(v) / 2.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        4 => Just(Mode::Leq),
        1 => Just(Mode::Lt),
        1 => Just(Mode::Gte),
        1 => Just(Mode::Gt),
        1 => Just(Mode::Eq),
        1 => Just(Mode::Neq),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let weight = (0..TARGETS, (-8..8_i32).prop_map(f64::from));
    let leaf = proptest::collection::vec(weight, 0..3).prop_map(Tree::Leaf);
    leaf.prop_recursive(6, 64, 2, |inner| {
        let members = proptest::option::weighted(0.1, proptest::collection::vec(value(), 0..4));
        let branch = (
            0..FEATURES,
            mode(),
            members,
            value(),
            any::<bool>(),
            inner.clone(),
            inner,
        );
        branch.prop_map(
            |(feature, mode, members, threshold, missing_is_true, yes, no)| Tree::Branch {
                feature,
                mode,
                members,
                threshold,
                missing_is_true,
                yes: Box::new(yes),
                no: Box::new(no),
            },
        )
    })
}

fn draft(trees: &[Tree], double: bool) -> Draft {
    let mut draft = Draft {
        double,
        ..Draft::default()
    };
    for tree in trees {
        let root = tree.add_to(&mut draft.parts);
        draft.roots.push(root);
    }
    draft
}

/// Scores in the order of the trees; `None` where no leaf scored the target.
fn naive(trees: &[Tree], row: &[f64], aggregate: Aggregate) -> Vec<Option<f64>> {
    let mut scores = vec![None; TARGETS as usize];
    for tree in trees {
        for (target, value) in tree.leaf(row) {
            let score: &mut Option<f64> = &mut scores[*target as usize];
            *score = Some(match (aggregate, *score) {
                (_, None) => *value,
                (Aggregate::Sum | Aggregate::Average, Some(score)) => score + value,
                (Aggregate::Min, Some(score)) => score.min(*value),
                (Aggregate::Max, Some(score)) => score.max(*value),
            });
        }
    }
    if aggregate == Aggregate::Average {
        for score in scores.iter_mut().flatten() {
            *score /= trees.len() as f64;
        }
    }
    scores
}

fn row() -> impl Strategy<Value = Vec<f64>> {
    let cell = prop_oneof![8 => value(), 1 => Just(f64::NAN)];
    proptest::collection::vec(cell, FEATURES as usize)
}

proptest! {
    #[test]
    fn a_forest_answers_what_its_trees_answer(
        trees in proptest::collection::vec(tree(), 1..5),
        rows in proptest::collection::vec(row(), 0..150),
        double: bool,
        aggregate in prop_oneof![
            Just(Aggregate::Sum), Just(Aggregate::Average), Just(Aggregate::Min), Just(Aggregate::Max)
        ],
    ) {
        let forest = Forest::new(&draft(&trees, double), TARGETS as usize, Vec::new()).unwrap();
        let flat = rows.iter().flatten().copied().collect::<Vec<_>>();
        let input = tract_ndarray::Array2::from_shape_vec((rows.len(), FEATURES as usize), flat).unwrap();
        let input = Tensor::from(input);
        let doubles = forest.doubles(&input, aggregate).unwrap();
        let singles = forest.singles(&input.cast_to::<f32>().unwrap(), aggregate).unwrap();
        let expected = rows.iter().flat_map(|row| naive(&trees, row, aggregate)).collect::<Vec<_>>();
        let touched = expected.iter().map(Option::is_some).collect::<Vec<_>>();
        prop_assert_eq!(&doubles.touched, &touched);
        prop_assert_eq!(&singles.touched, &touched);
        let expected = expected.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
        prop_assert_eq!(doubles.values, expected.clone());
        // Small integers have no rounding, their average does.
        for (got, expected) in singles.values.iter().zip(expected) {
            prop_assert!((f64::from(*got) - expected).abs() < 1e-6);
        }
    }

    /// Whatever indices a file holds: an answer or an error, in the end.
    #[test]
    fn no_draft_panics_or_runs_for_ever(
        parts in proptest::collection::vec((any::<bool>(), 0..10_usize, 0..10_usize, 0..6_u32), 1..8),
        roots in proptest::collection::vec(0..10_usize, 0..4),
    ) {
        let part = |(is_leaf, yes, no, feature)| if is_leaf {
            Part::Leaf(vec![(0, 1.0)])
        } else {
            Part::Branch(Branch { feature, test: Test::Compare(Mode::Leq, 0.0), missing_is_true: false, yes, no })
        };
        let draft = Draft { parts: parts.into_iter().map(part).collect(), roots, double: false };
        if let Ok(forest) = Forest::new(&draft, 1, Vec::new()) {
            let input = Tensor::zero::<f32>(&[2, 6]).unwrap();
            let scores = forest.singles(&input, Aggregate::Sum).unwrap();
            prop_assert_eq!(scores.values.len(), 2);
        }
    }
}

#[test]
fn only_some_forests_take_the_short_way() {
    let branch = |mode, missing_is_true| Tree::Branch {
        feature: 0,
        mode,
        members: None,
        threshold: 0.0,
        missing_is_true,
        yes: Box::new(Tree::Leaf(vec![])),
        no: Box::new(Tree::Leaf(vec![])),
    };
    let uniform = |trees: &[Tree]| draft(trees, false).lay_out::<f32>().unwrap().uniform;
    assert_eq!(
        uniform(&[branch(Mode::Leq, false), branch(Mode::Leq, false)]),
        Some(Mode::Leq)
    );
    assert_eq!(
        uniform(&[branch(Mode::Leq, false), branch(Mode::Lt, false)]),
        None
    );
    assert_eq!(uniform(&[branch(Mode::Leq, true)]), None);
    assert_eq!(uniform(&[Tree::Leaf(vec![])]), None);
}

#[test]
fn nodes_are_small() {
    assert_eq!(size_of::<Node<f32>>(), 16);
}

// --- From attributes ----------------------------------------------------------------------------------------------

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints.into(),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Floats.into(),
        floats: values.to_vec(),
        ..AttributeProto::default()
    }
}

fn strings(name: &str, values: &[&str]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Strings.into(),
        strings: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        ..AttributeProto::default()
    }
}

fn tensor(name: &str, kind: DataType, raw: Vec<u8>, len: usize) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Tensor.into(),
        t: Some(TensorProto {
            data_type: kind.into(),
            dims: vec![i64::try_from(len).unwrap()],
            raw_data: raw,
            ..TensorProto::default()
        }),
        ..AttributeProto::default()
    }
}

fn float_tensor(name: &str, values: &[f32]) -> AttributeProto {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, DataType::Float, raw, values.len())
}

/// Reads a node with these attributes, of which `changed` replace those of the same name.
fn read(
    attributes: Vec<AttributeProto>,
    changed: &AttributeProto,
    read: impl Fn(&ParsingContext, &NodeProto) -> TractResult<Forest>,
) -> Result<Forest, String> {
    let kept = attributes
        .into_iter()
        .filter(|attribute| attribute.name != changed.name);
    let node = NodeProto {
        attribute: kept.chain([changed.clone()]).collect(),
        ..NodeProto::default()
    };
    let model = ModelProto::default();
    let onnx = Onnx::default();
    let context = ParsingContext {
        onnx_operator_set_version: 17,
        framework: &onnx,
        model: &model,
        parent_graphs: vec![],
        model_dir: None,
        template: InferenceModel::default(),
    };
    read(&context, &node).map_err(|error| format!("{error:#}"))
}

/// A stump of the older operators with one attribute changed.
fn stump(changed: &AttributeProto) -> Result<Forest, String> {
    let attributes = vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[1, 0, 0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        floats("nodes_values", &[0.5, 0.0, 0.0]),
        strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[1.0, 2.0]),
    ];
    read(attributes, changed, |context, node| {
        read_trees(context, node, "target", 1)
    })
}

#[test]
fn attributes_that_make_no_tree_are_refused() {
    stump(&ints("unknown", &[])).unwrap();
    for (changed, expected) in vec![
        (ints("nodes_treeids", &[]), "no nodes"),
        (ints("nodes_nodeids", &[0, 1, 1]), "tree 0 has node 1 twice"),
        (
            ints("nodes_nodeids", &[0, 1]),
            "nodes_nodeids has 2 entries, expected 3",
        ),
        (ints("nodes_truenodeids", &[9, 0, 0]), "tree 0 has no node 9"),
        (
            ints("nodes_truenodeids", &[i64::MAX, 0, 0]),
            "has no node 9223372036854775807",
        ),
        (
            ints("nodes_truenodeids", &[0, 0, 0]),
            "a node cannot be reached from a root",
        ),
        (ints("nodes_featureids", &[-1, 0, 0]), "feature id is negative"),
        (
            ints("nodes_featureids", &[1 << 40, 0, 0]),
            "feature id is negative or too large",
        ),
        (
            ints("nodes_featureids", &[1 << 30, 0, 0]),
            "feature id 1073741824 is too large",
        ),
        (ints("target_ids", &[0, 1]), "target 1 of 1"),
        (ints("target_ids", &[0, -1]), "target -1 of 1"),
        (ints("target_nodeids", &[1, 7]), "tree 0 has no node 7"),
        (
            floats("target_weights", &[1.0]),
            "target_weights has 1 entries, expected 2",
        ),
        (
            floats("nodes_values", &[1.0]),
            "nodes_values has 1 entries, expected 3",
        ),
        (
            strings("nodes_modes", &["BRANCH_SET", "LEAF", "LEAF"]),
            "unknown node mode \"BRANCH_SET\"",
        ),
        (
            ints("nodes_missing_value_tracks_true", &[1]),
            "has 1 entries, expected 3",
        ),
    ] {
        let name = &changed.name;
        let error = stump(&changed).unwrap_err();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

/// A `TreeEnsemble` of two nodes with one attribute changed: the second asks whether the value is 1 or 3.
fn ensemble(changed: &AttributeProto) -> Result<Forest, String> {
    let attributes = vec![
        ints("nodes_featureids", &[0, 0]),
        ints("nodes_truenodeids", &[0, 1]),
        ints("nodes_falsenodeids", &[1, 2]),
        ints("nodes_trueleafs", &[1, 1]),
        ints("nodes_falseleafs", &[0, 1]),
        float_tensor("nodes_splits", &[0.5, 0.0]),
        tensor("nodes_modes", DataType::Uint8, vec![0, 6], 2),
        float_tensor("membership_values", &[1.0, 3.0, f32::NAN]),
        ints("leaf_targetids", &[0, 0, 0]),
        float_tensor("leaf_weights", &[10.0, 20.0, 30.0]),
        ints("tree_roots", &[0]),
    ];
    read(attributes, changed, |context, node| {
        read_ensemble(context, node, 1)
    })
}

#[test]
fn ensembles_know_sets() {
    let forest = ensemble(&ints("unknown", &[])).unwrap();
    let input = Tensor::from(tract_ndarray::arr2(&[[0.0_f32], [1.0], [2.0], [3.0], [f32::NAN]]));
    let scores = forest.singles(&input, Aggregate::Sum).unwrap();
    assert_eq!(scores.values, [10.0, 20.0, 30.0, 20.0, 30.0]);
}

#[test]
fn ensembles_that_are_no_trees_are_refused() {
    for (changed, expected) in vec![
        (ints("nodes_falsenodeids", &[0, 2]), "a node has two parents"),
        (ints("nodes_falsenodeids", &[7, 2]), "node 7 of 2"),
        (ints("nodes_truenodeids", &[-1, 1]), "leaf -1 of 3"),
        (ints("tree_roots", &[2]), "node 2 of 2"),
        (ints("tree_roots", &[1]), "a node cannot be reached from a root"),
        (ints("tree_roots", &[0, 0]), "a node has two parents"),
        (ints("leaf_targetids", &[0, 0, 5]), "target 5 of 1"),
        (
            float_tensor("nodes_splits", &[0.5]),
            "nodes_splits has 1 entries, expected 2",
        ),
        (
            tensor("nodes_modes", DataType::Uint8, vec![0, 9], 2),
            "unknown node mode 9",
        ),
        (float_tensor("membership_values", &[]), "too few sets"),
    ] {
        let name = &changed.name;
        let error = ensemble(&changed).unwrap_err();
        assert!(error.contains(expected), "{name}: {error}");
    }
}
