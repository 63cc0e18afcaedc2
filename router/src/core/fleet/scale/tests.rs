use super::{
    super::{
        Copy, Fleet, Instance, Model, Pin,
        rates::{SLOT_MS, Usage},
        world::{HOUR, MINUTE, NOW, SECOND, constrained, copies, fleet, full, instance, labels},
    },
    Around, Fewer, Local, More, ScaleSettings, Scaling, scale,
};

struct Case {
    fleet: Fleet,
    copies: Vec<Copy>,
    usage: Usage,
    min: u32,
    max: u32,
    pinned: Vec<Pin>,
    concurrency: u32,
    used_ago: u64,
    settings: ScaleSettings,
}

/// One of six instances has the only copy, loaded long ago and not used.
fn case() -> Case {
    Case {
        fleet: fleet((0..6).map(|n| instance(&n.to_string()))),
        copies: copies(&[(0, NOW - 9 * HOUR)]),
        usage: Usage::default(),
        min: 0,
        max: 0,
        pinned: Vec::new(),
        concurrency: 0,
        used_ago: 0,
        settings: ScaleSettings::default(),
    }
}

impl Case {
    fn on(mut self, holders: &[u32]) -> Self {
        self.copies = copies(&holders.iter().map(|ix| (*ix, NOW - 9 * HOUR)).collect::<Vec<_>>());
        self
    }

    fn full(mut self, age: u64) -> Self {
        self.fleet = fleet((0..6).map(|n| full(&n.to_string(), age)));
        self
    }

    /// At this rate for so many minutes, until now.
    fn used(mut self, rpm: u32, minutes: u64) -> Self {
        let slots = minutes * 6;
        for slot in (0..slots).rev() {
            self.usage.note(
                rpm / 6,
                rpm / 6 * 100,
                self.settings.rpm_threshold * 3 / 4,
                NOW - slot * SLOT_MS,
            );
        }
        self
    }

    fn scale(&self) -> Option<Scaling> {
        let model = Model {
            kind: "onnx",
            copies: &self.copies,
            failures: &[],
            last_used_ms: NOW,
            min: self.min,
            max: self.max,
            pinned: &self.pinned,
            size: None,
        };
        let copy = Local {
            model: &model,
            usage: &self.usage,
            max_concurrency: self.concurrency,
            last_used_ms: NOW - self.used_ago,
            last_drop_ms: 0,
            assumed_load_ms: 10 * SECOND,
        };
        let around = Around {
            fleet: &self.fleet,
            this: 0,
            settings: &self.settings,
            now_ms: NOW,
        };
        scale(&copy, &around)
    }
}

fn add(copies: u32, why: More) -> Scaling {
    Scaling::Add { copies, why }
}

fn surplus(keep: u32) -> Scaling {
    let why = Fewer::Surplus;
    Scaling::Drop { keep, why }
}

#[test]
fn steady_use_earns_a_second_copy() {
    // Upstream's marks move with every active interval, so that a model that is used all the time never gets one.
    assert_eq!(case().used(6, 6).scale(), None, "not yet");
    assert_eq!(case().used(6, 9).scale(), Some(add(1, More::Pattern)));
    let mut two = case().on(&[0, 1]).used(6, 30);
    assert_eq!(two.scale(), None, "two are enough");
    two.copies.pop();
    two.max = 1;
    assert_eq!(two.scale(), None, "bounded");
}

#[test]
fn use_again_and_again_earns_a_second_copy() {
    let mut again = case();
    again.usage.note(1, 1, 1_500, NOW - 20 * MINUTE);
    assert_eq!(again.scale(), None);
    again.usage.note(1, 1, 1_500, NOW);
    assert_eq!(again.scale(), Some(add(1, More::Pattern)));
    again.fleet = fleet([instance("a")]);
    assert_eq!(again.scale(), None, "nowhere to go");
}

#[test]
fn a_second_copy_does_not_push_out_what_is_used() {
    assert_eq!(case().full(5 * HOUR).used(6, 30).scale(), None);
    assert_eq!(
        case().full(7 * HOUR).used(6, 30).scale(),
        Some(add(1, More::Pattern))
    );
}

#[test]
fn rates_add_as_many_copies_as_they_take() {
    assert_eq!(case().used(1_980, 2).scale(), None, "below the threshold");
    assert_eq!(case().used(2_004, 2).scale(), Some(add(1, More::Rate)));
    assert_eq!(
        case().used(9_000, 2).scale(),
        Some(add(1, More::Rate)),
        "a third of the fleet at once"
    );
    let mut large = case().used(9_000, 2);
    large.fleet = fleet((0..30).map(|n| instance(&n.to_string())));
    assert_eq!(large.scale(), Some(add(4, More::Rate)));
    large.max = 3;
    assert_eq!(large.scale(), Some(add(2, More::Rate)));
    let mut burst = case();
    burst.usage.note(2_000, 1, 1_500, NOW);
    assert_eq!(burst.scale(), None, "one slot is a burst");
}

#[test]
fn a_load_under_way_is_waited_for() {
    let mut loading = case().used(9_000, 2);
    loading.copies = copies(&[(0, NOW - 9 * HOUR), (1, NOW - 29 * SECOND)]);
    assert_eq!(loading.scale(), None);
    loading.copies = copies(&[(0, NOW - 9 * HOUR), (1, NOW - 31 * SECOND)]);
    assert_eq!(loading.scale(), Some(add(1, More::Rate)));
    loading.copies = copies(&[(0, NOW - 9 * HOUR), (77, NOW - 29 * SECOND)]);
    assert_eq!(
        loading.scale(),
        Some(add(1, More::Rate)),
        "not for one that is gone"
    );
}

