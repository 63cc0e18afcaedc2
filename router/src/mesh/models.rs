//! Management of models.

use api::mmesh::{
    EnsureLoadedRequest, GetStatusRequest, ModelStatusInfo, RegisterModelRequest, UnregisterModelRequest,
    model_status_info::ModelStatus,
};
use tonic::Status;

use crate::{
    cache::CacheError,
    core::registry::{Registration, Registry, check_name},
    model::ModelId,
};

use super::{
    Found, Kind, Mesh,
    ensure::{NoCopy, Wanted},
    key::Key,
    not_found, now_ms, status,
};

/// A load that failed this long ago is tried again at once when someone asks for it explicitly; before, it waits
/// for the backoff as everyone else. Keeps a controller that repeats its request from loading in a loop.
const RETRY_AT_ONCE_AFTER_MS: u64 = 3_000;

impl Mesh {
    /// Registers a model; with `loadNow` starts to load it, with `sync` waits for that. A load that fails is a
    /// status, not an error.
    pub async fn register(&self, req: RegisterModelRequest) -> Result<ModelStatusInfo, Status> {
        let RegisterModelRequest {
            model_id,
            model_info,
            load_now,
            sync,
            last_used_time,
        } = req;
        check_name("modelId", &model_id)?;
        let id = ModelId::from(&*model_id);
        let spec = status::spec(model_info.unwrap_or_default());
        let registration = Registration {
            load_now,
            last_used: last_used_time,
        };
        let registered = self
            .change([Key::model(&id)], |registry, changes| {
                registry.register(&id, spec.clone(), registration, now_ms(), changes)
            })
            .await?;
        if registered.created {
            tracing::info!(model = %id, load_now, "model registered");
        }
        if !load_now {
            return Ok(self.model_status(&id).await);
        }
        match self.view.model(&id) {
            Some(found) => self.load_and_wait(&found, Some(registered.last_used), sync).await,
            None => Ok(self.model_status(&id).await),
        }
    }

    /// Removes a model and unloads its copy; an unknown id succeeds.
    pub async fn unregister(&self, req: UnregisterModelRequest) -> Result<(), Status> {
        let id = &*req.model_id;
        check_name("modelId", id)?;
        let existed = self
            .change([Key::model(id)], |registry, changes| {
                registry.unregister(id, changes)?;
                Ok(!changes.is_empty())
            })
            .await?;
        if existed {
            tracing::info!(model = %id, "model unregistered");
        }
        Ok(())
    }

    /// Status of a model. No use of it.
    pub async fn status(&self, req: GetStatusRequest) -> Result<ModelStatusInfo, Status> {
        if req.model_id.is_empty() {
            return Err(Status::invalid_argument("must provide non-empty modelId"));
        }
        Ok(self.model_status(&req.model_id).await)
    }

    /// Starts to load a registered model, and with `sync` waits for it.
    pub async fn ensure_loaded(&self, req: EnsureLoadedRequest) -> Result<ModelStatusInfo, Status> {
        let EnsureLoadedRequest {
            model_id,
            last_used_time,
            sync,
        } = req;
        if model_id.is_empty() {
            return Err(Status::invalid_argument("must provide non-empty modelId"));
        }
        let found = self
            .resolve(&model_id, Kind::Model)
            .ok_or_else(|| not_found(Kind::Model))?;
        let now = now_ms();
        let last_used = (last_used_time != 0).then_some(last_used_time.min(now));
        self.touch(&found.id, last_used.unwrap_or(now)).await?;
        self.load_and_wait(&found, last_used, sync).await
    }

    /// Loads the model that this name leads to and waits for it; what V2's repository extension wants.
    pub async fn load_by_name(&self, name: &str) -> Result<(), Status> {
        let found = self
            .resolve(name, Kind::Either)
            .ok_or_else(|| not_found(Kind::Either))?;
        self.forgive(&found.id);
        let loaded = match self.load(&found, None) {
            Ok(()) => self.cache.wait_loaded(&found.id).await,
            refused => refused,
        };
        loaded.map_err(|err| self.status_for(&err.named(name)))
    }

    /// Drops the copies that this name and its versions lead to; the models stay registered.
    pub fn unload_by_name(&self, name: &str) -> Result<(), Status> {
        let found = self
            .resolve(name, Kind::Either)
            .ok_or_else(|| not_found(Kind::Either))?;
        self.cache.unload(&found.id);
        for version in self.versions(name) {
            if let Some(found) = self.resolve(&version, Kind::Either) {
                self.cache.unload(&found.id);
            }
        }
        Ok(())
    }

    /// Notes a use in the record, unless it says nearly the same already.
    async fn touch(&self, id: &ModelId, last_used: u64) -> Result<(), Status> {
        let known = self.view.entry(id).map_or(u64::MAX, |entry| entry.last_used);
        if !Registry::is_news(known, last_used) {
            return Ok(());
        }
        self.change([Key::model(id)], |registry, changes| {
            registry.touch(id, last_used, changes);
            Ok(())
        })
        .await
    }

    pub(super) async fn model_status(&self, id: &str) -> ModelStatusInfo {
        if self.resolve(id, Kind::Model).is_none() {
            return status::of(ModelStatus::NotFound);
        }
        match &self.cluster {
            None => status::model_status(self.cache.copy(id), &self.options.instance_id),
            Some(cluster) => self.status_among(cluster, id).await,
        }
    }

    /// Starts a load, and with `sync` waits for its end.
    pub(super) async fn load_and_wait(
        &self,
        found: &Found,
        last_used: Option<u64>,
        sync: bool,
    ) -> Result<ModelStatusInfo, Status> {
        let wanted = Wanted {
            last_used,
            sync,
            besides: &[],
            reason: "management",
        };
        match self.ensure(found, wanted).await {
            Err(no_copy) if no_copy.is_load_failure() => {
                Ok(self.failed_status(&found.id, &no_copy.to_string()).await)
            }
            // Loaded, and gone again; or removed: the status says which.
            Ok(()) | Err(NoCopy::Here(CacheError::NotLoading { .. } | CacheError::Removed { .. })) => {
                Ok(self.model_status(&found.id).await)
            }
            Err(no_copy) => Err(no_copy.status(self)),
        }
    }

    /// Lets go of a failure that is not quite fresh, so that the next load is tried at once.
    pub(super) fn forgive(&self, id: &ModelId) {
        let failure = self.cache.copy(id).and_then(|copy| copy.failure);
        if failure.is_some_and(|failure| now_ms().saturating_sub(failure.at_ms) >= RETRY_AT_ONCE_AFTER_MS) {
            self.cache.unload(id);
        }
    }

    async fn failed_status(&self, id: &ModelId, error: &str) -> ModelStatusInfo {
        let known = self.model_status(id).await;
        match known.status() {
            ModelStatus::LoadingFailed | ModelStatus::NotFound => known,
            _ => status::failed(error, &self.options.instance_id, now_ms()),
        }
    }
}
