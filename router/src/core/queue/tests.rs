use proptest::{collection::vec, prelude::*};

use super::{AGING_MS, Full, LoadQueue, Urgency};

fn awaited(since: u64) -> Urgency {
    Urgency::Awaited { since }
}

fn background(last_used: u64) -> Urgency {
    Urgency::Background { last_used }
}

fn drain(queue: &mut LoadQueue, now: u64) -> Vec<u64> {
    std::iter::from_fn(|| {
        let next = queue.pop(now)?;
        queue.done();
        Some(next)
    })
    .collect()
}

#[test]
fn waiters_come_first_oldest_first_then_the_most_recently_used() {
    let mut queue = LoadQueue::new(10, 1);
    for (generation, urgency) in [
        (1, background(5)),
        (2, awaited(30)),
        (3, background(9)),
        (4, awaited(20)),
    ] {
        assert_eq!(queue.push(generation, urgency, 40), Ok(None));
    }
    assert_eq!(drain(&mut queue, 40), [4, 2, 3, 1]);
}

#[test]
fn a_queued_load_gains_and_loses_waiters() {
    let mut queue = LoadQueue::new(10, 1);
    for generation in 1..=3 {
        assert_eq!(queue.push(generation, background(generation), 0), Ok(None));
    }
    queue.set_urgency(1, awaited(7));
    queue.set_urgency(3, awaited(8));
    queue.set_urgency(3, background(0));
    queue.set_urgency(9, awaited(1));
    assert_eq!(drain(&mut queue, 10), [1, 2, 3]);
}

#[test]
fn background_loads_age_into_the_line_of_waiters() {
    let mut queue = LoadQueue::new(10, 1);
    assert_eq!(queue.push(1, background(0), 0), Ok(None));
    let late = AGING_MS + 1;
    assert_eq!(queue.push(2, awaited(AGING_MS - 1), AGING_MS - 1), Ok(None));
    assert_eq!(queue.push(3, awaited(late), late), Ok(None));
    assert_eq!(drain(&mut queue, late), [2, 1, 3]);
}

#[test]
fn turns_are_bounded() {
    let mut queue = LoadQueue::new(10, 2);
    for generation in 1..=3 {
        assert_eq!(queue.push(generation, awaited(generation), 0), Ok(None));
    }
    assert_eq!(
        (queue.pop(0), queue.pop(0), queue.pop(0)),
        (Some(1), Some(2), None)
    );
    queue.done();
    assert_eq!((queue.pop(0), queue.running()), (Some(3), 2));
}

#[test]
fn a_full_queue_makes_place_for_waiters_only() {
    let mut queue = LoadQueue::new(2, 1);
    assert_eq!(queue.push(1, background(9), 0), Ok(None));
    assert_eq!(queue.push(2, background(5), 0), Ok(None));
    assert_eq!(queue.push(3, background(10), 0), Err(Full));
    assert_eq!(
        queue.push(4, awaited(1), 1),
        Ok(Some(2)),
        "the one that would come last"
    );
    assert_eq!(queue.push(5, awaited(1), 1), Ok(Some(1)));
    assert_eq!(queue.push(6, awaited(1), 1), Err(Full));
    assert_eq!(drain(&mut queue, 1), [4, 5]);
}

proptest! {
    /// However many newer waiters arrive, a load has its turn after those that were in line before it was due.
    #[test]
    fn nothing_starves(
        before in vec(0_u64..1000, 0..20),
        kind in any::<bool>(),
        gaps in vec(1_u64..5_000, 100),
    ) {
        let mut queue = LoadQueue::new(1_000, 1);
        let mut generation = 1;
        for since in &before {
            queue.push(generation, awaited(*since), 1_000).unwrap();
            generation += 1;
        }
        let watched = generation;
        queue.push(watched, if kind { background(0) } else { awaited(1_000) }, 1_000).unwrap();
        let due = 1_000 + if kind { AGING_MS } else { 0 };
        let (mut now, mut ahead) = (1_000, before.len());
        let mut turns = 0;
        for gap in gaps {
            // One turn for every two new waiters: the line only grows.
            for _ in 0..2 {
                generation += 1;
                queue.push(generation, awaited(now), now).unwrap();
                ahead += usize::from(now <= due);
            }
            now += gap;
            turns += 1;
            let next = queue.pop(now).unwrap();
            queue.done();
            if next == watched {
                prop_assert!(turns <= ahead + 1);
                return Ok(());
            }
        }
        prop_assert!(now < due || turns <= ahead, "never had its turn");
    }
}
