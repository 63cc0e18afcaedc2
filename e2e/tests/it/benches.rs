//! The benches, for a moment: whether they still work, not what they measure.

use e2e::process;
use serde_json::Value;
use tempfile::TempDir;

/// Needs h2load and Go. `MLServer` is left out: its packages are three hundred megabytes.
#[tokio::test(flavor = "multi_thread")]
async fn rest_beside_a_go_proxy() {
    let program = process::binary("rest-bench").expect("the bench is built");
    let folder = TempDir::new().expect("a folder");
    let json = folder.path().join("bench/rest.json");
    let args = [
        "--runs=1",
        "--divide=50",
        "--workload=4 kB, 32 at once",
        "--only=stowage;Go proxy",
    ];
    let done = process::run(
        program,
        args.iter()
            .map(AsRef::as_ref)
            .chain(["--json".as_ref(), json.as_os_str()]),
    )
    .await
    .expect("the bench runs");
    assert_eq!(done.code, Some(0), "{}\n{}", done.stdout, done.stderr);

    let sheet: Value = serde_json::from_slice(&std::fs::read(&json).expect("the numbers")).expect("JSON");
    assert!(sheet["machine"].is_string());
    let sections = sheet["sections"].as_array().expect("sections");
    assert_eq!(sections.len(), 2, "{sheet}");
    for section in sections {
        assert_eq!(section["unit"], "calls/s");
        let series = section["series"].as_array().expect("series");
        assert_eq!(series.len(), 7, "{section}");
        for series in series {
            let name = series["name"].as_str().expect("a name");
            assert!(
                series["value"].as_f64().is_some_and(|rate| rate > 0.0),
                "{series}"
            );
            // At least one call was looked at before the load, and one after it.
            assert!(series["runs"][0]["checked"].as_u64() >= Some(2), "{series}");
            assert!(done.stdout.contains(&format!("| {name} |")), "{}", done.stdout);
        }
    }
}
