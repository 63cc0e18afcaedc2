use super::*;
use crate::wire::framing::frame;

const LIMIT: usize = 1 << 20;

fn complete(message: &[u8], budget: &Arc<ReplayBudget>) -> RequestBody {
    RequestBody::complete(frame(message), LIMIT, budget.clone()).expect("a valid body")
}

#[test]
fn plays_again() {
    let budget = ReplayBudget::new(100);
    let mut body = complete(b"abc", &budget);
    assert_eq!(body.next_held(), Some(frame(b"abc")));
    assert!(body.is_finished());
    assert_eq!(body.next_held(), None);
    assert!(body.rewind());
    assert_eq!(body.next_held(), Some(frame(b"abc")));
}

#[test]
fn the_budget_is_shared_and_given_back() {
    let budget = ReplayBudget::new(10);
    let mut kept = complete(b"abc", &budget);
    let mut not_kept = complete(b"def", &budget);
    assert_eq!(
        not_kept.next_held(),
        Some(frame(b"def")),
        "what is not kept is still sent"
    );
    assert!(!not_kept.rewind());
    kept.settle();
    assert!(!kept.rewind());
    assert!(
        complete(b"ghi", &budget).rewind(),
        "settling gave the budget back"
    );
    drop((kept, not_kept));
    let all = complete(b"01234", &budget);
    drop(all);
    assert_eq!(budget.0.load(Ordering::Relaxed), 10);
}

#[test]
fn framing_is_checked() {
    let budget = ReplayBudget::new(0);
    let code = |bytes: &'static [u8]| {
        let body = RequestBody::complete(Bytes::from_static(bytes), 4, budget.clone());
        body.expect_err("refused").code
    };
    assert_eq!(code(&[0, 0, 0, 0, 5, 1, 1, 1, 1, 1]), Code::ResourceExhausted);
    assert_eq!(code(&[0, 0, 0, 0, 2, 1]), Code::Internal);
    assert_eq!(code(&[9, 0, 0, 0, 0]), Code::Internal);
}

#[test]
fn peeking_does_not_consume() {
    let mut body = complete(b"abc", &ReplayBudget::new(100));
    let seen = body.peek(|prefix, message| Ok(Some((prefix.length, message.to_vec()))));
    assert_eq!(seen, Ok(Some((3, b"abc".to_vec()))));
    assert_eq!(body.next_held(), Some(frame(b"abc")));
    let mut empty = RequestBody::complete(Bytes::new(), LIMIT, ReplayBudget::new(0)).expect("valid");
    assert_eq!(empty.peek(|_, _| Ok(Some(()))), Ok(None));
}

#[test]
fn tiny_chunks_do_not_pile_up() {
    let message = vec![7; 10_000];
    let framed = frame(&message);
    let budget = ReplayBudget::new(1 << 20);
    let mut body = RequestBody::empty(LIMIT, budget.clone());
    for byte in &framed {
        body.accept(Bytes::copy_from_slice(&[*byte])).expect("valid");
    }
    assert!(
        body.count() <= 1 + framed.len() / (SMALL / 2),
        "{} chunks",
        body.count()
    );
    for _ in 0..2 {
        let mut sent = Vec::new();
        while let Some(chunk) = body.next_held() {
            sent.extend_from_slice(&chunk);
        }
        assert_eq!(sent, framed, "nothing is lost or moved");
        assert!(body.rewind());
    }
    // A chunk that was given out is not grown afterwards.
    let mut body = RequestBody::empty(LIMIT, budget);
    let mut sent = Vec::new();
    for byte in &framed {
        body.accept(Bytes::copy_from_slice(&[*byte])).expect("valid");
        while let Some(chunk) = body.next_held() {
            sent.extend_from_slice(&chunk);
        }
    }
    assert_eq!(sent, framed);
}
