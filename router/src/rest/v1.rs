//! `KServe`'s V1 `POST /v1/models/M:predict`, for models with one input.
//!
//! `instances` is the input as nested arrays, whose nesting gives the shape. `predictions` is the output as nested
//! arrays; of several outputs, one object per instance.

use api::{
    datatype::Datatype,
    inference::{
        ModelInferRequest, ModelInferResponse, ModelMetadataResponse, model_infer_request::InferInputTensor,
    },
    names::methods::MODEL_INFER,
};
use bytes::{BufMut as _, Bytes};

use super::{
    Backend, Reply, call,
    call::Call,
    decode::{DecodeError, Limits, MAX_RANK, once},
    encode::{self, EncodeError, Tensor},
    failure::Failure,
    json::Cursor,
    message, offload,
    path::Model,
    tensor::{self, Expected},
    write,
};

impl<B: Backend> Call<'_, B> {
    pub(super) async fn v1_predict(&self, name: String, body: Bytes) -> Result<Reply, Failure> {
        let model = Model {
            name,
            version: String::new(),
        };
        let (_, metadata) = self.metadata_of(model.clone()).await?;
        let limits = self.app.options.limits();
        let message = offload(body.len(), move || -> Result<_, Failure> {
            let mut request = request(&body, &metadata, &limits)?;
            request.model_name = model.name;
            Ok(message::chunks(request))
        })
        .await??;
        let (headers, response) = self.raw(MODEL_INFER, message).await?;
        let predictions = offload(response.len().saturating_mul(4), move || -> Result<_, Failure> {
            Ok(predictions(&call::decode(response)?)?)
        })
        .await??;
        Ok(Reply::json(predictions, headers))
    }
}

/// The body as a request to the one input of the model.
fn request(
    body: &[u8],
    metadata: &ModelMetadataResponse,
    limits: &Limits,
) -> Result<ModelInferRequest, DecodeError> {
    let [input] = metadata.inputs.as_slice() else {
        let count = metadata.inputs.len();
        return Err(DecodeError::Invalid(format!(
            "V1 predict takes models with one input, this one has {count}; use POST /v2/models/M/infer"
        )));
    };
    let datatype: Datatype = input
        .datatype
        .parse()
        .map_err(|error: api::datatype::UnknownDatatype| DecodeError::Invalid(error.to_string()))?;
    let mut found = None;
    let mut cursor = Cursor::new(body);
    cursor.object(|cursor, key| {
        if key == "instances" {
            let shape = shape(cursor)?;
            let parsed =
                instances(cursor, datatype, &shape, limits).map_err(|error| error.within("instances"))?;
            once(&mut found, (shape, parsed), key)
        } else {
            Ok(cursor.skip()?)
        }
    })?;
    cursor.end()?;
    let Some((shape, raw)) = found else {
        return Err(DecodeError::Invalid("instances is missing".to_owned()));
    };
    Ok(ModelInferRequest {
        inputs: vec![InferInputTensor {
            name: input.name.clone(),
            datatype: datatype.to_string(),
            shape,
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![raw.into()],
        ..ModelInferRequest::default()
    })
}

fn instances(
    cursor: &mut Cursor<'_>,
    datatype: Datatype,
    shape: &[i64],
    limits: &Limits,
) -> Result<Vec<u8>, DecodeError> {
    let elements = tensor::elements(shape)?;
    let limit = limits.max_raw_bytes;
    tensor::parse(
        cursor,
        &Expected {
            datatype,
            shape,
            elements,
            base64: false,
            limit,
        },
    )
}

/// The shape of nested arrays, as the first array of every level tells it. Consumes nothing.
fn shape(cursor: &Cursor<'_>) -> Result<Vec<i64>, DecodeError> {
    let mut at = cursor.clone();
    let mut shape = Vec::new();
    while at.peek() == Some(b'[') {
        if shape.len() == MAX_RANK {
            return Err(DecodeError::Invalid(format!(
                "instances have more than {MAX_RANK} dimensions"
            )));
        }
        let mut count = 0_i64;
        let mut first = None;
        at.array(|cursor| {
            first.get_or_insert_with(|| cursor.clone());
            count += 1;
            cursor.skip()
        })?;
        shape.push(count);
        match first {
            Some(inner) => at = inner,
            None => break,
        }
    }
    match at.peek() {
        _ if shape.is_empty() => Err(DecodeError::Invalid("instances must be an array".to_owned())),
        Some(b'{') => Err(DecodeError::Invalid(
            "instances must be nested arrays; for named inputs use POST /v2/models/M/infer".to_owned(),
        )),
        _ => Ok(shape),
    }
}

/// The answer as `{"predictions": ...}`.
fn predictions(response: &ModelInferResponse) -> Result<Vec<u8>, EncodeError> {
    let tensors = encode::tensors(response)?;
    let mut out = Vec::new();
    out.push(b'{');
    write::key(&mut out, "predictions");
    match tensors.as_slice() {
        [tensor] => whole(tensor, &mut out).map_err(|why| tensor.error(why))?,
        several => rows(several, &mut out)?,
    }
    out.push(b'}');
    Ok(out)
}

fn whole(tensor: &Tensor<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let shape = &tensor.output.shape;
    let mut elements = tensor.elements(false)?;
    // Without elements there is nothing that bounds the number of brackets.
    if shape.contains(&0) {
        out.put_slice(b"[]");
        return Ok(());
    }
    elements.nested(bounded(shape)?, out)
}

/// One object per instance.
fn rows(tensors: &[Tensor<'_>], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut count = None;
    let mut columns = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let (rows, column) = column(tensor).map_err(|why| tensor.error(why))?;
        if *count.get_or_insert(rows) != rows {
            let why = "V1 needs the same first dimension in all outputs; use POST /v2/models/M/infer";
            return Err(tensor.error(why.to_owned()));
        }
        columns.push((tensor, column));
    }
    out.push(b'[');
    for row in 0..count.unwrap_or(0) {
        out.put_slice(if row > 0 { b",{" } else { b"{" });
        for (tensor, (elements, inner)) in &mut columns {
            write::key(out, &tensor.output.name);
            elements.nested(inner, out).map_err(|why| tensor.error(why))?;
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

/// Elements of an output, and dimensions of one row of them.
type Column<'a> = (write::Elements<'a>, &'a [i64]);

/// Number of rows, and the rows.
fn column<'a>(tensor: &'a Tensor<'_>) -> Result<(i64, Column<'a>), String> {
    let elements = tensor.elements(false)?;
    let Some((&rows, inner)) = bounded(&tensor.output.shape)?.split_first() else {
        return Err("V1 needs a dimension for the instances; use POST /v2/models/M/infer".to_owned());
    };
    // The number of rows without elements would not be bounded by the size of the answer.
    if rows > 0 && inner.contains(&0) {
        return Err("V1 cannot show rows without elements; use POST /v2/models/M/infer".to_owned());
    }
    Ok((rows, (elements, inner)))
}

fn bounded(shape: &[i64]) -> Result<&[i64], String> {
    if shape.len() > MAX_RANK {
        Err(format!("shape has more than {MAX_RANK} dimensions"))
    } else {
        Ok(shape)
    }
}
