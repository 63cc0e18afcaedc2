//! vmodels: stable names that move from one model to the next once that one is loaded.

use std::sync::Arc;

use crate::model::{ModelId, ModelSpec};

use super::{
    Change, Former, ModelRecord, Registration, Registry, RegistryError, VModelId, VModelRecord, Weight,
    check_name, check_spec, error::Wanted, initial_last_used,
};

/// Whether a model has a copy here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// None, or one that failed to load.
    Absent,
    /// On its way.
    Loading,
    /// Ready to serve.
    Loaded,
}

/// Creates a vmodel, or moves it. Fields as in `mmesh.SetVModelRequest`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags of the protocol, each independent of the others"
)]
#[derive(Clone, Debug)]
pub struct SetVModel {
    /// Id of the vmodel.
    pub id: VModelId,
    /// The model it shall point to.
    pub target: ModelId,
    /// Creates the target when it does not exist; must agree with it when it does.
    pub spec: Option<ModelSpec>,
    /// Empty = whoever it belongs to.
    pub owner: String,
    /// Target that it must have now; empty = any.
    pub expected_target: String,
    /// It must exist.
    pub update_only: bool,
    /// A target that is created goes with its last reference.
    pub auto_delete: bool,
    /// Switch without waiting for the target.
    pub force: bool,
    /// The target will be loaded right after.
    pub load_now: bool,
}

/// What setting a vmodel did.
#[derive(Debug)]
pub struct VModelSet {
    /// The vmodel's record now.
    pub record: Arc<VModelRecord>,
    /// A transition began, or began anew: someone has to load the target and then call [`Registry::finish`] or
    /// [`Registry::fail`].
    pub begun: bool,
    /// The active model that was replaced at once had a copy: its successor should have one too.
    pub replaced_copy: bool,
    /// Last use of a target that is loaded for this.
    pub last_used: u64,
}

impl Registry {
    /// Creates a vmodel or gives it another target. It switches at once when `force` is set, the active model has
    /// no copy (`presence`), or the target is loaded already; else a transition begins.
    pub fn set_vmodel(
        &mut self,
        set: SetVModel,
        presence: impl Fn(&ModelId) -> Presence,
        now: u64,
        changes: &mut Vec<Change>,
    ) -> Result<VModelSet, RegistryError> {
        check_name("vModelId", &set.id)?;
        check_name("targetModelId", &set.target)?;
        let old = self.vmodels.get(&set.id).cloned();
        check_preconditions(&set, old.as_deref())?;
        let registration = Registration {
            load_now: set.load_now,
            last_used: 0,
        };
        let mut last_used = initial_last_used(registration, now);
        if let Some(active) = old.as_ref().and_then(|old| self.models.get(&old.active)) {
            last_used = active.last_used;
        }
        self.check_target(&set)?;
        if old.is_none() && self.vmodels.len() + self.elsewhere.1 >= self.limits.max_vmodels {
            return Err(RegistryError::Full {
                what: "vmodels",
                max: self.limits.max_vmodels,
            });
        }
        let SetVModel {
            id,
            target,
            spec,
            owner,
            auto_delete,
            force,
            ..
        } = set;
        if let Some(spec) = spec
            && !self.models.contains_key(&target)
        {
            self.insert_model(&target, ModelRecord::new(spec, auto_delete, last_used), changes)?;
        }
        let Some(old) = old else {
            let record = VModelRecord {
                active: target.clone(),
                target,
                owner: if owner.is_empty() {
                    self.default_owner.clone()
                } else {
                    owner.into()
                },
                failed: None,
                transition: 0,
                weights: Box::default(),
                sticky: Box::default(),
                history: Box::default(),
            };
            let record = self.put_vmodel(&id, record, changes);
            return Ok(VModelSet {
                record,
                begun: false,
                replaced_copy: false,
                last_used,
            });
        };
        let active_presence = presence(&old.active);
        let switch = force || active_presence == Presence::Absent || presence(&target) == Presence::Loaded;
        let Some(next) = self.next_record(&old, target, switch, now) else {
            return Ok(VModelSet {
                record: old,
                begun: false,
                replaced_copy: false,
                last_used,
            });
        };
        let replaced_copy = next.active != old.active && active_presence != Presence::Absent;
        let begun = next.in_transition();
        Ok(VModelSet {
            record: self.put_vmodel(&id, next, changes),
            begun,
            replaced_copy,
            last_used,
        })
    }

