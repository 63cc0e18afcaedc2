use half::{bf16, f16};

use super::*;

fn run(datatype: Datatype, shape: &[i64], data: &str) -> Result<Vec<u8>, String> {
    let parse = || {
        let elements = elements(shape)?;
        let expected = Expected {
            datatype,
            shape,
            elements,
            base64: false,
            limit: 1 << 20,
        };
        let mut cursor = Cursor::new(data.as_bytes());
        let raw = super::parse(&mut cursor, &expected)?;
        cursor.end()?;
        Ok(raw)
    };
    parse().map_err(|error: DecodeError| error.to_string())
}

#[track_caller]
fn accept(datatype: Datatype, shape: &[i64], data: &str, expected: &[u8]) {
    assert_eq!(
        run(datatype, shape, data).as_deref(),
        Ok(expected),
        "{datatype} {shape:?} {data}"
    );
}

#[track_caller]
fn reject(datatype: Datatype, shape: &[i64], data: &str, expected: &str) {
    match run(datatype, shape, data) {
        Ok(raw) => panic!("{datatype} {shape:?} {data}: {raw:?}"),
        Err(error) => assert!(error.contains(expected), "{datatype} {shape:?} {data}: {error}"),
    }
}

#[test]
fn every_datatype() {
    accept(Datatype::Bool, &[2], "[true, false]", &[1, 0]);
    accept(Datatype::Uint8, &[3], "[0,7,255]", &[0, 7, 255]);
    accept(Datatype::Uint16, &[1], "[258]", &[2, 1]);
    accept(Datatype::Uint32, &[1], "[4294967295]", &[255; 4]);
    accept(Datatype::Uint64, &[1], "[18446744073709551615]", &[255; 8]);
    accept(Datatype::Int8, &[2], "[-128,127]", &[0x80, 0x7f]);
    accept(Datatype::Int16, &[1], "[-2]", &[0xfe, 0xff]);
    accept(Datatype::Int32, &[1], "[-2147483648]", &[0, 0, 0, 0x80]);
    accept(
        Datatype::Int64,
        &[1],
        "[-9223372036854775808]",
        &[0, 0, 0, 0, 0, 0, 0, 0x80],
    );
    accept(
        Datatype::Fp16,
        &[2],
        "[0.1,1]",
        &[f16::from_f32(0.1).to_le_bytes(), f16::ONE.to_le_bytes()].concat(),
    );
    accept(Datatype::Bf16, &[1], "[0.1]", &bf16::from_f64(0.1).to_le_bytes());
    accept(
        Datatype::Fp32,
        &[2],
        "[0.1,-2e3]",
        &[0.1_f32.to_le_bytes(), (-2e3_f32).to_le_bytes()].concat(),
    );
    accept(Datatype::Fp64, &[1], "[0.1]", &0.1_f64.to_le_bytes());
    accept(
        Datatype::Bytes,
        &[2],
        r#"["ab",""]"#,
        &[2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0],
    );
}

#[test]
fn nesting_agrees_with_the_shape_or_is_flat() {
    let four = [1, 2, 3, 4];
    for data in ["[1,2,3,4]", "[[1,2],[3,4]]", " [ [ 1 , 2 ] ,\n[3,4] ] "] {
        accept(Datatype::Uint8, &[2, 2], data, &four);
    }
    accept(Datatype::Uint8, &[2, 1, 2], "[[[1,2]],[[3,4]]]", &four);
    accept(Datatype::Uint8, &[], "7", &[7]);
    accept(Datatype::Uint8, &[], "[7]", &[7]);
    accept(Datatype::Uint8, &[0], "[]", &[]);
    accept(Datatype::Uint8, &[2, 0], "[[],[]]", &[]);
    accept(Datatype::Uint8, &[2, 0], "[]", &[]);
    accept(Datatype::Uint8, &[0, 1 << 40], "[]", &[]);

    reject(
        Datatype::Uint8,
        &[4],
        "[[1,2],[3,4]]",
        "data is nested, but shape [4] has 1 dimensions",
    );
    reject(
        Datatype::Uint8,
        &[2, 2],
        "[[1,2],[3]]",
        "dimension 1 of shape [2, 2] is 2, but an array of data has 1",
    );
    reject(Datatype::Uint8, &[2, 2], "[[1,2],[3,4,5]]", "has more elements");
    reject(
        Datatype::Uint8,
        &[2, 2],
        "[[1,2],[3,4],[5,6]]",
        "dimension 0 of shape [2, 2] is 2",
    );
    reject(
        Datatype::Uint8,
        &[2, 2],
        "[[1,2],3]",
        "nested to 1 levels somewhere",
    );
    reject(Datatype::Uint8, &[2, 2], "[1,[2,3],4]", "a number is expected");
    reject(
        Datatype::Uint8,
        &[2, 2, 1],
        "[[1,2],[3,4]]",
        "nested to 2 levels somewhere",
    );
    let deep = "[".repeat(10) + "1" + &"]".repeat(10);
    reject(
        Datatype::Uint8,
        &[1, 1],
        &deep,
        "nested deeper than the 2 levels of shape [1, 1]",
    );
    reject(
        Datatype::Uint8,
        &[1, 1],
        &"[".repeat(100_000),
        "nested deeper than the 2 levels",
    );
    reject(Datatype::Uint8, &[1], "7", "data must be an array");
    reject(Datatype::Uint8, &[1], "{}", "data must be an array");
}

