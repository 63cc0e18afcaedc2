//! From what registry and cache know to what clients are told.

use api::mmesh::{ModelInfo, ModelStatusInfo, model_status_info};
use model_status_info::{ModelCopyInfo, ModelStatus};
use tonic::{Code, Status};

use crate::{
    cache::{CacheError, CopyState, CopyStatus},
    core::registry::{Presence, RegistryError, Wanted},
    model::ModelSpec,
};

/// Status of a registered model with this copy.
pub(super) fn model_status(copy: Option<CopyStatus>, location: &str) -> ModelStatusInfo {
    let Some(copy) = copy else {
        return of(ModelStatus::NotLoaded);
    };
    let info = |status: ModelStatus, time| ModelCopyInfo {
        location: location.to_owned(),
        copy_status: status.into(),
        time,
    };
    let mut result = of(match copy.state {
        CopyState::NotLoaded | CopyState::Unloading => ModelStatus::NotLoaded,
        CopyState::Queued | CopyState::Waiting | CopyState::Loading | CopyState::Sizing => {
            ModelStatus::Loading
        }
        CopyState::Loaded => ModelStatus::Loaded,
        CopyState::Failed => ModelStatus::LoadingFailed,
    });
    if presence(Some(&copy)) != Presence::Absent {
        // As upstream: its registry knows that the copy was wanted, not how far it is.
        result
            .model_copy_infos
            .push(info(ModelStatus::Unknown, copy.since_ms));
    }
    if let Some(failure) = copy.failure {
        result
            .model_copy_infos
            .push(info(ModelStatus::LoadingFailed, failure.at_ms));
        result.errors.push(failure.message);
    }
    result
        .model_copy_infos
        .sort_by_key(|info| std::cmp::Reverse(info.time));
    result
}

/// A status without details.
pub(super) fn of(status: ModelStatus) -> ModelStatusInfo {
    ModelStatusInfo {
        status: status.into(),
        ..ModelStatusInfo::default()
    }
}

/// `LOADING_FAILED` for a load that left no trace in the cache.
pub(super) fn failed(message: &str, location: &str, time: u64) -> ModelStatusInfo {
    ModelStatusInfo {
        status: ModelStatus::LoadingFailed.into(),
        errors: vec![message.to_owned()],
        model_copy_infos: vec![ModelCopyInfo {
            location: location.to_owned(),
            copy_status: ModelStatus::LoadingFailed.into(),
            time,
        }],
    }
}

/// The model could not be loaded, as opposed to: nobody had the time or the room to try.
pub(super) fn is_load_failure(err: &CacheError) -> bool {
    matches!(
        err,
        CacheError::LoadFailed { .. } | CacheError::LoadTimeout { .. } | CacheError::TooLarge { .. }
    )
}

/// Whether there is a copy.
pub(super) fn presence(copy: Option<&CopyStatus>) -> Presence {
    match copy.map(|copy| copy.state) {
        None | Some(CopyState::NotLoaded | CopyState::Unloading | CopyState::Failed) => Presence::Absent,
        Some(CopyState::Queued | CopyState::Waiting | CopyState::Loading | CopyState::Sizing) => {
            Presence::Loading
        }
        Some(CopyState::Loaded) => Presence::Loaded,
    }
}

/// What a model is registered with, checked by the registry.
pub(super) fn spec(info: ModelInfo) -> ModelSpec {
    let ModelInfo { r#type, path, key } = info;
    ModelSpec {
        kind: r#type,
        path,
        key,
    }
}

impl From<RegistryError> for Status {
    fn from(err: RegistryError) -> Self {
        let code = match err {
            RegistryError::Empty { .. }
            | RegistryError::TooLong { .. }
            | RegistryError::ControlCharacter { .. }
            | RegistryError::Weights { .. }
            | RegistryError::WeightTwice(_)
            | RegistryError::Sticky { .. } => Code::InvalidArgument,
            RegistryError::ModelExists { .. } | RegistryError::OtherOwner { .. } => Code::AlreadyExists,
            RegistryError::ModelNotFound(_)
            | RegistryError::TargetNotFound(_)
            | RegistryError::VModelNotFound {
                wanted: Wanted::Update,
                ..
            } => Code::NotFound,
            RegistryError::Referenced { .. }
            | RegistryError::ExpectedTarget { .. }
            | RegistryError::VModelNotFound {
                wanted: Wanted::Target,
                ..
            } => Code::FailedPrecondition,
            RegistryError::Full { .. } => Code::ResourceExhausted,
        };
        Self::new(code, err.to_string())
    }
}
