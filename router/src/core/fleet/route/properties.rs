//! Whatever the routers believe about each other, a request ends, after two hops at most.

use proptest::prelude::*;

use super::{
    super::{
        Rng,
        world::{Case, NOW, SECOND, copies, fleet, full, instance, says},
    },
    Decision, Origin, Own,
};

const ROUTERS: u32 = 6;

/// What one router believes, at random.
fn belief(this: u32, seed: u64) -> Case {
    let mut rng = Rng::new(seed ^ u64::from(this).wrapping_mul(0x5851_f42d));
    let mut case = Case::new(fleet((0..ROUTERS).map(|n| {
        let mut one = if rng.chance(500_000) {
            instance(&n.to_string())
        } else {
            full(&n.to_string(), rng.below(1_000) * SECOND)
        };
        one.shutting_down = rng.chance(100_000);
        one.peer = one.peer.filter(|_| rng.chance(900_000));
        one
    })));
    case.this = this;
    let holders: Vec<_> = (0..ROUTERS).filter(|_| rng.chance(400_000)).collect();
    let since = holders.iter().map(|ix| (*ix, NOW - rng.below(20) * SECOND));
    case.copies = copies(&since.collect::<Vec<_>>());
    case.loads = (0..ROUTERS)
        .map(|ix| (ix, says(u32::try_from(rng.below(50)).unwrap())))
        .collect();
    case.own = match rng.below(3) {
        0 => Own::Absent,
        1 => Own::Loading {
            since_ms: NOW - rng.below(20) * SECOND,
        },
        _ => Own::Loaded,
    };
    case.own_in_flight = u32::try_from(rng.below(100)).unwrap();
    case.draining = rng.chance(200_000);
    case.max = u32::try_from(rng.below(4)).unwrap();
    case.rng = rng;
    case
}

proptest! {
    #[test]
    fn a_request_makes_two_hops_at_most(seed: u64, start in 0..ROUTERS, balanced: bool) {
        let mut at = start;
        let mut origin = Origin::External { balanced };
        let mut tried = Vec::new();
        let mut hops = 0;
        loop {
            let mut case = belief(at, seed);
            case.origin = origin;
            case.excluded.clone_from(&tried);
            let (next, mode) = match case.route() {
                Decision::Hit(next) => (next, Origin::Hit),
                Decision::LoadAt(next) => (next, Origin::Load),
                Decision::Here => {
                    prop_assert_ne!(case.own, Own::Absent);
                    break;
                }
                Decision::LoadHere => {
                    prop_assert_eq!(case.own, Own::Absent);
                    prop_assert!(!case.draining);
                    break;
                }
                Decision::Refuse(_) => break,
            };
            prop_assert_ne!(next, at, "never to itself");
            prop_assert!(!tried.contains(&next), "never to one that was tried");
            prop_assert!(case.fleet.get(next).is_some_and(|one| one.peer.is_some()));
            if mode == Origin::Load {
                prop_assert!(matches!(origin, Origin::External { .. }), "only a client's request is passed on to be loaded");
            }
            tried.push(at);
            (at, origin) = (next, mode);
            hops += 1;
            prop_assert!(hops <= 2);
        }
    }

    /// A client's request that is refused everywhere it goes is tried elsewhere: each try at another place, so it ends.
    #[test]
    fn tries_end(seed: u64, start in 0..ROUTERS, balanced: bool) {
        let mut excluded = Vec::new();
        for _ in 0..=ROUTERS {
            let mut case = belief(start, seed);
            case.origin = Origin::External { balanced };
            case.excluded.clone_from(&excluded);
            match case.route() {
                Decision::Hit(next) | Decision::LoadAt(next) => excluded.push(next),
                Decision::Here | Decision::LoadHere => excluded.push(start),
                Decision::Refuse(_) => return Ok(()),
            }
        }
        prop_assert!(false, "tried {:?}", excluded);
    }
}
