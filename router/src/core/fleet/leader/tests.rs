use super::{
    super::{
        Copy, Failure, Fleet, Instance, Ix, Model, Pin,
        world::{GIB, HOUR, MIB, MINUTE, NOW, SECOND, copies, fleet, full, instance},
    },
    Absences, GONE_MS, Pointer, Proactive, Side, Transition, elected, transition,
};
use crate::model::ModelId;

const EXPIRY: u64 = 15 * MINUTE;
const NOBODY: [Ix; 0] = [];
const NOTHING: [usize; 0] = [];

fn model<'a>(copies: &'a [Copy], failures: &'a [Failure], last_used_ms: u64) -> Model<'a> {
    Model {
        kind: "onnx",
        copies,
        failures,
        last_used_ms,
        min: 0,
        max: 0,
        pinned: &[],
        size: None,
    }
}

#[test]
fn the_oldest_latch_leads() {
    assert_eq!(elected([("_b", 7), ("_a", 9), ("_c", 8)]), Some("_b"));
    assert_eq!(elected(std::iter::empty()), None);
}

#[test]
fn an_instance_is_pruned_ten_minutes_after_it_was_first_missed() {
    let three = fleet(["a", "b", "c"].map(instance));
    let one = fleet([instance("a")]);
    let held = copies(&[(0, NOW), (1, NOW)]);
    let failed = [Failure {
        instance: 2,
        at_ms: NOW,
    }];
    let model = model(&held, &failed, NOW);
    let mut absences = Absences::new();
    assert_eq!(absences.gone(&model, &one, NOW), NOBODY);
    assert_eq!(absences.gone(&model, &one, NOW + GONE_MS - 1), NOBODY);
    assert_eq!(absences.gone(&model, &one, NOW + GONE_MS), [1, 2], "failures too");
    absences.see(&three);
    assert_eq!(absences.gone(&model, &three, NOW + GONE_MS), NOBODY);
    assert_eq!(absences.gone(&model, &one, NOW + GONE_MS), NOBODY, "missed anew");
}

fn offered(fleet: &Fleet, models: impl IntoIterator<Item = (usize, u64)>) -> Vec<usize> {
    let mut proactive = Proactive::new(fleet, 10 * MIB, NOW);
    for (id, used_ago) in models {
        let id = ModelId::from(id.to_string().as_str());
        let wanted = proactive.offer(&id, &model(&[], &[], NOW - used_ago), fleet, EXPIRY, NOW);
        assert!(!wanted);
    }
    proactive
        .finish()
        .into_iter()
        .map(|one| one.model.parse().unwrap())
        .collect()
}

#[test]
fn free_memory_is_filled_with_what_was_used_last() {
    // 7/8 of a GiB of 10 MiB each, and half of that in one walk.
    let empty = fleet([instance("a")]);
    let chosen = offered(&empty, (0..1_000).map(|n| (n, n as u64 * SECOND)));
    assert_eq!(chosen, (0..44).collect::<Vec<_>>());
}

#[test]
fn models_of_the_same_moment_are_all_considered() {
    // Upstream keeps them in a set by time and so forgets all but one.
    let empty = fleet([instance("a")]);
    assert_eq!(offered(&empty, (0..30).map(|n| (n, HOUR))).len(), 30);
}

#[test]
fn a_full_fleet_takes_only_what_is_much_newer_and_little_of_it() {
    let full = fleet([full("a", 10 * HOUR)]);
    let chosen = offered(&full, (0..100).map(|n| (n, n as u64 * 6 * MINUTE)));
    assert_eq!(chosen, (0..5).collect::<Vec<_>>(), "a twentieth of the capacity");
    assert_eq!(
        offered(&full, (0..100).map(|n| (n, 7 * HOUR))),
        NOTHING,
        "not a third of the age newer"
    );
}

