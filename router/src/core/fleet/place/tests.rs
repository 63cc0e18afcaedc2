use super::{
    super::{
        Failure, Instance, Pin,
        world::{
            Case, GIB, HOUR, MIB, MINUTE, NOW, SECOND, constrained, copies, fleet, full, instance, labels,
            says,
        },
    },
    NoPlace, Purpose,
};

fn labelled(id: &str, names: &[&str]) -> Instance {
    Instance {
        labels: labels(names),
        ..instance(id)
    }
}

#[test]
fn free_room_comes_before_eviction() {
    let mut case = Case::new(fleet([full("a", 9 * HOUR), instance("b"), full("c", HOUR)]));
    assert_eq!(case.places(), [0, 1_000, 0]);
}

#[test]
fn a_full_fleet_evicts_what_is_old_and_does_not_always_ask_the_same_instance() {
    // Upstream judges every other instance by the record of the one that decides, and so sends all misses to the one
    // with the oldest model.
    let ages = [100, 95, 90, 80, 50, 1].map(|minutes| minutes * MINUTE);
    for this in 0..6 {
        let mut case = Case::new(fleet(ages.map(|age| full(&age.to_string(), age))));
        case.this = this;
        let counts = case.places();
        assert!(counts[..4].iter().all(|count| *count > 150), "{counts:?}");
        assert_eq!(counts[4..], [0, 0], "what is much younger is left alone");
    }
}

#[test]
fn loads_on_their_way_count_before_any_record_shows_them() {
    let mut case = Case::new(fleet(["a", "b", "c", "d"].map(instance)));
    let mut counts = [0_u32; 4];
    for _ in 0..80 {
        let ix = case.place().unwrap();
        case.ledger.add(ix, case.size, NOW);
        counts[ix as usize] += 1;
    }
    assert!(counts.iter().all(|count| (15..=25).contains(count)), "{counts:?}");
    for _ in 0..400 {
        let ix = case.place().unwrap_or(0);
        case.ledger.add(ix, case.size, NOW);
    }
    assert!(
        case.place().is_ok(),
        "promises are guesses: nobody is refused for them"
    );
    case.ledger.published(2, NOW + 1);
    assert_eq!(case.place(), Ok(2), "its record says that it has room");
}

#[test]
fn the_loading_queue_counts() {
    let busy = Instance {
        loading: 3,
        ..instance("a")
    };
    let mut case = Case::new(fleet([busy, instance("b")]));
    let counts = case.places();
    assert!(counts[1] > 700, "{counts:?}");
    case.loads = vec![(0, says(1)), (1, says(2))];
    case.fleet = fleet([instance("a"), instance("b")]);
    let counts = case.places();
    assert!(counts[0] > 700, "requests in flight decide a tie: {counts:?}");
}

#[test]
fn required_labels_are_required_and_preferred_ones_preferred() {
    let rules = r#"{"onnx": {"required": ["cpu"], "preferred": ["fast"]}}"#;
    let mut case = Case::new(constrained(
        [
            labelled("a", &["fast"]),
            labelled("b", &["cpu"]),
            labelled("c", &["cpu", "fast"]),
        ],
        rules,
    ));
    assert_eq!(case.places(), [0, 0, 1_000]);
    case.excluded = vec![2];
    assert_eq!(case.places(), [0, 1_000, 0]);
    case.excluded = vec![1, 2];
    assert_eq!(case.place(), Err(NoPlace::NoneLeft));
    case.fleet = constrained([instance("a")], rules);
    assert_eq!(case.place(), Err(NoPlace::NoneAllowed));
}

#[test]
fn a_preference_is_not_worth_a_much_younger_model() {
    let rules = r#"{"onnx": {"preferred": ["fast"]}}"#;
    let fast = |age| Instance {
        labels: labels(&["fast"]),
        ..full("a", age)
    };
    for (others, age, expected) in [
        (instance("b"), HOUR, 1),
        (full("b", 10 * HOUR), HOUR, 1),
        (full("b", 10 * HOUR), 8 * HOUR, 0),
    ] {
        let mut case = Case::new(constrained([fast(age), others], rules));
        assert_eq!(case.place(), Ok(expected), "{age}");
    }
}

#[test]
fn types_without_a_preference_leave_room_for_those_with_one() {
    let rules = r#"{"big": {"preferred": ["gpu"]}, "huge": {"required": ["gpu"]}}"#;
    let mut case = Case::new(constrained([labelled("a", &["gpu"]), instance("b")], rules));
    assert_eq!(case.places(), [0, 1_000]);
}

