//! Inputs as the JSON has them. The order of keys is free, so `data` waits until it can be understood.

use std::collections::HashSet;

use api::{datatype::Datatype, inference::model_infer_request::InferInputTensor};

use super::{DecodeError, Limits, MAX_RANK, bounded, once};
use crate::rest::{
    json::Cursor,
    parameter::{self, Parameters},
    tensor::{self, Expected},
};

/// One input as far as the JSON knows it.
pub(super) struct Input {
    pub(super) tensor: InferInputTensor,
    pub(super) datatype: Datatype,
    pub(super) data: Data,
}

pub(super) enum Data {
    Parsed(Vec<u8>),
    /// That many bytes after the JSON.
    Binary(usize),
    /// In a region that the model server knows by name.
    SharedMemory,
}

/// Parses the array of inputs.
pub(super) fn parse_inputs(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<Input>, DecodeError> {
    let mut inputs: Vec<Input> = Vec::new();
    let mut names = HashSet::new();
    let mut left = limits.max_raw_bytes;
    cursor.array(|cursor| {
        let mut draft = Draft::default();
        let place = format!("inputs[{}]", inputs.len());
        let parsed = cursor.object(|cursor, key| draft.field(cursor, key, left));
        let input = parsed.and_then(|()| draft.finish(left)).map_err(|error| {
            error.within(
                &draft
                    .name
                    .as_ref()
                    .map_or(place, |name| format!("input {name:?}")),
            )
        })?;
        if !names.insert(input.tensor.name.clone()) {
            return Err(DecodeError::Invalid(format!(
                "input {:?} is given twice",
                input.tensor.name
            )));
        }
        if let Data::Parsed(raw) = &input.data {
            left = left.saturating_sub(raw.len());
        }
        inputs.push(input);
        bounded(inputs.len(), limits, "inputs")
    })?;
    Ok(inputs)
}

/// Fields of an input, in whatever order they come.
#[derive(Default)]
struct Draft<'a> {
    name: Option<String>,
    datatype: Option<Datatype>,
    shape: Option<Vec<i64>>,
    parameters: Option<Parameters>,
    /// Where `data` begins, until everything is known that is needed to parse it.
    later: Option<Cursor<'a>>,
    raw: Option<Vec<u8>>,
}

impl<'a> Draft<'a> {
    fn field(&mut self, cursor: &mut Cursor<'a>, key: &str, left: usize) -> Result<(), DecodeError> {
        match key {
            "name" => once(&mut self.name, cursor.string()?.into_owned(), key),
            "datatype" => {
                let datatype = cursor.string()?.parse();
                let datatype = datatype.map_err(|error: api::datatype::UnknownDatatype| {
                    DecodeError::Invalid(error.to_string())
                })?;
                once(&mut self.datatype, datatype, key)
            }
            "shape" => once(&mut self.shape, parse_shape(cursor)?, key),
            "parameters" if cursor.null()? => Ok(()),
            "parameters" => once(&mut self.parameters, parameter::parse(cursor)?, key),
            "data" => {
                if self.later.is_some() || self.raw.is_some() {
                    return Err(DecodeError::Invalid("data is given twice".to_owned()));
                }
                match (self.datatype, &self.shape) {
                    // Parameters that come later decide how strings are read.
                    (Some(datatype), Some(shape)) if datatype != Datatype::Bytes => {
                        self.raw = Some(parse_data(cursor, datatype, shape, false, left)?);
                        Ok(())
                    }
                    _ => {
                        self.later = Some(cursor.clone());
                        Ok(cursor.skip()?)
                    }
                }
            }
            _ => Ok(cursor.skip()?),
        }
    }

    fn finish(&mut self, left: usize) -> Result<Input, DecodeError> {
        let absent = |field| DecodeError::Invalid(format!("{field} is missing"));
        let name = self.name.clone().ok_or_else(|| absent("name"))?;
        let datatype = self.datatype.ok_or_else(|| absent("datatype"))?;
        let shape = self.shape.take().ok_or_else(|| absent("shape"))?;
        let mut parameters = self.parameters.take().unwrap_or_default();
        let size = parameter::take_size(&mut parameters, "binary_data_size")?;
        let base64 = parameter::is_base64(&parameters);
        if let Some(cursor) = &mut self.later {
            self.raw = Some(parse_data(cursor, datatype, &shape, base64, left)?);
        }
        let data = match (self.raw.take(), size) {
            (Some(_), Some(_)) => {
                return Err(DecodeError::Invalid(
                    "data and binary_data_size exclude each other".to_owned(),
                ));
            }
            (Some(raw), None) => Data::Parsed(raw),
            (None, Some(size)) => Data::Binary(size),
            (None, None) if parameters.contains_key("shared_memory_region") => Data::SharedMemory,
            (None, None) => return Err(absent("data")),
        };
        let tensor = InferInputTensor {
            name,
            datatype: datatype.to_string(),
            shape,
            parameters,
            contents: None,
        };
        Ok(Input {
            tensor,
            datatype,
            data,
        })
    }
}

fn parse_data(
    cursor: &mut Cursor<'_>,
    datatype: Datatype,
    shape: &[i64],
    base64: bool,
    limit: usize,
) -> Result<Vec<u8>, DecodeError> {
    let elements = tensor::elements(shape)?;
    tensor::parse(
        cursor,
        &Expected {
            datatype,
            shape,
            elements,
            base64,
            limit,
        },
    )
}

fn parse_shape(cursor: &mut Cursor<'_>) -> Result<Vec<i64>, DecodeError> {
    let mut shape = Vec::new();
    cursor.array(|cursor| {
        let number = cursor.number()?;
        let size = number.integer::<i64>();
        shape.push(size.ok_or_else(|| {
            let shown = number.shown();
            DecodeError::Invalid(format!("shape: {shown} is not a 64-bit integer"))
        })?);
        if shape.len() > MAX_RANK {
            return Err(DecodeError::Invalid(format!(
                "shape has more than {MAX_RANK} dimensions"
            )));
        }
        Ok(())
    })?;
    Ok(shape)
}
