//! One request on its way through the backend.

use http::HeaderMap;
use prost::Message;
use tokio::time::Instant;
use tonic::Code;

use super::{App, Backend, failure::Failure};
use crate::chunks::Chunks;

/// What all calls of one request share.
pub(super) struct Call<'a, B> {
    pub(super) app: &'a App<B>,
    pub(super) metadata: HeaderMap,
    pub(super) deadline: Instant,
}

impl<B: Backend> Call<'_, B> {
    /// Calls a method of the V2 service.
    pub(super) async fn unary<R: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
    ) -> Result<(HeaderMap, R), Failure> {
        let message = request.encode_to_vec();
        let (metadata, answer) = self.raw(method, message.into()).await?;
        Ok((metadata, decode(answer)?))
    }

    /// Calls a method with an encoded message.
    pub(super) async fn raw(
        &self,
        method: &'static str,
        message: Chunks,
    ) -> Result<(HeaderMap, Chunks), Failure> {
        let limit = self.app.options.max_message;
        if message.len() > limit {
            let length = message.len();
            return Err(Failure::too_large(format!(
                "the message to the model takes {length} bytes, more than the limit of {limit}"
            )));
        }
        let call = self.app.backend.call(method, self.metadata.clone(), message);
        match tokio::time::timeout_at(self.deadline, call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::new(
                Code::DeadlineExceeded,
                "the model did not answer in time",
            )),
        }
    }
}

/// Decodes what a model server answered.
pub(super) fn decode<R: Message + Default>(answer: Chunks) -> Result<R, Failure> {
    R::decode(answer)
        .map_err(|error| Failure::internal(format!("the answer of the model is broken: {error}")))
}
