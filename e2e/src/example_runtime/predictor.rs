//! `mmesh.ExamplePredictor`. Some texts are commands:
//!
//! | text | effect |
//! |---|---|
//! | `test:purge-models` | forgets all models, after the answer's model was looked up |
//! | `test:error:code=<name>:message=<text>` | fails so |
//! | `test:headers` | answers with the names and values of the metadata, sorted |

use std::{collections::HashMap, sync::Arc};

use api::names::headers;
use tonic::{
    Code, Request, Response, Status,
    metadata::{KeyAndValueRef, MetadataMap},
};

use super::{NotFound, State, What};
use crate::example::{
    CategoryAndConfidence, MultiPredictResponse, PredictRequest, PredictResponse,
    example_predictor_server::ExamplePredictor,
};

#[derive(Clone, Debug)]
pub(super) struct Predictor(pub(super) Arc<State>);

impl Predictor {
    async fn answer(&self, request: Request<PredictRequest>) -> Result<(String, PredictResponse), Status> {
        let (metadata, _, request) = request.into_parts();
        let id = model_id(&metadata)?;
        self.0.note(What::Called, &id);
        let Some(plan) = self.0.find(&id) else {
            return Err(self.not_found(&id));
        };
        tokio::time::sleep(plan.busy).await;
        let mut said = format!("classification for {} by model {id}", request.text);
        if request.text == "test:purge-models" {
            self.0.purge();
        } else if request.text == "test:headers" {
            said = describe(&metadata);
        } else if let Some(status) = asked_for(&request.text) {
            return Err(status);
        }
        let results = [said, request.model_name];
        let results = results.map(|category| CategoryAndConfidence {
            category,
            confidence: 1.0,
        });
        Ok((
            id,
            PredictResponse {
                results: results.into(),
            },
        ))
    }

    fn not_found(&self, id: &str) -> Status {
        match self.0.options.not_found {
            NotFound::Plain => Status::not_found(format!("model {id} not found")),
            NotFound::Triton => {
                Status::unavailable(format!("Request for unknown model: '{id}' is not found"))
            }
            NotFound::MlServer => Status::invalid_argument(format!("Model {id} not found")),
        }
    }
}

#[tonic::async_trait]
impl ExamplePredictor for Predictor {
    async fn predict(&self, request: Request<PredictRequest>) -> Result<Response<PredictResponse>, Status> {
        let (_, answer) = self.answer(request).await?;
        Ok(Response::new(answer))
    }

    async fn multi_predict(
        &self,
        request: Request<PredictRequest>,
    ) -> Result<Response<MultiPredictResponse>, Status> {
        let answer = self.answer(request).await?;
        Ok(Response::new(MultiPredictResponse {
            predictions: HashMap::from([answer]),
        }))
    }
}

/// The id that the router gives, which must be the same in both headers.
fn model_id(metadata: &MetadataMap) -> Result<String, Status> {
    let wrong = |text: &str| Status::invalid_argument(format!("example runtime: {text}"));
    let binary = metadata
        .get_bin(headers::MODEL_ID_BIN)
        .ok_or_else(|| wrong("no mm-model-id-bin"))?
        .to_bytes()
        .map_err(|_| wrong("mm-model-id-bin is no base64"))?;
    let id = String::from_utf8(binary.to_vec()).map_err(|_| wrong("mm-model-id-bin is no UTF-8"))?;
    if metadata
        .get(headers::MODEL_ID)
        .is_some_and(|plain| plain.as_bytes() != id.as_bytes())
    {
        return Err(wrong("mm-model-id and mm-model-id-bin differ"));
    }
    Ok(id)
}

fn describe(metadata: &MetadataMap) -> String {
    let mut lines: Vec<_> = metadata
        .iter()
        .map(|entry| match entry {
            KeyAndValueRef::Ascii(name, value) => {
                format!("{name}={}", String::from_utf8_lossy(value.as_bytes()))
            }
            KeyAndValueRef::Binary(name, value) => {
                format!("{name}={}", String::from_utf8_lossy(value.as_encoded_bytes()))
            }
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

fn asked_for(text: &str) -> Option<Status> {
    let rest = text.strip_prefix("test:error:code=")?;
    let (code, message) = rest.split_once(":message=")?;
    let code = (0..17)
        .map(Code::from_i32)
        .find(|known| kit::status::name(*known) == code)
        .unwrap_or(Code::Unknown);
    Some(Status::new(code, message))
}
