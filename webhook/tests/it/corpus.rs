//! Manifests that upstream publishes, with the verdict that its own webhooks would give.

use webhook::{
    Mode, Options, Snapshot,
    select::{Wish, kserve},
};

use crate::{
    objects::{self, request, review},
    shared, shipped,
};

#[test]
fn every_published_manifest_gets_upstreams_verdict() {
    let Some(table) = shared::read("corpus/EXPECTED.tsv") else {
        return;
    };
    // Upstream's verdicts were derived for each manifest alone, with the shipped configuration.
    let snapshot = Snapshot::synced();
    let mut installed = Snapshot::synced();
    for runtime in shipped::KSERVE {
        installed
            .observe(&shipped::kserve_runtime(runtime), "")
            .expect("no configuration");
    }
    let mut failures = Vec::new();
    let mut rows = 0;
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |column: usize| cells.get(column).copied().unwrap_or_default();
        let text = shared::read(&format!("corpus/{}", cell(0))).expect("the folder is there");
        let object: serde_json::Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", cell(0)));
        rows += 1;

        let request = request(objects::kind_of(&object), &object, None);
        let reviewed = review(&request, &snapshot, &Options::default());
        let allowed = objects::passes(&reviewed.findings);
        let expected = match cell(4) {
            "allowed" => Some(true),
            "denied" | "default-error" => Some(false),
            _ => None,
        };
        if expected.is_some_and(|expected| expected != allowed) {
            failures.push(format!(
                "{} {}{}",
                cell(4),
                cell(0),
                objects::lines(&reviewed.findings)
            ));
        }

        let mode = &reviewed.defaulted["metadata"]["annotations"]["serving.kserve.io/deploymentMode"];
        if !cell(6).is_empty() && mode.as_str() != Some(cell(6)) {
            failures.push(format!("{}: mode {mode}, expected {}", cell(0), cell(6)));
        }
        let model = &reviewed.defaulted["spec"]["predictor"]["model"];
        if !cell(5).is_empty() && model["runtime"].is_null() {
            let wish = Wish {
                namespace: "default",
                format: model["modelFormat"]["name"].as_str().unwrap_or_default(),
                version: model["modelFormat"]["version"].as_str(),
                protocol: model["protocolVersion"].as_str(),
                multi_model: false,
                multi_node: !reviewed.defaulted["spec"]["predictor"]["workerSpec"].is_null(),
            };
            let selection = kserve(&wish, &installed);
            let chosen: Vec<&str> = selection
                .candidates
                .iter()
                .map(|runtime| runtime.name.as_str())
                .collect();
            if chosen.join(",") != cell(5) {
                failures.push(format!("{}: runtimes {chosen:?}, expected {}", cell(0), cell(5)));
            }
        }
    }
    assert!(rows > 100, "the table has {rows} rows");
    shared::report(&failures);
}

#[test]
fn nothing_of_the_corpus_is_taken_for_a_typo() {
    let Some(table) = shared::read("corpus/EXPECTED.tsv") else {
        return;
    };
    // Fields that upstream removed long ago, and that its old samples still have.
    let gone = ["alibi", "aix", "aif", "custom", "container"];
    let mut failures = Vec::new();
    for line in table.lines().skip(1) {
        let file = line.split('\t').next().unwrap_or_default();
        let text = shared::read(&format!("corpus/{file}")).expect("the folder is there");
        let object: serde_json::Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{file}: {err}"));
        for finding in objects::findings(&object, &Snapshot::default(), Mode::Compat) {
            let spelling = matches!(finding.rule.id, "OB-S01" | "OB-S02" | "OB-S03");
            let last = finding.field.to_string();
            if spelling && !gone.iter().any(|gone| last.ends_with(gone)) {
                failures.push(format!("{file}: {finding}"));
            }
        }
    }
    shared::report(&failures);
}
