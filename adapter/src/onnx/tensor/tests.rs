use proptest::prelude::*;

use super::*;

#[test]
fn counting_never_overflows() {
    assert_eq!(element_count(&[]), Some(1));
    assert_eq!(element_count(&[2, 3]), Some(6));
    assert_eq!(element_count(&[usize::MAX, 2, 0]), Some(0));
    assert_eq!(element_count(&[usize::MAX, 2]), None);
}

#[test]
fn an_element_that_claims_too_much_is_truncated() {
    let raw = Bytes::from_static(&[1, 0, 0, 0, b'a', 0xff, 0xff, 0xff, 0xff, b'b']);
    assert_eq!(split_bytes(&raw, 2), Err(BytesError::Truncated { element: 1 }));
    // A huge expectation reserves nothing.
    assert_eq!(
        split_bytes(&Bytes::new(), usize::MAX),
        Err(BytesError::Count {
            expected: usize::MAX,
            got: 0
        })
    );
}

#[test]
fn narrow_integers_are_checked() {
    let contents = InferTensorContents {
        int_contents: vec![0, -129],
        ..Default::default()
    };
    let error = contents_to_raw(Datatype::Int8, &contents).unwrap_err();
    assert_eq!(
        error,
        ContentsError::Range {
            element: 1,
            datatype: Datatype::Int8
        }
    );
    let (count, raw) = contents_to_raw(Datatype::Int16, &contents).unwrap();
    assert_eq!((count, &raw[..]), (2, &[0, 0, 0x7f, 0xff][..]));
}

proptest! {
    #[test]
    fn split_undoes_join(elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..8)) {
        let raw = join_bytes(&elements).unwrap();
        let split = split_bytes(&raw, elements.len()).unwrap();
        prop_assert_eq!(split, elements.into_iter().map(Bytes::from).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_split_or_fail(raw in prop::collection::vec(any::<u8>(), 0..64), expected in 0_usize..9) {
        let raw = Bytes::from(raw);
        if let Ok(elements) = split_bytes(&raw, expected) {
            prop_assert_eq!(elements.len(), expected);
            prop_assert_eq!(join_bytes(&elements), Some(raw));
        }
    }
}
