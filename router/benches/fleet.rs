//! Decisions of one router in a fleet: the way of a request, the place of a copy, a new snapshot.

use std::{net::SocketAddr, sync::Arc};

use divan::{Bencher, black_box};
use router::core::fleet::{
    Ask, Constraints, Copy, Fleet, Instance, Ledger, Model, Origin, Own, PeerLoad, Place, Purpose, Rng,
    Settings, place, route,
};

const INSTANCES: [u32; 3] = [10, 100, 1_000];
const NOW: u64 = 1_700_000_000_000;
const GIB: u64 = 1 << 30;

fn main() {
    divan::main();
}

/// Every state that instances are in: with room, full, leaving, of two versions, in three zones, half of them labelled.
fn instances(count: u32) -> Vec<(u32, Arc<Instance>)> {
    let mut rng = Rng::new(1);
    (0..count)
        .map(|ix| {
            let used = if rng.chance(300_000) {
                GIB / 2
            } else {
                GIB - rng.below(GIB / 100)
            };
            let labels: &[&str] = if ix % 2 == 0 {
                &["gpu", "rt:onnx"]
            } else {
                &["rt:onnx"]
            };
            let instance = Instance {
                id: format!("{:06x}-{ix:05}", ix % 3).as_str().into(),
                start_ms: NOW - rng.below(1_000_000_000),
                version: rng.below(2),
                location: format!("node-{}", ix / 4).into(),
                zone: format!("zone-{}", ix % 3).into(),
                labels: labels.iter().map(|label| Box::from(*label)).collect(),
                lru_ms: NOW - rng.below(10_000_000),
                models: 100,
                capacity: GIB,
                used,
                loading_threads: 4,
                loading: u32::try_from(rng.below(6)).unwrap_or(0),
                rpm: 100,
                shutting_down: rng.chance(50_000),
                peer: Some(SocketAddr::from(([10, 0, 0, 1], 8080))),
            };
            (ix, Arc::new(instance))
        })
        .collect()
}

fn fleet(count: u32) -> Fleet {
    let rules = r#"{"onnx": {"preferred": ["gpu"]}, "big": {"required": ["gpu"]}}"#;
    let constraints = Constraints::parse(rules).unwrap_or_default();
    Fleet::new(instances(count), Arc::new(constraints))
}

fn model<'a>(kind: &'a str, copies: &'a [Copy]) -> Model<'a> {
    Model {
        kind,
        copies,
        failures: &[],
        last_used_ms: NOW,
        min: 0,
        max: 0,
        pinned: &[],
        size: None,
    }
}

fn copies(count: u32) -> Vec<Copy> {
    let copy = |instance| Copy {
        instance,
        since_ms: NOW - 3_600_000,
    };
    (0..count).map(copy).collect()
}

/// A miss: the first copy of a model.
#[divan::bench(args = INSTANCES)]
fn place_first(bencher: Bencher, count: u32) {
    placed(bencher, count, &[], Purpose::Request);
}

/// A third copy, away from the zones and nodes of the others.
#[divan::bench(args = INSTANCES)]
fn place_further(bencher: Bencher, count: u32) {
    placed(bencher, count, &copies(2), Purpose::Further);
}

fn placed(bencher: Bencher, count: u32, copies: &[Copy], purpose: Purpose) {
    let fleet = fleet(count);
    let model = model("onnx", copies);
    let settings = Settings::of_load_timeout(90_000);
    let mut ledger = Ledger::new();
    for ix in 0..count / 4 {
        ledger.add(ix * 4, 1 << 20, NOW);
    }
    let mut rng = Rng::new(2);
    bencher.bench_local(|| {
        let want = Place {
            model: black_box(&model),
            size: 1 << 20,
            purpose,
            this: 3,
            this_open: true,
            prefer_this: false,
            excluded: &[5],
            fleet: &fleet,
            ledger: &ledger,
            load_of: &|_| PeerLoad::default(),
            settings: &settings,
            now_ms: NOW,
        };
        place(&want, &mut rng)
    });
}

/// A request for a model that has copies on other instances.
#[divan::bench(args = [1, 2, 10])]
fn route_hit(bencher: Bencher, count: u32) {
    let fleet = fleet(1_000);
    let copies = copies(count);
    let model = model("onnx", &copies);
    let settings = Settings::of_load_timeout(90_000);
    let ledger = Ledger::new();
    let mut rng = Rng::new(2);
    bencher.bench_local(|| {
        let ask = Ask {
            model: black_box(&model),
            size: 1 << 20,
            origin: Origin::External { balanced: false },
            excluded: &[],
            this: 77,
            own: Own::Absent,
            own_in_flight: 0,
            draining: false,
            fleet: &fleet,
            load_of: &|ix| PeerLoad {
                in_flight: ix,
                at_ms: NOW,
                ..PeerLoad::default()
            },
            assumed_load_ms: 10_000,
            ledger: &ledger,
            settings: &settings,
            now_ms: NOW,
        };
        route(&ask, &mut rng)
    });
}

/// What a changed instance record costs.
#[divan::bench(args = INSTANCES)]
fn snapshot(bencher: Bencher, count: u32) {
    let instances = instances(count);
    let constraints = Arc::clone(fleet(1).constraints());
    bencher.bench_local(|| Fleet::new(instances.iter().cloned(), Arc::clone(&constraints)));
}