#[test]
fn busy_copies_get_company() {
    // 100 ms each: 1,200 in a minute are two at once.
    let mut busy = case().used(1_200, 2);
    assert_eq!(busy.scale(), None, "without a limit only the rate counts");
    busy.concurrency = 2;
    assert_eq!(busy.scale(), Some(add(1, More::Busy)));
    busy.concurrency = 3;
    assert_eq!(busy.scale(), None);
}

#[test]
fn the_minimum_and_pins_are_filled() {
    let mut few = case();
    few.min = 3;
    assert_eq!(few.scale(), Some(add(2, More::Wanted)));
    few.max = 2;
    assert_eq!(few.scale(), Some(add(1, More::Wanted)), "the maximum counts more");
    few.fleet = fleet([instance("a"), instance("b")]);
    few.max = 0;
    assert_eq!(
        few.scale(),
        Some(add(1, More::Wanted)),
        "no more than there are instances"
    );
    let mut pinned = case();
    pinned.pinned = vec![Pin::new("3")];
    assert_eq!(pinned.scale(), Some(add(1, More::Wanted)));
    assert_eq!(
        Case {
            copies: copies(&[(0, NOW - HOUR), (3, NOW - HOUR)]),
            ..pinned
        }
        .scale(),
        None
    );
}

#[test]
fn copies_on_leaving_instances_are_replaced() {
    let mut leaving = case().on(&[0, 1]);
    leaving.min = 2;
    assert_eq!(leaving.scale(), None);
    let away = |n: u32| Instance {
        shutting_down: n == 1,
        ..instance(&n.to_string())
    };
    leaving.fleet = fleet((0..6).map(away));
    assert_eq!(leaving.scale(), Some(add(1, More::Wanted)));
}

#[test]
fn what_is_above_the_maximum_goes() {
    let mut many = case().on(&[0, 1, 2]);
    many.max = 2;
    let above = Some(Scaling::Drop {
        keep: 2,
        why: Fewer::AboveMaximum,
    });
    assert_eq!(many.scale(), above);
    many.pinned = vec![Pin::new("0")];
    assert_eq!(many.scale(), None, "another one goes");
    let mut loading = case();
    loading.copies = copies(&[(0, NOW - HOUR), (1, NOW - SECOND)]);
    loading.max = 1;
    assert_eq!(loading.scale(), None, "the other is not loaded yet");
}

#[test]
fn an_unused_second_copy_goes_when_memory_is_short() {
    let unused = |holders: &[u32], used_ago| Case {
        used_ago,
        ..case().on(holders).full(10 * HOUR)
    };
    assert_eq!(unused(&[0, 1], 30 * MINUTE).scale(), None);
    assert_eq!(unused(&[0, 1], 61 * MINUTE).scale(), Some(surplus(1)));
    let mut roomy = unused(&[0, 1], 9 * HOUR);
    roomy.fleet = fleet((0..6).map(|n| instance(&n.to_string())));
    assert_eq!(roomy.scale(), None, "it costs nothing");
    let mut least = unused(&[0, 1], 9 * HOUR);
    least.min = 2;
    assert_eq!(least.scale(), None);
    least.min = 0;
    least.pinned = vec![Pin::new("0")];
    assert_eq!(least.scale(), None);
}

#[test]
fn copies_beyond_the_second_go_when_the_rate_is_gone() {
    let many = || case().on(&[0, 1, 2]).full(HOUR);
    assert_eq!(many().scale(), Some(surplus(2)));
    assert_eq!(
        many().used(1_200, 2).scale(),
        None,
        "1,800 each without this one are too many"
    );
    assert_eq!(many().used(600, 2).scale(), Some(surplus(2)));
    assert_eq!(
        many().used(3_000, 2).used(0, 2).scale(),
        None,
        "the rate was high just now"
    );
    let mut settling = many();
    settling.copies = copies(&[(0, NOW - HOUR), (1, NOW - HOUR), (2, NOW - 20 * MINUTE)]);
    assert_eq!(settling.scale(), None);
    let mut busy = many().used(600, 2);
    busy.concurrency = 1;
    assert_eq!(busy.scale(), Some(add(1, More::Busy)));
}

#[test]
fn scaling_down_also_runs_with_type_constraints() {
    // Upstream initializes what it decides by on the first instance of each set of labels only.
    let labelled = |n: u32| Instance {
        labels: labels(&["gpu"]),
        ..full(&n.to_string(), HOUR)
    };
    let others = (3..6).map(|n| instance(&n.to_string()));
    for rules in [
        r#"{"onnx": {"required": ["gpu"]}}"#,
        r#"{"_default": {"required": ["gpu"]}}"#,
    ] {
        let mut many = case().on(&[0, 1, 2]);
        many.fleet = constrained((0..3).map(labelled).chain(others.clone()), rules);
        assert_eq!(
            many.fleet.used_percent("onnx"),
            100,
            "of the instances that may load it"
        );
        assert_eq!(many.scale(), Some(surplus(2)));
    }
}

#[test]
fn the_only_copy_is_unloaded_when_idle_if_asked_for() {
    let mut idle = case();
    idle.used_ago = 2 * HOUR;
    assert_eq!(idle.scale(), None);
    idle.settings.idle_unload_ms = HOUR;
    let unload = Some(Scaling::Drop {
        keep: 0,
        why: Fewer::Idle,
    });
    assert_eq!(idle.scale(), unload);
    idle.min = 1;
    assert_eq!(idle.scale(), None);
}