#[test]
fn what_is_there_or_failed_is_left_alone_and_the_minimum_is_always_loaded() {
    let empty = fleet([instance("a"), instance("b")]);
    let held = copies(&[(0, NOW)]);
    let gone = copies(&[(9, NOW)]);
    let failed = [0, 1].map(|instance| Failure { instance, at_ms: NOW });
    let pins = [Pin::new("a")];
    let id = ModelId::from("m");
    for (model, wanted, chosen) in [
        (model(&held, &[], NOW), false, 0),
        (model(&gone, &[], NOW), false, 1),
        (model(&[], &failed, NOW), false, 0),
        (model(&[], &failed[..1], NOW), false, 1),
        (
            Model {
                min: 1,
                ..model(&[], &[], NOW)
            },
            true,
            0,
        ),
        (
            Model {
                pinned: &pins,
                ..model(&[], &[], NOW)
            },
            true,
            0,
        ),
    ] {
        let mut proactive = Proactive::new(&empty, 10 * MIB, NOW);
        assert_eq!(
            proactive.offer(&id, &model, &empty, EXPIRY, NOW),
            wanted,
            "{model:?}"
        );
        assert_eq!(proactive.finish().len(), chosen, "{model:?}");
    }
}

#[test]
fn instances_that_leave_offer_nothing() {
    let leaving = Instance {
        shutting_down: true,
        ..instance("a")
    };
    assert_eq!(offered(&fleet([leaving]), [(1, HOUR)]), NOTHING);
    assert_eq!(GIB / 20 / (10 * MIB), 5);
}

struct Switch<'a> {
    active: &'a [u32],
    target: &'a [(u32, u64)],
    failures: usize,
    failed: bool,
}

fn check(switch: &Switch<'_>) -> Transition {
    let fleet = fleet((0..6).map(|n| instance(&n.to_string())));
    let active = copies(
        &switch
            .active
            .iter()
            .map(|ix| (*ix, NOW - HOUR))
            .collect::<Vec<_>>(),
    );
    let target = copies(
        &switch
            .target
            .iter()
            .map(|(ix, ago)| (*ix, NOW - ago))
            .collect::<Vec<_>>(),
    );
    let failures: Vec<_> = (3..)
        .take(switch.failures)
        .map(|instance| Failure { instance, at_ms: NOW })
        .collect();
    let side = |model| Side {
        model,
        assumed_load_ms: 10 * SECOND,
    };
    let (active, target) = (model(&active, &[], NOW), model(&target, &failures, NOW));
    let pointer = Pointer {
        active: side(&active),
        target: side(&target),
        failed: switch.failed,
    };
    transition(&pointer, &fleet, 3, EXPIRY, NOW)
}

#[test]
fn a_vmodel_switches_when_the_target_has_as_many_copies() {
    let none = Switch {
        active: &[0, 1],
        target: &[],
        failures: 0,
        failed: false,
    };
    for (switch, expected) in [
        (Switch { ..none }, Transition::Load { copies: 2 }),
        (
            Switch {
                target: &[(2, HOUR)],
                ..none
            },
            Transition::Load { copies: 1 },
        ),
        (
            Switch {
                target: &[(2, HOUR), (3, SECOND)],
                ..none
            },
            Transition::Wait,
        ),
        (
            Switch {
                target: &[(2, HOUR), (3, MINUTE)],
                ..none
            },
            Transition::Switch,
        ),
        (Switch { active: &[], ..none }, Transition::Switch),
        (Switch { active: &[9], ..none }, Transition::Switch),
        (Switch { failures: 2, ..none }, Transition::Load { copies: 2 }),
        (Switch { failures: 3, ..none }, Transition::Fail),
        (
            Switch {
                failures: 3,
                failed: true,
                ..none
            },
            Transition::Wait,
        ),
        (
            Switch {
                failures: 3,
                target: &[(0, SECOND)],
                ..none
            },
            Transition::Wait,
        ),
        (
            Switch {
                failures: 3,
                target: &[(0, HOUR)],
                ..none
            },
            Transition::Switch,
        ),
        (Switch { failed: true, ..none }, Transition::Load { copies: 2 }),
    ] {
        assert_eq!(
            check(&switch),
            expected,
            "{:?} {:?} {} {}",
            switch.active,
            switch.target,
            switch.failures,
            switch.failed
        );
    }
}
