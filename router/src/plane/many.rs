//! One request to several models: the responses are concatenated, which for protobuf messages is a merge.

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _, stream};
use http::HeaderMap;
use tonic::Code;

use super::{Incoming, Plan, Plane, Reply};
use crate::{
    body::RequestBody,
    chunks::Chunks,
    failure::Failure,
    mesh::hop::Hop,
    model::ModelId,
    request::{self, Required},
    rules::NameKind,
    wire::framing::{PREFIX, frame},
};

impl Plane {
    /// Sends the same message to each of `ids`, a few at a time.
    pub(super) async fn call_many(
        &self,
        mut incoming: Box<Incoming>,
        kind: NameKind,
        ids: Vec<ModelId>,
    ) -> Result<Reply, Failure> {
        let required = request::required(&incoming.parts.headers)?;
        let message = self.one_message(&mut incoming).await?;
        let mut calls = Vec::with_capacity(ids.len());
        for id in &ids {
            calls.push(self.call_one(&incoming, kind, id, message.clone()).boxed());
        }
        let mut calls = stream::iter(calls).buffered(self.options.parallelism.max(1));
        let (mut headers, mut merged) = (None, BytesMut::new());
        while let Some(outcome) = calls.next().await {
            match outcome {
                Ok(None) if required == Required::Any => {}
                Ok(None) => return Err(Failure::new(Code::NotFound, "model not found")),
                Ok(Some((metadata, message))) => {
                    headers.get_or_insert(metadata);
                    for part in message {
                        merged.extend_from_slice(&part);
                    }
                    if merged.len() > self.options.message_limit {
                        let limit = self.options.message_limit;
                        let text =
                            format!("the responses together are larger than the limit of {limit} bytes");
                        return Err(Failure::new(Code::ResourceExhausted, text));
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        drop(calls);
        let mut headers =
            headers.ok_or_else(|| Failure::new(Code::NotFound, "none of the requested models were found"))?;
        headers.remove(http::header::CONTENT_LENGTH);
        Ok(Reply::Ready(headers, frame(&merged)))
    }

    /// Reads a request that must be one message; gives it with its framing.
    async fn one_message(&self, incoming: &mut Incoming) -> Result<Bytes, Failure> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = std::future::poll_fn(|cx| incoming.body.poll_chunk(cx)).await {
            whole.extend_from_slice(&chunk?);
            if whole.len() > self.options.message_limit + PREFIX {
                return Err(Failure::new(
                    Code::Unimplemented,
                    "streaming to several models is not supported",
                ));
            }
        }
        let length = whole
            .get(1..PREFIX)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_be_bytes);
        match length {
            None => Err(Failure::new(
                Code::Internal,
                "half-closed without a request message",
            )),
            Some(length) if whole.len() == PREFIX + length as usize => Ok(whole.freeze()),
            Some(_) => Err(Failure::new(
                Code::Unimplemented,
                "streaming to several models is not supported",
            )),
        }
    }

    /// One of the calls; `None` when there is no such model.
    async fn call_one(
        &self,
        incoming: &Incoming,
        kind: NameKind,
        id: &ModelId,
        message: Bytes,
    ) -> Result<Option<(HeaderMap, Chunks)>, Failure> {
        let plan = Plan {
            kind,
            name: id.as_str().to_owned(),
            asked: None,
            expect: None,
            encoding: incoming.routing.encoding,
            unary: true,
        };
        let mut hop = Hop::of_client(incoming.routing.balanced);
        hop.draw = self.routes.draw(&plan.name, plan.kind, &incoming.parts.headers);
        let route = match self.place(&plan, &mut hop).await {
            Ok(route) => route,
            Err(failure) if failure.code == Code::NotFound => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let mut parts = incoming.parts.clone();
        // Messages can only be merged when they are not compressed.
        parts.headers.remove("grpc-accept-encoding");
        let method = parts.uri.path().to_owned();
        let body = RequestBody::complete(message, self.options.message_limit, self.budget.clone())?;
        let one = Box::new(Incoming {
            parts,
            body,
            routing: incoming.routing.clone(),
            deadline: incoming.deadline,
        });
        let reply = self.send(one, plan, hop, route).await?;
        self.collect(&method, reply).await.map(Some)
    }
}
