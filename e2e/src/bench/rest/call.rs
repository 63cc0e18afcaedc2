//! One call as bytes: where it goes, its headers and its body.

use crate::{
    bench::{
        rest::{
            tensor::Tensor,
            way::{Format, Protocol, Way},
        },
        workload::MODEL,
    },
    client::frame,
};

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Path of the URL.
    pub path: String,
    /// Headers beside those of the transport.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Call {
    /// The call that sends `tensor` that way.
    pub fn new(way: &Way, tensor: &Tensor) -> anyhow::Result<Self> {
        let rest = || format!("/v2/models/{MODEL}/infer");
        Ok(match (way.protocol, way.format) {
            (Protocol::Grpc, _) => Self {
                path: api::names::methods::MODEL_INFER.to_owned(),
                headers: vec![
                    ("content-type", "application/grpc".to_owned()),
                    ("te", "trailers".to_owned()),
                ],
                body: frame(&tensor.message()?).to_vec(),
            },
            (_, Format::Json) => Self {
                path: rest(),
                headers: vec![("content-type", "application/json".to_owned())],
                body: tensor.json()?,
            },
            (_, Format::Binary) => {
                let (body, length) = tensor.binary()?;
                Self {
                    path: rest(),
                    headers: vec![
                        ("content-type", "application/octet-stream".to_owned()),
                        ("inference-header-content-length", length.to_string()),
                    ],
                    body,
                }
            }
        })
    }
}
