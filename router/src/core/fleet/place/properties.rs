//! Whatever the fleet looks like, a place fulfils what must hold.

use proptest::prelude::*;

use super::super::{
    Failure, Instance, Rng,
    world::{Case, MIB, NOW, SECOND, constrained, copies, instance, labels},
};
use super::NoPlace;

const RULES: &str = r#"{"onnx": {"required": ["x"], "preferred": ["y"]}, "other": {"required": ["y"]}}"#;

fn fleet_of(count: u32, rng: &mut Rng) -> Vec<Instance> {
    let mut any = |id: u32| {
        let mut names = Vec::new();
        for (label, chance) in [("x", 700_000), ("y", 300_000)] {
            if rng.chance(chance) {
                names.push(label);
            }
        }
        let capacity = rng.below(200) * MIB;
        Instance {
            labels: labels(&names),
            capacity,
            used: rng.below(capacity + 1),
            lru_ms: if rng.chance(100_000) {
                u64::MAX
            } else {
                NOW - rng.below(10_000) * SECOND
            },
            version: rng.below(3),
            zone: rng.below(3).to_string().into(),
            loading: u32::try_from(rng.below(20)).unwrap(),
            shutting_down: rng.chance(100_000),
            peer: instance("").peer.filter(|_| rng.chance(900_000)),
            ..instance(&id.to_string())
        }
    };
    (0..count).map(&mut any).collect()
}

proptest! {
    #[test]
    fn what_must_hold_holds(seed: u64, count in 1_u32..30, this in 0_u32..30) {
        let mut rng = Rng::new(seed);
        let mut case = Case::new(constrained(fleet_of(count, &mut rng), RULES));
        case.this = this % count;
        let mut some = |chance| (0..count).filter(|_| rng.chance(chance)).collect::<Vec<_>>();
        case.excluded = some(100_000);
        let (held, failed) = (some(150_000), some(50_000));
        case.copies = copies(&held.iter().map(|ix| (*ix, NOW)).collect::<Vec<_>>());
        case.failures = failed.iter().map(|ix| Failure { instance: *ix, at_ms: NOW - SECOND }).collect();
        case.balanced = rng.chance(500_000);
        case.settings.min_churn_age = 0;
        case.size = rng.below(150) * MIB;
        case.rng = rng;
        let this = case.this;
        let allowed = |ix: u32| {
            let one = case.fleet.get(ix).unwrap();
            let open = if ix == this { true } else { !one.shutting_down && one.peer.is_some() && !held.contains(&ix) };
            open && one.capacity >= case.size
                && one.has_label("x")
                && !case.excluded.contains(&ix)
                && !failed.contains(&ix)
        };
        let allowed: Vec<_> = (0..count).filter(|ix| allowed(*ix)).collect();
        match case.place() {
            Ok(ix) => prop_assert!(allowed.contains(&ix), "{} of {:?}", ix, allowed),
            Err(NoPlace::NoneAllowed | NoPlace::NoneLeft | NoPlace::TooLarge { .. }) => {
                prop_assert!(allowed.is_empty(), "{:?}", allowed);
            }
            Err(other) => prop_assert!(false, "{:?}", other),
        }
    }
}
