//! Sizes in bytes as people write them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Units by name without the final `B`; lower case, since case carries no meaning here.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("ki", 1 << 10),
    ("mi", 1 << 20),
    ("gi", 1 << 30),
    ("ti", 1 << 40),
];

/// Names for [`ByteSize`]'s `Display`, largest first; binary units win where both divide evenly.
const DISPLAY: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// A number of bytes: `1GiB`, `1.5Gi`, `512MB`, `1048576`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// No number, or something else than digits and one point.
    #[error("{0:?} is not a size; write a number with an optional unit, like 1GiB, 512MB or 1048576")]
    Number(String),
    /// Not a unit that is known.
    #[error(
        "unknown unit {unit:?} in {text:?}; units are B, kB, MB, GB, TB (1000) and KiB, MiB, GiB, TiB (1024)"
    )]
    Unit {
        /// What was read.
        text: String,
        /// The part after the number.
        unit: String,
    },
    /// `0.3B`.
    #[error("{0:?} is not a whole number of bytes")]
    Fraction(String),
    /// More than `u64` holds.
    #[error("{0:?} is too large; the most is {max} bytes", max = u64::MAX)]
    TooLarge(String),
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
            return Err(ByteSizeError::Number(text.into()));
        }
        let name = unit.trim_start().to_ascii_lowercase();
        let name = name.strip_suffix('b').unwrap_or(&name);
        let Some((_, factor)) = UNITS.iter().find(|(known, _)| *known == name) else {
            return Err(ByteSizeError::Unit {
                text: text.into(),
                unit: unit.trim_start().into(),
            });
        };
        scale(whole, fraction, *factor, text).map(ByteSize)
    }
}

/// `whole.fraction x factor`, exact.
fn scale(whole: &str, fraction: &str, factor: u64, text: &str) -> Result<u64, ByteSizeError> {
    let too_large = || ByteSizeError::TooLarge(text.into());
    // Eighteen decimals keep the product below 2^128; no size needs more.
    let fraction = fraction.trim_end_matches('0');
    let decimals = u32::try_from(fraction.len()).ok().filter(|n| *n <= 18);
    let Some(decimals) = decimals else {
        return Err(ByteSizeError::Fraction(text.into()));
    };
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| too_large())?
    };
    let base = 10_u128.pow(decimals);
    let part = part * u128::from(factor);
    if !part.is_multiple_of(base) {
        return Err(ByteSizeError::Fraction(text.into()));
    }
    let total = u128::from(whole) * u128::from(factor) + part / base;
    u64::try_from(total).map_err(|_| too_large())
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = DISPLAY
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let text = match unit {
            Some((name, factor)) => format!("{}{name}", self.0 / factor),
            None => format!("{}B", self.0),
        };
        f.pad(&text)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = ByteSizeError;

    fn try_from(text: String) -> Result<Self, ByteSizeError> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("1GiB", 1 << 30),
            ("1Gi", 1 << 30),
            ("1.5 gib", 3 << 29),
            ("512MB", 512_000_000),
            ("512m", 512_000_000),
            ("7B", 7),
            ("0.5KiB", 512),
            (" 2k ", 2_000),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("", "not a size"),
            ("GiB", "not a size"),
            ("1.", "not a size"),
            ("1.2.3k", "not a size"),
            ("-1", "not a size"),
            ("1e9", "unknown unit \"e9\""),
            ("1PiB", "unknown unit \"PiB\""),
            ("1GiBB", "unknown unit"),
            ("0.3B", "whole number"),
            ("0.0000000000000000001TiB", "whole number"),
            ("16777216TiB", "too large"),
            ("99999999999999999999", "too large"),
        ] {
            let err = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(err.contains(part), "{text}: {err}");
        }
    }

    #[test]
    fn shows_the_largest_even_unit() {
        for (bytes, text) in [
            (0, "0B"),
            (1, "1B"),
            (1 << 30, "1GiB"),
            (512_000_000, "500000KiB"),
            (5_000, "5kB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn any_text_is_answered(text in "[0-9.kKmMgGtTiIbB \\-]{0,24}|.{0,12}") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
