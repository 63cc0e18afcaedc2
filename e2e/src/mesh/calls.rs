//! Calls of `mmesh.ExamplePredictor` and of the management service, as tests make them.

use api::mmesh::{
    EnsureLoadedRequest, GetStatusRequest, GetVModelStatusRequest, ModelInfo, ModelStatusInfo,
    RegisterModelRequest, UnregisterModelRequest, VModelStatusInfo, model_mesh_client::ModelMeshClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{MetadataKey, MetadataValue},
    transport::Channel,
};

use super::Pod;
use crate::example::{PredictRequest, example_predictor_client::ExamplePredictorClient};

/// What a model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `classification for <text> by model <id>`, or what a command asked for.
    pub said: String,
    /// The model's name as it came in the message.
    pub name: String,
}

/// Code and text of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Code, pub String);

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self(status.code(), status.message().to_owned())
    }
}

/// A client of the predictor.
#[derive(Clone, Debug)]
pub struct Predictor(ExamplePredictorClient<Channel>);

impl Predictor {
    /// Over this channel.
    pub fn new(channel: Channel) -> Self {
        Self(ExamplePredictorClient::new(channel))
    }

    /// Asks a model, named by a header.
    pub async fn ask(&self, model: &str, text: &str) -> Result<Asked, Refused> {
        self.call(&[("mm-model-id", model)], "", text).await
    }

    /// Asks with these headers and this name in the message.
    pub async fn call(&self, metadata: &[(&str, &str)], name: &str, text: &str) -> Result<Asked, Refused> {
        let request = request(metadata, name, text)?;
        let mut results = self.0.clone().predict(request).await?.into_inner().results;
        let mut next = || results.pop().map(|result| result.category).unwrap_or_default();
        let (name, said) = (next(), next());
        Ok(Asked { said, name })
    }

    /// Asks several models by one call; gives the ids of those that answered, sorted, with what they said.
    pub async fn ask_many(&self, models: &[&str], text: &str) -> Result<Vec<(String, String)>, Refused> {
        let metadata: Vec<_> = models.iter().map(|model| ("mm-model-id", *model)).collect();
        let request = request(&metadata, "", text)?;
        let answer = self.0.clone().multi_predict(request).await?.into_inner();
        let mut said: Vec<_> = answer
            .predictions
            .into_iter()
            .map(|(id, answer)| (id, answer.results.into_iter().next().unwrap_or_default().category))
            .collect();
        said.sort();
        Ok(said)
    }
}

fn request(metadata: &[(&str, &str)], name: &str, text: &str) -> Result<Request<PredictRequest>, Status> {
    let invalid = || Status::invalid_argument("metadata of the test");
    let mut request = Request::new(PredictRequest {
        model_name: name.to_owned(),
        text: text.to_owned(),
    });
    for (name, value) in metadata {
        let key: MetadataKey<tonic::metadata::Ascii> = name.parse().map_err(|_| invalid())?;
        let value = MetadataValue::try_from(*value).map_err(|_| invalid())?;
        request.metadata_mut().append(key, value);
    }
    Ok(request)
}

/// A model of the example runtime.
pub fn model(path: &str) -> ModelInfo {
    ModelInfo {
        r#type: "ExampleType".to_owned(),
        path: path.to_owned(),
        key: String::new(),
    }
}

impl Pod {
    fn management(&self) -> Result<ModelMeshClient<Channel>, Status> {
        self.manage().map_err(|error| Status::internal(error.to_string()))
    }

    /// Registers a model without loading it.
    pub async fn register(&self, id: &str, path: &str) -> Result<ModelStatusInfo, Status> {
        let request = RegisterModelRequest {
            model_id: id.to_owned(),
            model_info: Some(model(path)),
            ..RegisterModelRequest::default()
        };
        let answer = self.management()?.register_model(request).await?;
        Ok(answer.into_inner())
    }

    /// Registers a model, and waits until it is loaded or has failed.
    pub async fn register_loaded(&self, id: &str, path: &str) -> Result<ModelStatusInfo, Status> {
        let request = RegisterModelRequest {
            model_id: id.to_owned(),
            model_info: Some(model(path)),
            load_now: true,
            sync: true,
            ..RegisterModelRequest::default()
        };
        let answer = self.management()?.register_model(request).await?;
        Ok(answer.into_inner())
    }

    /// Waits until a model is loaded or has failed.
    pub async fn load(&self, id: &str) -> Result<ModelStatusInfo, Status> {
        let request = EnsureLoadedRequest {
            model_id: id.to_owned(),
            sync: true,
            ..EnsureLoadedRequest::default()
        };
        let answer = self.management()?.ensure_loaded(request).await?;
        Ok(answer.into_inner())
    }

    /// Unregisters a model.
    pub async fn unregister(&self, id: &str) -> Result<(), Status> {
        let request = UnregisterModelRequest {
            model_id: id.to_owned(),
        };
        self.management()?.unregister_model(request).await.map(drop)
    }

    /// Status of a model.
    pub async fn status(&self, id: &str) -> Result<ModelStatusInfo, Status> {
        let request = GetStatusRequest {
            model_id: id.to_owned(),
        };
        let answer = self.management()?.get_model_status(request).await?;
        Ok(answer.into_inner())
    }

    /// Status of a vmodel.
    pub async fn vmodel_status(&self, id: &str) -> Result<VModelStatusInfo, Status> {
        let request = GetVModelStatusRequest {
            v_model_id: id.to_owned(),
            ..GetVModelStatusRequest::default()
        };
        let answer = self.management()?.get_v_model_status(request).await?;
        Ok(answer.into_inner())
    }
}