    /// The target of this transition is loaded: it takes over. False when the vmodel has moved on since.
    pub fn finish(&mut self, id: &VModelId, transition: u64, now: u64, changes: &mut Vec<Change>) -> bool {
        let Some(old) = self.pending(id, transition) else {
            return false;
        };
        self.put_vmodel(
            id,
            VModelRecord {
                active: old.target.clone(),
                failed: None,
                weights: without(&old.weights, &old.target),
                history: self.remember(&old, now),
                ..old
            },
            changes,
        );
        true
    }

    /// The target of this transition could not be loaded: the active model keeps serving. False when the vmodel
    /// has moved on since.
    pub fn fail(&mut self, id: &VModelId, transition: u64, error: &str, changes: &mut Vec<Change>) -> bool {
        let Some(old) = self.pending(id, transition) else {
            return false;
        };
        self.put_vmodel(
            id,
            VModelRecord {
                failed: Some(Arc::from(error)),
                ..old
            },
            changes,
        );
        true
    }

    /// Removes a vmodel. An unknown one, or another owner's, is left alone.
    pub fn delete_vmodel(
        &mut self,
        id: &str,
        owner: &str,
        changes: &mut Vec<Change>,
    ) -> Result<(), RegistryError> {
        if id.is_empty() {
            return Err(RegistryError::Empty { field: "vModelId" });
        }
        let Some((id, record)) = self.vmodels.get_key_value(id) else {
            return Ok(());
        };
        if owner.is_empty() || *owner == *record.owner {
            let id = id.clone();
            self.repoint(&id, None, changes);
        }
        Ok(())
    }

