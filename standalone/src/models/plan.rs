//! From the models that are served to the models that should be.

use super::{Model, Models};

/// One step. A step that fails can be tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The name stands for this model from now on.
    Set {
        /// Stable name.
        name: String,
        /// What it stands for.
        model: Model,
    },
    /// The name is gone.
    Delete {
        /// Stable name.
        name: String,
    },
}

impl Operation {
    /// The stable name that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Delete { name } => name,
        }
    }

    /// What `models` are when this is done.
    pub fn apply(self, models: &mut Models) {
        match self {
            Self::Set { name, model } => {
                models.insert(name, model);
            }
            Self::Delete { name } => {
                models.remove(&name);
            }
        }
    }
}

/// Steps from `old` to `new`. Sets come first: a model that moves from one name to another stays loaded.
pub fn diff(old: &Models, new: &Models) -> Vec<Operation> {
    let sets = new
        .iter()
        .filter(|(name, model)| old.get(*name).is_none_or(|known| known.id != model.id))
        .map(|(name, model)| Operation::Set {
            name: name.clone(),
            model: model.clone(),
        });
    let deletes = old
        .keys()
        .filter(|name| !new.contains_key(*name))
        .map(|name| Operation::Delete { name: name.clone() });
    sets.chain(deletes).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    fn models() -> impl Strategy<Value = Models> {
        btree_map("[a-f]", 0_u64..4, 0..6).prop_map(|names| {
            names
                .into_iter()
                .map(|(name, stamp)| {
                    let model = Model {
                        id: format!("{name}-{stamp:016x}"),
                        path: format!("{name}.onnx"),
                        files: 1,
                        bytes: stamp,
                    };
                    (name, model)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_old_to_new(old in models(), new in models()) {
            let mut reached = old.clone();
            for step in diff(&old, &new) {
                step.apply(&mut reached);
            }
            prop_assert_eq!(&reached, &new);
            prop_assert!(diff(&reached, &new).is_empty());
        }

        #[test]
        fn what_did_not_change_is_left_alone(old in models(), new in models()) {
            for step in diff(&old, &new) {
                prop_assert_ne!(old.get(step.name()), new.get(step.name()));
            }
        }
    }

    #[test]
    fn sets_come_before_deletes() {
        let model = |path: &str| Model {
            id: "b-0".into(),
            path: path.into(),
            files: 1,
            bytes: 1,
        };
        let old = Models::from([("a".to_owned(), model("a.onnx"))]);
        let new = Models::from([("b".to_owned(), model("b.onnx"))]);
        assert!(matches!(
            &diff(&old, &new)[..],
            [Operation::Set { .. }, Operation::Delete { .. }]
        ));
    }
}