#[test]
fn counts_are_the_product_of_the_shape() {
    reject(
        Datatype::Fp32,
        &[3],
        "[1,2]",
        "shape [3] takes 3 elements, but data has 2",
    );
    reject(
        Datatype::Fp32,
        &[3],
        "[1,2,3,4]",
        "shape [3] takes 3 elements, but data has more",
    );
    reject(
        Datatype::Bytes,
        &[2],
        r#"["a"]"#,
        "takes 2 elements, but data has 1",
    );
    reject(
        Datatype::Bytes,
        &[1],
        r#"["a","b"]"#,
        "takes 1 elements, but data has more",
    );
    reject(Datatype::Fp32, &[-1, 2], "[1,2]", "negative dimension");
    reject(Datatype::Fp32, &[0, -1], "[]", "negative dimension");
    reject(
        Datatype::Fp32,
        &[i64::MAX, 4],
        "[1]",
        "more elements than can be counted",
    );
}

#[test]
fn a_declared_gigabyte_is_refused_before_anything_is_allocated() {
    reject(
        Datatype::Fp32,
        &[1 << 28],
        "[1]",
        "takes 268435456 elements, but data has 1",
    );
    reject(
        Datatype::Fp64,
        &[i64::MAX / 8],
        "[1,2]",
        "elements, but data has 2",
    );
    reject(
        Datatype::Bytes,
        &[1 << 30],
        r#"["a"]"#,
        "elements, but data has 1",
    );
    // Text that is long enough meets the limit before it is parsed.
    let long = " ".repeat(300_000);
    reject(
        Datatype::Fp64,
        &[140_000],
        &long,
        "FP64 of shape [140000] takes more than the limit of 1048576 bytes",
    );
    let strings = format!("[{}]", vec![r#""0123456789""#; 100_000].join(","));
    reject(
        Datatype::Bytes,
        &[100_000],
        &strings,
        "more than the limit of 1048576 bytes",
    );
}

#[test]
fn buffers_follow_the_body_not_the_shape() {
    for elements in [1, 1 << 17, usize::MAX] {
        let shape = [i64::MAX];
        let expected = Expected {
            datatype: Datatype::Fp64,
            shape: &shape,
            elements,
            base64: false,
            limit: 1 << 20,
        };
        let room = room(&Cursor::new(b"[1]"), 8, &expected).expect("within the limit");
        assert!(room <= 16, "{room}");
    }
}

#[test]
fn values_must_be_of_the_datatype() {
    reject(Datatype::Uint8, &[1], "[256]", "256 is out of the range of UINT8");
    reject(Datatype::Uint8, &[1], "[-1]", "-1 is out of the range of UINT8");
    reject(Datatype::Int8, &[1], "[128]", "out of the range of INT8");
    reject(Datatype::Int32, &[1], "[1.0]", "1.0 is not an integer");
    reject(Datatype::Int32, &[1], "[1e2]", "1e2 is not an integer");
    reject(
        Datatype::Int64,
        &[1],
        "[9223372036854775808]",
        "out of the range of INT64",
    );
    reject(
        Datatype::Fp16,
        &[1],
        "[65520]",
        "65520 is out of the range of FP16",
    );
    reject(Datatype::Fp32, &[1], "[1e39]", "1e39 is out of the range of FP32");
    reject(Datatype::Fp32, &[1], "[NaN]", "NaN and Infinity are not JSON");
    reject(
        Datatype::Fp64,
        &[1],
        "[-Infinity]",
        "NaN and Infinity are not JSON",
    );
    reject(Datatype::Fp32, &[1], r#"["1"]"#, "a number is expected");
    reject(Datatype::Fp32, &[1], "[null]", "a number is expected");
    reject(Datatype::Bool, &[1], "[1]", "true or false is expected");
    reject(Datatype::Bytes, &[1], "[1]", "elements of BYTES are strings");
}

#[test]
fn strings_may_be_arrays_of_byte_values() {
    let raw = [1, 0, 0, 0, 65, 2, 0, 0, 0, 66, 255];
    accept(Datatype::Bytes, &[2], "[[65],[66,255]]", &raw);
    accept(Datatype::Bytes, &[2, 1], "[[65],[66,255]]", &raw);
    accept(Datatype::Bytes, &[2, 1], "[[[65]],[[66,255]]]", &raw);
    accept(Datatype::Bytes, &[2, 1], r#"[["A"],[[66,255]]]"#, &raw);
    accept(Datatype::Bytes, &[1], "[[]]", &[0; 4]);
    accept(Datatype::Bytes, &[2, 0], "[[],[]]", &[]);
    reject(Datatype::Bytes, &[1], "[[256]]", "256 is not a byte value");
    reject(
        Datatype::Bytes,
        &[1],
        "[[[65]]]",
        "data is nested, but shape [1] has 1 dimensions",
    );
}

#[test]
fn escapes_in_strings_are_code_units() {
    accept(
        Datatype::Bytes,
        &[1],
        r#"["\u00e9\ud83d\ude00"]"#,
        &[6, 0, 0, 0, 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80],
    );
    reject(Datatype::Bytes, &[1], r#"["\ud83d"]"#, "invalid JSON");
}
