//! `POST /v2/models/M/infer`.

use api::names::methods::MODEL_INFER;
use bytes::Bytes;

use super::{
    Backend, Reply, call, call::Call, decode, encode, failure::Failure, message, offload, path::Model,
};

impl<B: Backend> Call<'_, B> {
    pub(super) async fn infer(
        &self,
        model: Model,
        body: Bytes,
        json_length: Option<usize>,
    ) -> Result<Reply, Failure> {
        let limits = self.app.options.limits();
        // Binary tensors are only looked at.
        let json = json_length.unwrap_or(body.len()).min(body.len());
        let (message, answer) = offload(json, move || -> Result<_, Failure> {
            let mut decoded = decode::infer_request(body, json_length, &limits)?;
            decoded.request.model_name = model.name;
            decoded.request.model_version = model.version;
            Ok((message::chunks(decoded.request), decoded.answer))
        })
        .await??;
        let (metadata, response) = self.raw(MODEL_INFER, message).await?;
        // JSON is a few times longer than what is in it; binary tensors are passed on.
        let work = if answer.is_all_binary() {
            0
        } else {
            response.len().saturating_mul(4)
        };
        let encoded = offload(work, move || -> Result<_, Failure> {
            Ok(encode::infer_response(&call::decode(response)?, &answer)?)
        })
        .await??;
        Ok(Reply {
            json_length: encoded.json_length,
            body: encoded.body,
            ..Reply::json(Vec::new(), metadata)
        })
    }
}
