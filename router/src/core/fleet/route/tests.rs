use super::{
    super::{
        Failure, NoPlace, PeerLoad,
        world::{Case, HOUR, MINUTE, NOW, SECOND, copies, fleet, full, instance, says},
    },
    Decision, Origin, Own, Why,
};

/// Four empty instances; the first one decides.
fn case() -> Case {
    Case::new(fleet(["a", "b", "c", "d"].map(instance)))
}

const EXTERNAL: Origin = Origin::External { balanced: false };
const BALANCED: Origin = Origin::External { balanced: true };

#[test]
fn an_own_copy_serves_also_callers_that_do_not_spread_their_requests() {
    for origin in [EXTERNAL, BALANCED, Origin::Hit, Origin::Load] {
        let mut case = case();
        case.own = Own::Loaded;
        case.copies = copies(&[(0, NOW - HOUR), (1, NOW - HOUR)]);
        case.origin = origin;
        assert_eq!(case.route(), Decision::Here, "{origin:?}");
    }
}

#[test]
fn an_own_copy_hands_over_only_when_it_is_clearly_busier() {
    let mut case = case();
    case.own = Own::Loaded;
    case.copies = copies(&[(0, NOW - HOUR), (1, NOW - HOUR)]);
    case.loads = vec![(1, says(10))];
    for (in_flight, expected) in [(10, Decision::Here), (20, Decision::Here), (21, Decision::Hit(1))] {
        case.own_in_flight = in_flight;
        assert_eq!(case.route(), expected, "{in_flight}");
    }
    case.loads = vec![(1, says(0))];
    for (in_flight, expected) in [(8, Decision::Here), (9, Decision::Hit(1))] {
        case.own_in_flight = in_flight;
        assert_eq!(case.route(), expected, "{in_flight}");
    }
    case.origin = BALANCED;
    assert_eq!(
        case.route(),
        Decision::Here,
        "balanced callers see to it themselves"
    );
}

#[test]
fn of_two_copies_the_less_busy_one_is_taken() {
    let mut case = case();
    case.copies = copies(&[(1, NOW - HOUR), (2, NOW - HOUR)]);
    case.loads = vec![(1, says(5)), (2, says(4))];
    for _ in 0..100 {
        assert_eq!(case.route(), Decision::Hit(2));
    }
}

#[test]
fn what_a_peer_said_long_ago_counts_for_nothing() {
    let mut case = case();
    case.copies = copies(&[(1, NOW - HOUR), (2, NOW - HOUR)]);
    let old = PeerLoad {
        at_ms: NOW - MINUTE,
        ..says(1_000)
    };
    case.loads = vec![(1, old), (2, says(1))];
    for _ in 0..100 {
        assert_eq!(case.route(), Decision::Hit(1));
    }
    let ours = PeerLoad { sent: 2, ..old };
    case.loads = vec![(1, ours), (2, says(1))];
    assert_eq!(
        case.route(),
        Decision::Hit(2),
        "but what was sent there and not answered does"
    );
}

#[test]
fn an_ejected_peer_is_the_last_choice() {
    let mut case = case();
    case.copies = copies(&[(1, NOW - HOUR), (2, NOW - HOUR)]);
    let ejected = PeerLoad {
        ejected: true,
        ..says(0)
    };
    case.loads = vec![(1, ejected), (2, says(500))];
    assert_eq!(case.route(), Decision::Hit(2));
    case.excluded = vec![2];
    assert_eq!(case.route(), Decision::Hit(1));
}

#[test]
fn a_loading_copy_is_waited_for_and_a_loaded_one_preferred() {
    let mut case = case();
    case.copies = copies(&[(1, NOW - SECOND), (2, NOW - 2 * SECOND)]);
    assert_eq!(case.route(), Decision::Hit(2), "the earlier load");
    case.own = Own::Loading {
        since_ms: NOW - 3 * SECOND,
    };
    assert_eq!(case.route(), Decision::Here, "the own load is the earliest");
    case.own = Own::Loading { since_ms: NOW };
    assert_eq!(case.route(), Decision::Hit(2));
    case.copies = copies(&[(1, NOW - HOUR), (0, NOW - 3 * SECOND)]);
    assert_eq!(case.route(), Decision::Hit(1), "probably loaded there");
}

#[test]
fn a_miss_is_loaded_where_there_is_room() {
    let mut case = Case::new(fleet([full("a", HOUR), full("b", HOUR), instance("c")]));
    assert_eq!(case.route(), Decision::LoadAt(2));
    case.this = 2;
    assert_eq!(case.route(), Decision::LoadHere);
    case.draining = true;
    assert_eq!(
        case.route(),
        Decision::LoadAt(0),
        "nothing is loaded where it ends soon"
    );
}

