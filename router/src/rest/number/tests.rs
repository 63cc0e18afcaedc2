use proptest::prelude::*;

use super::*;

fn scan(text: &str) -> Number<'_> {
    let number = Number::scan(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(number.text(), text);
    number
}

#[test]
fn integers_are_exact() {
    assert_eq!(scan("18446744073709551615").integer(), Some(u64::MAX));
    assert_eq!(scan("18446744073709551616").integer::<u64>(), None);
    assert_eq!(scan("-9223372036854775808").integer(), Some(i64::MIN));
    assert_eq!(scan("-9223372036854775809").integer::<i64>(), None);
    assert_eq!(scan("255").integer(), Some(255_u8));
    assert_eq!(scan("256").integer::<u8>(), None);
    assert_eq!(scan("-1").integer::<u8>(), None);
    assert_eq!(scan("-0").integer(), Some(0_u8));
    assert_eq!(scan("1.0").integer::<i32>(), None);
    assert_eq!(scan("1e2").integer::<i32>(), None);
    assert_eq!(scan(&"9".repeat(60)).integer::<u64>(), None);
}

#[test]
fn numbers_that_are_none() {
    for text in ["", "-", "+1", ".5", "1.", "01", "-01", "1e", "1e+", "x", "-x"] {
        assert!(Number::scan(text.as_bytes()).is_err(), "{text}");
    }
    for text in ["NaN", "Infinity", "-Infinity", "nan", "inf"] {
        let error = Number::scan(text.as_bytes()).expect_err(text);
        assert!(error.contains("binary_data_size"), "{error}");
    }
}

#[test]
fn out_of_range_is_not_infinity() {
    assert_eq!(scan("1e400").double(), None);
    assert_eq!(scan("-1e999999999999").double(), None);
    assert_eq!(scan("1e-999999999999").double(), Some(0.0));
    assert_eq!(scan("1e39").single(), None);
    assert_eq!(scan("3.4028235e38").single(), Some(f32::MAX));
    assert_eq!(scan("65519.99").half(), Some(f16::MAX));
    assert_eq!(scan("65520").half(), None);
    assert_eq!(scan("1e39").brain(), None);
}

#[test]
fn halfway_is_decided_by_all_digits() {
    // 1 + 2^-11 lies halfway between 1 and the next half.
    let next = f16::from_bits(f16::ONE.to_bits() + 1);
    assert_eq!(scan("1.00048828125").half(), Some(f16::ONE));
    assert_eq!(
        scan("1.0004882812500000000000000000000000000000000001").half(),
        Some(next)
    );
    assert_eq!(
        scan("-1.0004882812500000000000000000000000000000000001").half(),
        Some(-next)
    );
    // Halfway to the even one above: a little less must go down.
    let (low, high) = (f16::from_bits(0x3c01), f16::from_bits(0x3c02));
    assert_eq!(scan("1.00146484375").half(), Some(high));
    assert_eq!(
        scan("1.0014648437499999999999999999999999999999999").half(),
        Some(low)
    );
    // The same for bfloat16 (1 + 2^-8), and for singles (1 + 2^-24).
    assert_eq!(scan("1.00390625").brain(), Some(bf16::ONE));
    assert_eq!(
        scan("1.003906250000000000000000000000000000001").brain(),
        Some(bf16::from_bits(0x3f81))
    );
    assert_eq!(
        scan("1.000000059604644775390625").single().map(f32::to_bits),
        Some(0x3f80_0000)
    );
    assert_eq!(
        scan("1.00000005960464477539062500000000001")
            .single()
            .map(f32::to_bits),
        Some(0x3f80_0001)
    );
    // Half of the smallest half.
    assert_eq!(scan("2.98023223876953125e-8").half(), Some(f16::ZERO));
    assert_eq!(
        scan("2.980232238769531250000000000000000001e-8").half(),
        Some(f16::from_bits(1))
    );
}

proptest! {
    #[test]
    fn doubles_round_as_the_standard_library(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?(e[+-]?[0-9]{1,3})?") {
        let expected = text.parse::<f64>().ok().filter(|value| value.is_finite());
        prop_assert_eq!(scan(&text).double().map(f64::to_bits), expected.map(f64::to_bits));
    }

    #[test]
    fn singles_round_as_the_standard_library(text in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,12})?(e[+-]?[0-9]{1,2})?") {
        let expected = text.parse::<f32>().ok().filter(|value| value.is_finite());
        prop_assert_eq!(scan(&text).single().map(f32::to_bits), expected.map(f32::to_bits));
    }

    #[test]
    fn singles_read_back(bits: u32) {
        let value = f32::from_bits(bits);
        prop_assume!(value.is_finite());
        for text in [format!("{value:e}"), zmij::Buffer::new().format_finite(value).to_owned(), format!("{:.30e}", f64::from(value))] {
            prop_assert_eq!(scan(&text).single().map(f32::to_bits), Some(bits), "{}", text);
        }
    }

    #[test]
    fn halves_read_back(bits: u16) {
        let (half, brain) = (f16::from_bits(bits), bf16::from_bits(bits));
        if half.is_finite() {
            prop_assert_eq!(scan(&format!("{:e}", half.to_f32())).half().map(f16::to_bits), Some(bits));
        }
        if brain.is_finite() {
            prop_assert_eq!(scan(&format!("{:e}", brain.to_f32())).brain().map(bf16::to_bits), Some(bits));
        }
    }

    #[test]
    fn never_panics(bytes: Vec<u8>) {
        let _ = Number::scan(&bytes);
    }
}