    fn check_target(&self, set: &SetVModel) -> Result<(), RegistryError> {
        if let Some(spec) = &set.spec {
            check_spec(spec)?;
        }
        match (self.models.get(&set.target), &set.spec) {
            (None, None) => Err(RegistryError::TargetNotFound(set.target.clone())),
            (Some(record), Some(spec)) => match record.difference(spec) {
                Some(field) => Err(RegistryError::ModelExists {
                    id: set.target.clone(),
                    field,
                }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What the vmodel becomes; `None` when it is that already. A transition that failed begins anew, one that runs goes on.
    fn next_record(
        &self,
        old: &VModelRecord,
        target: ModelId,
        switch: bool,
        now: u64,
    ) -> Option<VModelRecord> {
        let active = if switch {
            target.clone()
        } else {
            old.active.clone()
        };
        if active == old.active && target == old.target && old.failed.is_none() {
            return None;
        }
        let history = if active == old.active {
            old.history.clone()
        } else {
            self.remember(old, now)
        };
        Some(VModelRecord {
            // Whoever takes over does so with all requests but those that others have.
            weights: without(&old.weights, &active),
            active,
            target,
            owner: old.owner.clone(),
            failed: None,
            // The clock makes it differ from those of a vmodel of the same name that was deleted.
            transition: now.max(old.transition.saturating_add(1)),
            sticky: old.sticky.clone(),
            history,
        })
    }

    /// The history with the active model, which is about to be replaced.
    fn remember(&self, old: &VModelRecord, now: u64) -> Box<[Former]> {
        let replaced = Former {
            model: old.active.clone(),
            until: now,
            spec: self
                .models
                .get(&old.active)
                .map(|record| Arc::clone(&record.spec)),
        };
        let before = old.history.iter();
        let before = before.filter(|former| former.model != old.active).cloned();
        std::iter::once(replaced).chain(before).take(HISTORY).collect()
    }

    fn pending(&self, id: &VModelId, transition: u64) -> Option<VModelRecord> {
        let record = self.vmodels.get(id)?;
        (record.in_transition() && record.transition == transition).then(|| VModelRecord::clone(record))
    }

    /// Puts a record in the place of the one that the vmodel has.
    pub(super) fn put_vmodel(
        &mut self,
        id: &VModelId,
        record: VModelRecord,
        changes: &mut Vec<Change>,
    ) -> Arc<VModelRecord> {
        let record = Arc::new(record);
        self.repoint(id, Some(&record), changes);
        record
    }

    /// Replaces the record of a vmodel. The only place where references come and go: they are the difference
    /// between the two records. Readers follow in an order in which every pointer has its model.
    fn repoint(&mut self, id: &VModelId, next: Option<&Arc<VModelRecord>>, changes: &mut Vec<Change>) {
        let old = match next {
            Some(next) => {
                for model in next.models() {
                    self.add_pointer(model, id, changes);
                }
                self.vmodels.insert(id.clone(), Arc::clone(next))
            }
            None => self.vmodels.remove(id),
        };
        changes.push(Change::VModel(id.clone(), next.cloned()));
        for model in old.iter().flat_map(|old| old.models()) {
            if next.is_none_or(|next| next.models().all(|kept| kept != model)) {
                self.remove_pointer(model, id, changes);
            }
        }
    }

    fn add_pointer(&mut self, model: &ModelId, id: &VModelId, changes: &mut Vec<Change>) {
        let Some(record) = self.models.get(model) else {
            return;
        };
        let mut record = ModelRecord::clone(record);
        match &record.pointer {
            Some(known) if known == id => return,
            Some(_) if !self.more_pointers.insert((model.clone(), id.clone())) => return,
            Some(_) => {}
            None => record.pointer = Some(id.clone()),
        }
        record.refs = record.refs.saturating_add(1);
        self.put_model(model, record, changes);
    }

    fn remove_pointer(&mut self, model: &ModelId, id: &VModelId, changes: &mut Vec<Change>) {
        let Some(record) = self.models.get(model) else {
            return;
        };
        let mut record = ModelRecord::clone(record);
        if record.pointer.as_ref() == Some(id) {
            record.pointer = self.more_pointers_to(model).next().cloned();
            if let Some(moved) = &record.pointer {
                self.more_pointers.remove(&(model.clone(), moved.clone()));
            }
        } else if !self.more_pointers.remove(&(model.clone(), id.clone())) {
            return;
        }
        record.refs = record.refs.saturating_sub(1);
        if record.refs == 0 && record.auto_delete {
            self.models.remove(model);
            changes.push(Change::Model(model.clone(), None));
        } else {
            self.put_model(model, record, changes);
        }
    }
}

/// Former models that a vmodel remembers: enough to go back a few steps, little in a record that every router holds.
const HISTORY: usize = 5;

fn without(weights: &[Weight], model: &ModelId) -> Box<[Weight]> {
    weights
        .iter()
        .filter(|weight| weight.model != *model)
        .cloned()
        .collect()
}

fn check_preconditions(set: &SetVModel, old: Option<&VModelRecord>) -> Result<(), RegistryError> {
    let SetVModel {
        id,
        target,
        owner,
        expected_target,
        update_only,
        ..
    } = set;
    let not_found = |wanted| {
        Err(RegistryError::VModelNotFound {
            id: id.clone(),
            wanted,
        })
    };
    let Some(old) = old else {
        if *update_only {
            return not_found(Wanted::Update);
        }
        if !expected_target.is_empty() && **expected_target != **target {
            return not_found(Wanted::Target);
        }
        return Ok(());
    };
    if !owner.is_empty() && **owner != *old.owner {
        return Err(RegistryError::OtherOwner {
            id: id.clone(),
            owner: old.owner.clone(),
        });
    }
    // Asking for the target that it has is no change, and thus always as expected.
    let as_expected = expected_target.is_empty() || **expected_target == *old.target || *target == old.target;
    if !as_expected {
        let (id, target, expected) = (id.clone(), old.target.clone(), expected_target.clone());
        return Err(RegistryError::ExpectedTarget { id, target, expected });
    }
    Ok(())
}
