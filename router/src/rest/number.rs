//! Numbers of a JSON text: exact integers, correctly rounded floats.

use std::{cmp::Ordering, fmt::Write as _};

use half::{bf16, f16};

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Digits that always fit a u64.
const MAX_DIGITS: usize = 19;
/// Zero bits at the end of a double that lies halfway between two halves (11 bits and one more) or bfloat16s (8).
const HALFWAY_ZEROS: u32 = 40;

/// A number as it is written; nothing is rounded yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    text: &'a [u8],
    negative: bool,
    integer: bool,
    /// All digits as one integer, if they are at most `MAX_DIGITS`.
    mantissa: u64,
    digits: usize,
    /// Power of ten of `mantissa`.
    exponent: i32,
}

impl<'a> Number<'a> {
    /// Reads the number that `rest` begins with.
    #[allow(
        clippy::inline_always,
        reason = "a number that passes through memory costs as much as its digits"
    )]
    #[inline(always)]
    pub(super) fn scan(rest: &'a [u8]) -> Result<Self, &'static str> {
        let negative = rest.first() == Some(&b'-');
        let whole = usize::from(negative);
        let (mut at, mut mantissa) = digits(rest, whole, 0);
        let mut count = at - whole;
        if count != 1 {
            if count == 0 {
                return Err(not_a_number(rest));
            }
            if rest.get(whole) == Some(&b'0') {
                return Err("numbers have no leading zeros");
            }
        }
        let (mut exponent, mut integer) = (0, true);
        if rest.get(at) == Some(&b'.') {
            let fraction = at + 1;
            (at, mantissa) = digits(rest, fraction, mantissa);
            if at == fraction {
                return Err("a digit is expected after the decimal point");
            }
            integer = false;
            count += at - fraction;
            exponent = i32::try_from(at - fraction).map_or(i32::MIN, |length| -length);
        }
        if matches!(rest.get(at), Some(b'e' | b'E')) {
            let (power, end) = power(rest, at + 1)?;
            integer = false;
            exponent = exponent.saturating_add(power);
            at = end;
        }
        let text = rest.get(..at).unwrap_or_default();
        Ok(Self {
            text,
            negative,
            integer,
            mantissa,
            digits: count,
            exponent,
        })
    }

    /// Bytes of the number.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The number as it is written.
    pub(super) fn text(&self) -> &'a str {
        // Only ASCII was taken.
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// The number for a message.
    pub(super) fn shown(&self) -> String {
        self.text().chars().take(40).collect()
    }

    /// Written without fraction and exponent?
    pub(super) fn is_integer(&self) -> bool {
        self.integer
    }

    /// The integer; `None` if it is none, or out of range.
    #[inline]
    pub(super) fn integer<T: TryFrom<i128>>(&self) -> Option<T> {
        if !self.integer {
            return None;
        }
        let value = if self.digits <= MAX_DIGITS {
            let magnitude = i128::from(self.mantissa);
            if self.negative { -magnitude } else { magnitude }
        } else {
            self.text().parse().ok()?
        };
        T::try_from(value).ok()
    }

    /// The nearest double; `None` if it would be infinite.
    #[inline]
    pub(super) fn double(&self) -> Option<f64> {
        let power = POWERS.get(self.exponent.unsigned_abs() as usize);
        let magnitude = match power {
            // Both operands are exact, so one operation rounds once.
            Some(power) if self.digits <= MAX_DIGITS && self.mantissa <= 1 << 53 => {
                let mantissa = self.mantissa as f64;
                if self.exponent < 0 {
                    mantissa / power
                } else {
                    mantissa * power
                }
            }
            _ => return self.text().parse().ok().filter(|value: &f64| value.is_finite()),
        };
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// The nearest single; `None` if it would be infinite.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    pub(super) fn single(&self) -> Option<f32> {
        let double = self.double()?;
        // Rounding twice differs from rounding once only where the double lies halfway between two singles, which
        // is never so for normal singles unless these bits say it.
        let halfway = double.to_bits() & 0x1fff_ffff == 0x1000_0000;
        let single = double as f32;
        if halfway || (single.abs() <= f32::MIN_POSITIVE && self.mantissa != 0) {
            return self.text().parse().ok().filter(|value: &f32| value.is_finite());
        }
        single.is_finite().then_some(single)
    }

    /// The nearest half; `None` if it would be infinite.
    pub(super) fn half(&self) -> Option<f16> {
        let double = self.double()?;
        let half = f16::from_f64(odd(
            self.nudged(double, |value| f16::from_f64(odd(value)).to_f64())
        ));
        half.is_finite().then_some(half)
    }

    /// The nearest bfloat16; `None` if it would be infinite.
    pub(super) fn brain(&self) -> Option<bf16> {
        let double = self.double()?;
        let brain = bf16::from_f64(odd(
            self.nudged(double, |value| bf16::from_f64(odd(value)).to_f64())
        ));
        brain.is_finite().then_some(brain)
    }

    /// `double`, or its neighbor towards the number itself if the double lies halfway between two narrow values while
    /// the number does not.
    fn nudged(&self, double: f64, narrow: impl Fn(f64) -> f64) -> f64 {
        // Halfway between two narrow values lie only doubles with few bits.
        let few_bits = double.to_bits().trailing_zeros() >= HALFWAY_ZEROS;
        let apart = || {
            narrow(double.next_down())
                .total_cmp(&narrow(double.next_up()))
                .is_ne()
        };
        if !few_bits || double == 0.0 || !apart() {
            return double;
        }
        match self.compare_magnitude(double) {
            Ordering::Less if double > 0.0 => double.next_down(),
            Ordering::Less => double.next_up(),
            Ordering::Greater if double > 0.0 => double.next_up(),
            Ordering::Greater => double.next_down(),
            Ordering::Equal => double,
        }
    }

    /// Compares the magnitudes of the number as written and of `double`, which has few bits, exactly.
    fn compare_magnitude(&self, double: f64) -> Ordering {
        let mut exact = String::new();
        // The smallest halfway value is 2^-134: 134 digits after the point, 40 of them zeros.
        if write!(exact, "{:.120e}", double.abs()).is_err() {
            return Ordering::Equal;
        }
        decimal(self.text()).cmp(&decimal(&exact))
    }
}

