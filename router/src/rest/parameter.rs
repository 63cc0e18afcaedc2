//! `parameters` of requests, inputs and outputs.
//!
//! A value is a bool, a string or a number. Integers become `int64_param` (`uint64_param` above its range), other
//! numbers `double_param`. Null is what serializers write for "not given", and means that.

use std::collections::HashMap;

use api::inference::{InferParameter, infer_parameter::ParameterChoice};

use super::{decode::DecodeError, json::Cursor, number::Number};

pub(super) type Parameters = HashMap<String, InferParameter>;

/// Parses an object of parameters.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Parameters, DecodeError> {
    let mut parameters = Parameters::new();
    cursor.object(|cursor, key| {
        if cursor.null()? {
            return Ok(());
        }
        let choice = value(cursor).map_err(|error| error.within(&format!("parameter {key:?}")))?;
        if parameters
            .insert(
                key.to_owned(),
                InferParameter {
                    parameter_choice: Some(choice),
                },
            )
            .is_some()
        {
            return Err(DecodeError::Invalid(format!("parameter {key:?} is given twice")));
        }
        Ok(())
    })?;
    Ok(parameters)
}

fn value(cursor: &mut Cursor<'_>) -> Result<ParameterChoice, DecodeError> {
    match cursor.peek() {
        Some(b't' | b'f') => Ok(ParameterChoice::BoolParam(cursor.bool()?)),
        Some(b'"') => Ok(ParameterChoice::StringParam(cursor.string()?.into_owned())),
        Some(b'[' | b'{') => Err(DecodeError::Invalid(
            "must be a bool, a string or a number, not an array or object".to_owned(),
        )),
        _ => number(&cursor.number()?),
    }
}

fn number(number: &Number<'_>) -> Result<ParameterChoice, DecodeError> {
    let choice = if number.is_integer() {
        let signed = number.integer().map(ParameterChoice::Int64Param);
        signed.or_else(|| number.integer().map(ParameterChoice::Uint64Param))
    } else {
        number.double().map(ParameterChoice::DoubleParam)
    };
    choice.ok_or_else(|| {
        let shown = number.shown();
        DecodeError::Invalid(format!("{shown} is out of the range of 64 bits"))
    })
}

/// Removes a parameter that must be a bool.
pub(super) fn take_bool(parameters: &mut Parameters, name: &str) -> Result<Option<bool>, DecodeError> {
    match parameters
        .remove(name)
        .map(|parameter| parameter.parameter_choice)
    {
        None | Some(None) => Ok(None),
        Some(Some(ParameterChoice::BoolParam(value))) => Ok(Some(value)),
        Some(Some(_)) => Err(DecodeError::Invalid(format!(
            "parameter {name:?} must be true or false"
        ))),
    }
}

/// Removes a parameter that must be a number of bytes.
pub(super) fn take_size(parameters: &mut Parameters, name: &str) -> Result<Option<usize>, DecodeError> {
    let size = match parameters
        .remove(name)
        .map(|parameter| parameter.parameter_choice)
    {
        None | Some(None) => return Ok(None),
        Some(Some(ParameterChoice::Int64Param(size))) => usize::try_from(size).ok(),
        Some(Some(ParameterChoice::Uint64Param(size))) => usize::try_from(size).ok(),
        Some(Some(_)) => None,
    };
    let rule = || DecodeError::Invalid(format!("parameter {name:?} must be a number of bytes"));
    size.ok_or_else(rule).map(Some)
}

/// Does `content_type` ask for base64?
pub(super) fn is_base64(parameters: &Parameters) -> bool {
    let content_type = parameters
        .get("content_type")
        .and_then(|parameter| parameter.parameter_choice.as_ref());
    matches!(content_type, Some(ParameterChoice::StringParam(name)) if is_base64_name(name))
}

fn is_base64_name(name: &str) -> bool {
    matches!(name, "base64" | "b64" | "BASE64" | "B64")
}
