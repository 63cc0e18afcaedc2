//! Amounts of resources.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the API server accepts as a quantity (`k8s.io/apimachinery/pkg/api/resource`).
pub(super) const PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Nano units in one: the finest step that Kubernetes knows.
const NANO: i128 = 1_000_000_000;

/// An amount such as `500m`, `2Gi` or `4`, in the spelling of its author.
///
/// Decodes from any JSON value, so that one bad quantity does not hide the rest of an object; [`Quantity::nanos`] says
/// whether it is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(pub Value);

/// The text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityError(String);

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no quantity; write a number with an optional suffix, such as `500m`, `4` or `2Gi`",
            self.0
        )
    }
}

impl std::error::Error for QuantityError {}

impl Quantity {
    /// The amount in units of 10⁻⁹, rounded up; exact for everything that Kubernetes can store.
    pub fn nanos(&self) -> Result<i128, QuantityError> {
        let text = self.to_string();
        parse(&text).ok_or(QuantityError(text))
    }

    /// The amount in units (bytes of memory, processors), rounded up.
    pub fn units(&self) -> Result<i128, QuantityError> {
        let nanos = self.nanos()?;
        Ok(nanos.div_euclid(NANO) + i128::from(nanos.rem_euclid(NANO) != 0))
    }
}

/// As written, without quotes.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::String(text) => f.write_str(text),
            other => other.fmt(f),
        }
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(Value::from(text))
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": PATTERN,
            "x-kubernetes-int-or-string": true,
        })
    }
}

/// `[sign] digits [. digits] [suffix]` in nano units; `None` if it is none or too large.
fn parse(text: &str) -> Option<i128> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let (binary, decimal) = scale(suffix)?;
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    value = value.checked_mul(1_i128.checked_shl(binary)?)?;
    let exponent = decimal
        .checked_add(9)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    let value = if value == 0 {
        0
    } else if exponent >= 0 {
        value.checked_mul(power?)?
    } else {
        // A power that does not fit is larger than any value here.
        power.map_or(1, |power| value / power + i128::from(value % power != 0))
    };
    Some(if negative { -value } else { value })
}

/// Powers of two and of ten that a suffix stands for.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts() {
        let cases = [
            (json!("500m"), 500_000_000),
            (json!(2), 2_000_000_000),
            (json!(0.5), 500_000_000),
            (json!("1Ki"), 1024 * NANO),
            (json!("1.5Gi"), 1_610_612_736 * NANO),
            (json!("1e3"), 1000 * NANO),
            (json!("12E-1"), 1_200_000_000),
            (json!("-3k"), -3000 * NANO),
            (json!(".5"), 500_000_000),
            (json!("1n"), 1),
            (json!("0.1n"), 1),
            (json!("0"), 0),
        ];
        for (value, nanos) in cases {
            assert_eq!(Quantity(value.clone()).nanos(), Ok(nanos), "{value}");
        }
        assert_eq!(Quantity(json!("1500m")).units(), Ok(2));
        assert_eq!(Quantity(json!("-1500m")).units(), Ok(-1));
    }

    #[test]
    fn what_is_none_is_named() {
        for value in [
            json!(""),
            json!("1 Gi"),
            json!("1.2.3"),
            json!("Gi"),
            json!("1gi"),
            json!(null),
            json!([]),
            json!("é"),
            json!("."),
            json!("9e99999"),
            json!("1e2147483647"),
        ] {
            assert!(Quantity(value.clone()).nanos().is_err(), "{value}");
        }
        let error = Quantity(json!("2 Gi")).nanos().expect_err("none");
        assert_eq!(
            error.to_string(),
            "`2 Gi` is no quantity; write a number with an optional suffix, such as `500m`, `4` or `2Gi`"
        );
    }
}
