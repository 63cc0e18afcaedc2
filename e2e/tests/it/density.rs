//! The bench of very many models, with few: it must not rot.

use e2e::process;
use serde_json::Value;
use tempfile::TempDir;

/// Few enough for a debug build, and twice as many as the least memory that a server accepts holds.
const MODELS: u64 = 800;

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_counts_models_memory_hits_and_misses() {
    let folder = TempDir::new().expect("the temporary folder can be written");
    let json = folder.path().join("density.json");
    let bench = process::binary("density-bench").expect("the bench is built");
    process::binary("stowage").expect("stowage is built");
    let json_flag = json.to_str().expect("the path is text");
    let args = ["--divide", "25", "--streams", "50", "--json", json_flag];
    let done = process::run(bench, args).await.expect("the bench runs");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for heading in [
        "| models in the folder |",
        "| loaded |",
        "Saturation:",
        "| misses |",
    ] {
        assert!(done.stdout.contains(heading), "{heading} in {}", done.stdout);
    }
    let text = std::fs::read(&json).expect("the numbers are written");
    check(&serde_json::from_slice(&text).expect("the numbers are JSON"));
}

fn check(report: &Value) {
    assert_eq!(report["models"], MODELS);
    let starts: Vec<_> = list(&report["starts"]).map(|start| &start["models"]).collect();
    assert_eq!(starts, [0, MODELS]);
    let loaded: Vec<_> = list(&report["loads"]).map(|step| &step["loaded"]).collect();
    assert_eq!(loaded, [MODELS / 10, MODELS]);
    assert!(report["saturation"]["per_second"].as_f64() > Some(0.0));
    let open: Vec<_> = list(&report["open"]).collect();
    let [all, some, storm] = open[..] else {
        panic!("three runs by the clock, not {}", open.len());
    };
    let count = |run: &Value, kind: &str| run[kind]["count"].as_u64().expect("a count");
    assert!(count(all, "hits") > 0 && count(all, "misses") == 0, "{all}");
    // The same calls at the same times, whatever is loaded.
    for run in [some, storm] {
        assert_eq!(
            count(run, "hits") + count(run, "misses"),
            count(all, "hits"),
            "{run}"
        );
    }
    assert!(
        count(some, "misses") + count(storm, "misses") > 0,
        "{some} {storm}"
    );
    // Without anything beside it, every load has a call that waited for it.
    let number = |field: &str| some[field].as_f64().expect("a number");
    let loads = (number("loads_per_second") * number("seconds")).round();
    assert!(loads <= number("waited"), "{some}");
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
