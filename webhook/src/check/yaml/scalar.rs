//! What a scalar means: YAML 1.1 as `sigs.k8s.io/yaml` reads it, which is what kubectl and kustomize use.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// The value of a scalar. Quoted texts are texts.
pub(super) fn value(text: Cow<'_, str>, plain: bool, tag: Option<&str>) -> Result<Value, String> {
    match tag {
        None if plain => Ok(resolve(&text).unwrap_or_else(|| Value::String(text.into_owned()))),
        None | Some("str") => Ok(Value::String(text.into_owned())),
        Some(wanted @ ("int" | "float" | "bool" | "null")) => {
            let found = resolve(&text);
            let fits = matches!(
                (&found, wanted),
                (Some(Value::Number(_)), "int" | "float")
                    | (Some(Value::Bool(_)), "bool")
                    | (Some(Value::Null), "null")
            );
            found
                .filter(|_| fits)
                .ok_or_else(|| format!("`{}` is no {wanted}", super::cut(&text)))
        }
        Some(other) => Err(format!("a text cannot have the tag `!!{}`", super::cut(other))),
    }
}

/// A key: always a text. Truth values and numbers are written as in JSON, `null` is no key that anybody wants but
/// harmless.
pub(super) fn key(text: Cow<'_, str>, plain: bool) -> Value {
    if plain {
        match resolve(&text) {
            Some(Value::Bool(value)) => return Value::String(value.to_string()),
            Some(Value::Number(value)) => return Value::String(value.to_string()),
            _ => {}
        }
    }
    Value::String(text.into_owned())
}

/// The value of a plain scalar that is no text.
fn resolve(text: &str) -> Option<Value> {
    // Most texts are told by their first letter.
    let first = text.bytes().next();
    match first {
        None => return Some(Value::Null),
        Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'o' | b'O') => {}
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => return number(text),
        Some(_) => return None,
    }
    match text {
        "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = |prefix: &str, radix| {
        let digits = digits.strip_prefix(prefix)?;
        i64::from_str_radix(&format!("{sign}{digits}"), radix)
            .ok()
            .filter(|_| digits.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .map(Value::from)
    };
    let special = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2));
    if special.is_some() {
        return special;
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A zero in front means octal, as in file modes.
        if digits.len() > 1 && digits.starts_with('0') {
            if let Some(octal) = radix("0", 8) {
                return Some(octal);
            }
        } else {
            let signed = format!("{sign}{digits}");
            let whole = signed.parse::<i64>().map(Value::from).ok();
            let whole = whole.or_else(|| signed.parse::<u64>().map(Value::from).ok());
            if whole.is_some() {
                return whole;
            }
        }
    }
    if !is_float(digits) {
        return None;
    }
    let float = format!("{sign}{digits}").parse::<f64>().ok()?;
    // JSON has no infinity, and no manifest needs one: such a text stays a text.
    if float.fract() == 0.0 && float.abs() < 9e15 {
        #[allow(clippy::cast_possible_truncation, reason = "it is a whole number in range")]
        return Some(Value::from(float as i64));
    }
    Number::from_f64(float).map(Value::Number)
}

/// `[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?`, or with no digit before the point.
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.map(|text| text.strip_prefix(['-', '+']).unwrap_or(text));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|text| !text.is_empty() && digits(text))
}