#[test]
fn a_registered_copy_that_is_gone_from_here_is_loaded_again() {
    let mut case = Case::new(fleet([instance("a")]));
    case.copies = copies(&[(0, NOW - HOUR)]);
    assert_eq!(case.route(), Decision::LoadHere);
    case.max = 1;
    assert_eq!(
        case.route(),
        Decision::LoadHere,
        "its own old copy does not count"
    );
}

#[test]
fn copies_on_instances_that_are_not_there_do_not_serve() {
    let mut case = Case::new(fleet([instance("a"), instance("b")]));
    case.copies = copies(&[(7, NOW - HOUR)]);
    case.excluded = vec![1];
    assert_eq!(case.route(), Decision::LoadHere);
}

#[test]
fn a_hop_never_goes_on_further_than_one() {
    let mut case = case();
    case.copies = copies(&[(1, NOW - HOUR)]);
    case.origin = Origin::Hit;
    assert_eq!(case.route(), Decision::Refuse(Why::NotHere));
    case.origin = Origin::Load;
    assert_eq!(case.route(), Decision::Hit(1));
    case.excluded = vec![1];
    assert_eq!(case.route(), Decision::LoadHere);
    case.draining = true;
    assert_eq!(case.route(), Decision::Refuse(Why::Draining));
}

#[test]
fn three_fresh_failures_end_the_tries() {
    let mut case = case();
    let failure = |instance, ago| Failure {
        instance,
        at_ms: NOW - ago,
    };
    case.failures = vec![failure(1, SECOND), failure(2, MINUTE)];
    let decision = case.route();
    assert!(
        matches!(decision, Decision::LoadHere | Decision::LoadAt(3)),
        "elsewhere at once: {decision:?}"
    );
    case.failures.push(failure(3, HOUR));
    assert!(!matches!(case.route(), Decision::Refuse(_)), "one is expired");
    case.failures.push(failure(9, 2 * SECOND));
    let failed = Why::Failed { places: 3, last: 1 };
    assert_eq!(
        case.route(),
        Decision::Refuse(failed),
        "also on an instance that is gone"
    );
    case.copies = copies(&[(3, NOW - HOUR)]);
    assert_eq!(case.route(), Decision::Hit(3), "a copy serves all the same");
}

#[test]
fn a_model_that_failed_here_is_not_loaded_here_again() {
    let mut case = case();
    case.origin = Origin::Load;
    case.failures = vec![Failure {
        instance: 0,
        at_ms: NOW - SECOND,
    }];
    assert_eq!(case.route(), Decision::Refuse(Why::Failed { places: 1, last: 0 }));
}

#[test]
fn copies_that_cannot_serve_do_not_lead_to_ever_more() {
    let mut case = Case::new(fleet((0..9).map(|n| instance(&n.to_string()))));
    case.copies = copies(&[1, 2, 3, 4].map(|ix| (ix, NOW - HOUR)));
    case.excluded = vec![1, 2, 3, 4];
    assert!(!matches!(case.route(), Decision::Refuse(_)));
    case.copies = copies(&[1, 2, 3, 4, 5].map(|ix| (ix, NOW - HOUR)));
    case.excluded = vec![1, 2, 3, 4, 5];
    assert_eq!(case.route(), Decision::Refuse(Why::Fruitless { places: 5 }));
}

#[test]
fn a_bound_on_copies_holds_while_they_stand() {
    let mut case = case();
    case.max = 1;
    let mut lonely = instance("b");
    lonely.peer = None;
    case.fleet = fleet([instance("a"), lonely]);
    case.copies = copies(&[(1, NOW - HOUR)]);
    assert_eq!(
        case.route(),
        Decision::Refuse(Why::AtMaximum),
        "nobody can reach the only copy"
    );
    case.excluded = vec![1];
    assert_eq!(case.route(), Decision::LoadHere, "it was tried and is not there");
}

#[test]
fn no_place_is_said_with_the_reason() {
    let mut case = Case::new(fleet([full("a", SECOND)]));
    let churn = NoPlace::Churn {
        min_age_ms: 5 * MINUTE,
    };
    assert_eq!(case.route(), Decision::Refuse(Why::NoPlace(churn)));
    case.excluded = vec![0];
    assert_eq!(case.route(), Decision::Refuse(Why::NoPlace(NoPlace::NoneLeft)));
}