/// The double with its low half folded into one bit. `half` looks only at the high one, and would take a number that
/// is a little more than halfway for one that is halfway.
fn odd(double: f64) -> f64 {
    const LOW: u64 = 0xffff_ffff;
    let bits = double.to_bits();
    f64::from_bits(bits & !LOW | u64::from(bits & LOW != 0) << 32)
}

/// Order of magnitude and significant digits of a number that is not zero, in a form that compares.
fn decimal(text: &str) -> (i64, String) {
    let text = text.trim_start_matches('-');
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX) - i64::try_from(leading).unwrap_or(i64::MAX);
    let power = power.parse().unwrap_or(0_i64);
    (
        point.saturating_add(power),
        significant.trim_end_matches('0').to_owned(),
    )
}

#[inline]
fn digit(rest: &[u8], at: usize) -> Option<u64> {
    let digit = rest.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

/// Where the digits at `at` end, and `mantissa` with them appended, modulo 2^64.
#[inline]
fn digits(rest: &[u8], mut at: usize, mut mantissa: u64) -> (usize, u64) {
    while let Some(eight) = rest
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .and_then(eight_digits)
    {
        mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit) = digit(rest, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    (at, mantissa)
}

/// Eight digits at once: pairs, then pairs of pairs, within one word.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let word = u64::from_le_bytes(text);
    // '0' to '9' are 0x30 to 0x39: the high half is 3, also after 6 is added.
    let above = word.wrapping_add(0x0606_0606_0606_0606) & HIGH;
    if word & HIGH | above >> 4 != 0x3333_3333_3333_3333 {
        return None;
    }
    let ones = word & 0x0f0f_0f0f_0f0f_0f0f;
    let tens = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let hundreds = (tens * 100 + (tens >> 16)) & 0x0000_ffff_0000_ffff;
    Some((hundreds * 10_000 + (hundreds >> 32)) & 0xffff_ffff)
}

/// The power of ten at `at`, and where it ends.
fn power(rest: &[u8], mut at: usize) -> Result<(i32, usize), &'static str> {
    let negative = rest.get(at) == Some(&b'-');
    if matches!(rest.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let start = at;
    let mut power = 0_i32;
    while let Some(digit) = digit(rest, at) {
        power = power
            .saturating_mul(10)
            .saturating_add(i32::try_from(digit).unwrap_or(0));
        at += 1;
    }
    if at == start {
        return Err("a digit is expected in the exponent");
    }
    Ok((if negative { -power } else { power }, at))
}

fn not_a_number(rest: &[u8]) -> &'static str {
    let word = rest.strip_prefix(b"-").unwrap_or(rest);
    if [&b"NaN"[..], b"nan", b"Inf", b"inf"]
        .iter()
        .any(|name| word.starts_with(name))
    {
        "NaN and Infinity are not JSON; send this tensor as binary data (binary_data_size)"
    } else {
        "a number is expected"
    }
}

#[cfg(test)]
mod tests;
