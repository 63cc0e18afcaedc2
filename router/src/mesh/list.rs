//! Listing of models for people and tools.

use api::mesh_v1::Model;

use crate::{
    cache::CopyState,
    core::registry::VModelId,
    model::{ModelId, version_prefix},
};

use super::{Mesh, now_ms, view::Entry};

/// Models in one page, at most.
pub(crate) const MAX_PAGE: usize = 1_000;

impl Mesh {
    /// At most `limit` models (and at most [`MAX_PAGE`]) with an id after `after`, in order of id.
    pub fn list(&self, after: &str, limit: usize) -> Vec<Model> {
        self.page(after, limit)
            .into_iter()
            .filter_map(|(id, vmodel)| self.describe(&id, vmodel))
            .collect()
    }

    /// At most `limit` names of vmodels after `after`, in order.
    pub(crate) fn list_vmodels(&self, after: &str, limit: usize) -> Vec<VModelId> {
        self.state.lock().books.vmodels_after(after, limit.min(MAX_PAGE))
    }

    /// The models in a page of at most `limit` that no vmodel serves, in order of id, and where the page ends.
    pub(crate) fn list_unnamed(&self, after: &str, limit: usize) -> (Vec<ModelId>, Option<ModelId>) {
        let page = self.page(after, limit);
        let last = page.last().map(|(id, _)| id.clone());
        let unnamed = page.into_iter().filter(|(_, vmodel)| vmodel.is_none());
        (unnamed.map(|(id, _)| id).collect(), last)
    }

    /// Names of the versions of `name` that are registered by names of their own; at most [`MAX_PAGE`] vmodels and
    /// as many models.
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        let prefix = version_prefix(name);
        let (vmodels, models) = {
            let state = self.state.lock();
            (
                state.books.vmodels_after(&prefix, MAX_PAGE),
                state.books.models_after(&prefix, MAX_PAGE),
            )
        };
        let vmodels = vmodels.iter().map(VModelId::as_str);
        let models = models.iter().map(ModelId::as_str);
        vmodels
            .take_while(|id| id.starts_with(&prefix))
            .chain(models.take_while(|id| id.starts_with(&prefix)))
            .map(str::to_owned)
            .collect()
    }

    /// Some version of this name is registered by a name of its own.
    pub(crate) fn has_versions(&self, name: &str) -> bool {
        let prefix = version_prefix(name);
        let state = self.state.lock();
        let vmodel = state.books.vmodels_after(&prefix, 1).pop();
        let model = state.books.models_after(&prefix, 1).pop();
        vmodel.is_some_and(|id| id.starts_with(&prefix)) || model.is_some_and(|id| id.starts_with(&prefix))
    }

    /// Ids of models, and the first vmodel that each serves.
    fn page(&self, after: &str, limit: usize) -> Vec<(ModelId, Option<VModelId>)> {
        let state = self.state.lock();
        let ids = state.books.models_after(after, limit.min(MAX_PAGE));
        ids.into_iter()
            .map(|id| {
                let vmodel = state.books.served(&id).cloned();
                (id, vmodel)
            })
            .collect()
    }

    /// What is probably true of the copies on other instances.
    fn state_elsewhere(&self, entry: &Entry) -> &'static str {
        let Some(cluster) = &self.cluster else {
            return "NOT_LOADED";
        };
        let fleet = self.view.fleet();
        let others = entry.copies.iter().filter(|copy| copy.instance != cluster.this);
        let oldest = others
            .filter(|copy| fleet.get(copy.instance).is_some())
            .map(|copy| copy.since_ms)
            .min();
        let load = cluster.assumed_load_ms(&entry.spec.kind);
        match oldest {
            None => "NOT_LOADED",
            Some(since) if since.saturating_add(load) <= now_ms() => "LOADED",
            Some(_) => "LOADING",
        }
    }

    /// What the record says of copies on all instances.
    fn describe_among(&self, entry: &Entry) -> Model {
        let (copies, failures) = self.show_copies(entry);
        let model = entry.model();
        let kind = model.kind;
        Model {
            copies,
            failures,
            min_copies: model.min,
            max_copies: model.max,
            pinned: model.pinned.iter().map(|pin| pin.as_str().to_owned()).collect(),
            last_size_bytes: model.size.unwrap_or(0),
            // Alone, the copy here knows better than the record, which begins with a guess.
            last_used_ms: self.cluster.as_ref().map_or(0, |_| model.last_used_ms),
            assumed_load_ms: self
                .cluster
                .as_ref()
                .map_or(0, |cluster| cluster.assumed_load_ms(kind)),
            ..Model::default()
        }
    }

    /// One model; `None` = there is none.
    pub(super) fn show_model(&self, id: &ModelId) -> Option<Model> {
        let vmodel = self.state.lock().books.served(id).cloned();
        self.describe(id, vmodel)
    }

    /// `None` when it was removed in the meantime.
    fn describe(&self, id: &ModelId, vmodel: Option<VModelId>) -> Option<Model> {
        let entry = self.view.entry(id)?;
        let copy = self.cache.copy(id);
        // What keeps a name from moving on is of interest where the name is shown.
        let stuck = vmodel
            .as_ref()
            .and_then(|vmodel| self.view.vmodel(vmodel)?.failed.clone());
        let model = Model {
            name: vmodel.map_or_else(|| id.to_string(), |vmodel| vmodel.to_string()),
            model_id: id.to_string(),
            state: self.state_elsewhere(&entry).to_owned(),
            r#type: entry.spec.kind.clone(),
            path: entry.spec.path.clone(),
            error: stuck.map_or_else(String::new, |error| format!("stays with this model: {error}")),
            ..self.describe_among(&entry)
        };
        let Some(copy) = copy else {
            return Some(model);
        };
        let state = match copy.state {
            CopyState::NotLoaded => &model.state,
            CopyState::Queued | CopyState::Waiting => "QUEUED",
            CopyState::Loading | CopyState::Sizing => "LOADING",
            CopyState::Loaded => "LOADED",
            CopyState::Unloading => "UNLOADING",
            CopyState::Failed => "LOADING_FAILED",
        };
        Some(Model {
            state: state.to_owned(),
            size_bytes: copy.size_bytes,
            last_used_ms: copy.last_used_ms,
            loads: copy.loads,
            evictions: copy.evictions,
            error: copy.failure.map_or(model.error, |failure| failure.message),
            ..model
        })
    }
}
