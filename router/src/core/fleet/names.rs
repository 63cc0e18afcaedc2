//! Numbers for instances: what records hold as text is compared and stored as four bytes.

use std::collections::HashMap;

use super::InstanceId;

/// Number of an instance in this process. Means nothing outside of it.
pub type Ix = u32;

/// Who has which number. A number stays with its instance until [`Names::forget`].
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_id: HashMap<InstanceId, Ix>,
    ids: Vec<Option<InstanceId>>,
    free: Vec<Ix>,
}

impl Names {
    /// The number of an instance, a new one if it has none.
    pub fn number(&mut self, id: &str) -> Ix {
        if let Some(ix) = self.by_id.get(id) {
            return *ix;
        }
        let id = InstanceId::from(id);
        let ix = if let Some(ix) = self.free.pop() {
            ix
        } else {
            let next = Ix::try_from(self.ids.len()).unwrap_or(Ix::MAX);
            self.ids.push(None);
            next
        };
        if let Some(slot) = self.ids.get_mut(ix as usize) {
            *slot = Some(id.clone());
        }
        self.by_id.insert(id, ix);
        ix
    }

    /// The number of an instance that has one.
    pub fn get(&self, id: &str) -> Option<Ix> {
        self.by_id.get(id).copied()
    }

    /// The instance with this number.
    pub fn id(&self, ix: Ix) -> Option<&InstanceId> {
        self.ids.get(ix as usize)?.as_ref()
    }

    /// Gives a number back, to be used for another instance. The caller knows that nothing refers to it any more.
    pub fn forget(&mut self, ix: Ix) {
        if let Some(id) = self.ids.get_mut(ix as usize).and_then(Option::take) {
            self.by_id.remove(&id);
            self.free.push(ix);
        }
    }

    /// Numbers in use.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no number is in use.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
