use super::{Scenario, run, shrink};

/// Seeds that every run of the tests looks at. `make sim` looks at as many as one likes.
const SEEDS: u64 = 100;
const THREADS: usize = 4;

#[test]
fn what_must_hold_holds_for_hundreds_of_seeds() {
    let check = |first: u64| {
        for seed in (first..SEEDS).step_by(THREADS) {
            if let Err(violation) = run(&Scenario::of_seed(seed)) {
                panic!("{}", shrink(violation));
            }
        }
    };
    std::thread::scope(|scope| {
        for first in (0..SEEDS).take(THREADS) {
            scope.spawn(move || check(first));
        }
    });
}

#[test]
fn a_mistake_is_found_and_brought_down_to_what_matters() {
    // A router that is certain of its session for longer than it lives goes on as the leader when another has begun.
    let careless = |seed| Scenario {
        certain_ms: 120_000,
        ..Scenario::of_seed(seed)
    };
    let found = (0..SEEDS).find_map(|seed| run(&careless(seed)).err());
    let violation = found.expect("two leaders at once");
    assert!(violation.what.contains("both lead"), "{violation}");
    let before = violation.scenario.clone();
    let small = shrink(violation);
    assert!(small.what.contains("lead"), "{small}");
    let size = |scenario: &Scenario| (scenario.faults.len(), scenario.models, scenario.requests);
    assert!(size(&small.scenario) < size(&before), "{small}");
    assert!(
        !small.scenario.faults.is_empty() && small.scenario.faults.len() <= 2,
        "{small}"
    );
    let again = run(&small.scenario).expect_err("the same course");
    assert_eq!((again.at, &again.what), (small.at, &small.what));
}

#[test]
fn the_same_seed_takes_the_same_course() {
    for seed in 0..5 {
        let scenario = Scenario::of_seed(seed);
        let [first, second] = [(); 2].map(|()| run(&scenario).expect("no violation"));
        assert_eq!(
            (first.events, first.served, first.hops),
            (second.events, second.served, second.hops)
        );
        assert!(first.served > 0);
    }
}
