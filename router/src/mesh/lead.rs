//! Who leads, and what a leader does.

use super::{Mesh, State};

impl Mesh {
    /// Takes over what a leader does, or lets go of it.
    pub(super) fn follow_leader(&self, state: &mut State) {
        let leads = self.leads(state);
        if leads == state.leading {
            return;
        }
        state.leading = leads;
        if !leads {
            state.drivers.clear();
            return;
        }
        for (id, record) in self.view.vmodels_in_transition() {
            self.drive(state, &id, Some(&record));
        }
    }

    /// Alone, everything is done here.
    fn leads(&self, _state: &State) -> bool {
        true
    }

    /// The fleet is another one.
    pub(super) fn follow_fleet(&self, state: &mut State) {
        state.departed.clear();
    }
}
