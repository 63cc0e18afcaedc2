use proptest::prelude::*;

use super::*;

#[test]
fn refuses_early() {
    let mut meter = Meter::new(10);
    assert_eq!(meter.feed(&[0, 0, 0, 0]), Ok(()));
    assert_eq!(
        meter.feed(&[11]),
        Err(FramingError::TooLarge {
            length: 11,
            limit: 10
        })
    );
    assert_eq!(Meter::new(10).feed(&[2, 0, 0, 0, 0]), Err(FramingError::Flag(2)));
}

#[test]
fn knows_where_a_body_may_end() {
    let mut meter = Meter::new(10);
    assert_eq!(meter.finish(), Ok(()));
    meter.feed(&[0, 0]).expect("part of a prefix");
    assert_eq!(meter.finish(), Err(FramingError::Truncated));
    meter.feed(&[0, 0, 2, 7]).expect("part of a message");
    assert_eq!(meter.finish(), Err(FramingError::Truncated));
    meter.feed(&[7]).expect("the rest");
    assert_eq!(meter.finish(), Ok(()));
}

proptest! {
    #[test]
    fn any_split_is_the_same(lengths in proptest::collection::vec(0_usize..40, 0..6), cuts in proptest::collection::vec(1_usize..20, 0..30)) {
        let body: Vec<u8> = lengths.iter().flat_map(|n| frame(&vec![7; *n]).to_vec()).collect();
        let mut meter = Meter::new(40);
        let mut rest = &body[..];
        for cut in cuts {
            let (chunk, tail) = rest.split_at(cut.min(rest.len()));
            prop_assert_eq!(meter.feed(chunk), Ok(()));
            rest = tail;
        }
        prop_assert_eq!(meter.feed(rest), Ok(()));
        prop_assert_eq!(meter.finish(), Ok(()));
    }
}