#[test]
fn the_leaving_and_the_replaced_get_nothing_new() {
    let leaving = Instance {
        shutting_down: true,
        ..instance("a")
    };
    let mut case = Case::new(fleet([leaving, full("b", HOUR)]));
    case.this = 1;
    assert_eq!(case.place(), Ok(1));
    let pods = |start_ms| {
        ["abcdef-11111", "abcdef-22222", "fedcba-33333"].map(|id| Instance {
            // Labels must not keep instances of one replica set from being seen as such.
            labels: labels(&["rt:onnx"]),
            start_ms: if id.starts_with('f') {
                start_ms
            } else {
                NOW - 24 * HOUR
            },
            ..instance(id)
        })
    };
    let mut case = Case::new(fleet(pods(NOW - MINUTE)));
    assert_eq!(case.places(), [0, 0, 1_000], "a newer replica set takes over");
    case.excluded = vec![2];
    assert!(case.place().is_ok(), "unless there is nothing else");
    let mut case = Case::new(fleet(pods(NOW - HOUR)));
    assert!(
        case.places().iter().all(|count| *count > 200),
        "both have been there for long"
    );
}

#[test]
fn newer_versions_come_first_unless_they_have_too_much_to_do() {
    let newer = Instance {
        version: 2,
        ..instance("b")
    };
    let mut case = Case::new(fleet([instance("a"), newer.clone()]));
    assert_eq!(case.places(), [0, 1_000]);
    let busy = Instance { loading: 64, ..newer };
    let mut case = Case::new(fleet([instance("a"), busy]));
    assert!(case.places()[0] > 700);
}

#[test]
fn further_copies_go_to_other_zones_and_nodes() {
    let at = |id: &str, zone: &str, node: &str| Instance {
        zone: zone.into(),
        location: node.into(),
        ..instance(id)
    };
    let mut case = Case::new(fleet([
        at("a", "z1", "n1"),
        at("b", "z1", "n2"),
        at("c", "z2", "n3"),
        at("d", "z2", "n4"),
        at("e", "z2", "n3"),
    ]));
    case.this = 1;
    case.purpose = Purpose::Further;
    case.copies = copies(&[(0, NOW - HOUR)]);
    let counts = case.places();
    assert_eq!(counts[..2], [0, 0], "{counts:?}");
    case.copies = copies(&[(0, NOW - HOUR), (1, NOW - HOUR), (2, NOW - HOUR)]);
    assert_eq!(
        case.places(),
        [0, 0, 0, 1_000, 0],
        "not beside a copy on the same node"
    );
}

#[test]
fn a_pinned_model_goes_where_it_is_pinned() {
    let mut case = Case::new(fleet([instance("a"), labelled("b", &["vip"]), full("c", HOUR)]));
    case.pinned = vec![Pin::new("vip")];
    assert_eq!(case.places(), [0, 1_000, 0]);
    case.pinned = vec![Pin::new("c")];
    assert_eq!(case.places(), [0, 0, 1_000]);
    case.excluded = vec![2];
    assert!(case.place().is_ok(), "elsewhere rather than nowhere");
}

#[test]
fn a_model_goes_where_it_fits() {
    let small = Instance {
        capacity: 100 * MIB,
        ..instance("a")
    };
    let mut case = Case::new(fleet([small, instance("b")]));
    case.size = 200 * MIB;
    assert_eq!(case.places(), [0, 1_000]);
    case.size = 2 * GIB;
    assert_eq!(case.place(), Err(NoPlace::TooLarge { size: 2 * GIB }));
}

#[test]
fn the_churn_guard_can_be_turned_off() {
    let mut case = Case::new(fleet([full("a", 4 * MINUTE), full("b", MINUTE)]));
    let churn = NoPlace::Churn {
        min_age_ms: 5 * MINUTE,
    };
    assert_eq!(case.place(), Err(churn));
    case.settings.min_churn_age = 0;
    assert_eq!(case.place(), Ok(0));
}

#[test]
fn a_load_that_nobody_waits_for_evicts_nothing_newer() {
    let mut case = Case::new(fleet([full("a", HOUR), full("b", 2 * HOUR)]));
    let worth = |age| Purpose::Background {
        last_used_ms: NOW - age,
    };
    case.purpose = worth(3 * HOUR);
    assert_eq!(case.place(), Err(NoPlace::NotWorthIt));
    case.purpose = worth(HOUR);
    assert_eq!(case.place(), Ok(1));
}

#[test]
fn a_failed_place_is_not_tried_again_until_the_failure_expires() {
    let mut case = Case::new(fleet([instance("a"), full("b", HOUR)]));
    case.failures = vec![Failure {
        instance: 0,
        at_ms: NOW - MINUTE,
    }];
    assert_eq!(case.place(), Ok(1));
    case.failures[0].at_ms = NOW - HOUR;
    assert_eq!(case.place(), Ok(0));
}

#[test]
fn balanced_callers_are_served_where_they_came_to_if_that_is_as_good() {
    let mut case = Case::new(fleet(["a", "b", "c"].map(instance)));
    case.this = 1;
    case.balanced = true;
    assert_eq!(case.places(), [0, 1_000, 0]);
    case.ledger.add(1, MIB, NOW - SECOND);
    assert!(case.places()[1] < 500, "a queue here makes others better");
}

#[test]
fn an_ejected_peer_gets_loads_only_when_drawn_against_itself() {
    let mut case = Case::new(fleet(["a", "b", "c", "d"].map(instance)));
    let mut bad = says(0);
    bad.ejected = true;
    case.loads = vec![(3, bad)];
    assert!(case.places()[3] < 150);
}
