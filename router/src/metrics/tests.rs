use std::time::Duration;

use prometheus_client::{encoding::text::encode, registry::Registry};
use tonic::Code;

use super::{
    Metrics, MetricsOptions, RefusalLabels, RefusalReason,
    requests::{MAX_METHODS, OTHER},
};
use crate::{
    cache::CacheUsage,
    core::copies::{Cause, Note},
};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

fn metrics(max_labeled_models: usize) -> (Metrics, Registry) {
    let mut registry = Registry::default();
    let metrics = Metrics::new(
        &mut registry,
        MetricsOptions {
            max_labeled_models,
            ..MetricsOptions::default()
        },
    );
    (metrics, registry)
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

fn samples(registry: &Registry, prefix: &str) -> Vec<String> {
    text(registry)
        .lines()
        .filter(|line| line.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn requests_are_counted_by_short_method_and_code() {
    let (metrics, registry) = metrics(0);
    let method = metrics.method(INFER);
    method.api_request(Code::Ok, Duration::from_micros(500), 128, 129);
    method.api_request(Code::Ok, Duration::from_millis(400), 0, 5);
    method.invoke_model(Code::ResourceExhausted, Duration::from_hours(1));
    let labels = r#"method="ModelInfer",code="OK""#;
    let wanted = [
        format!("modelmesh_api_request_milliseconds_sum{{{labels}}} 400.5"),
        format!("modelmesh_api_request_milliseconds_count{{{labels}}} 2"),
        format!("modelmesh_api_request_milliseconds_bucket{{le=\"0.5\",{labels}}} 1"),
        format!("modelmesh_api_request_milliseconds_bucket{{le=\"200.0\",{labels}}} 1"),
        format!("modelmesh_api_request_milliseconds_bucket{{le=\"500.0\",{labels}}} 2"),
        format!("modelmesh_request_size_bytes_bucket{{le=\"128.0\",{labels}}} 2"),
        format!("modelmesh_response_size_bytes_bucket{{le=\"128.0\",{labels}}} 1"),
        format!("modelmesh_response_size_bytes_sum{{{labels}}} 134.0"),
    ];
    let text = text(&registry);
    for line in wanted {
        assert!(
            text.lines().any(|got| got == line),
            "{line} is missing in\n{text}"
        );
    }
    let late = r#"modelmesh_invoke_model_milliseconds_bucket{le="+Inf",method="ModelInfer",code="RESOURCE_EXHAUSTED"} 1"#;
    assert!(text.contains(late), "{text}");
    assert!(!text.contains("modelId"));
}

#[test]
fn names_are_exactly_those_of_upstream() {
    let (metrics, registry) = metrics(0);
    let notes = [
        Note::Turn { queued: 3 },
        Note::Measured { took: 3 },
        Note::Loaded { took: 3 },
        Note::Serves { bytes: 3 },
        Note::LoadFailed {
            cause: Cause::Runtime("no".into()),
        },
        Note::Evicted { age: 3 },
        Note::Unloaded { took: 3 },
        Note::UnloadTryFailed { message: "no".into() },
        Note::UnloadFailed { bytes: 3 },
    ];
    for note in &notes {
        metrics.note(note);
    }
    metrics.waited(false, Duration::from_millis(3));
    metrics.waited(true, Duration::from_millis(3));
    metrics.set_managed(7);
    metrics.watch_instance(|| {
        Some(CacheUsage {
            capacity_bytes: 1000,
            used_bytes: 250,
            models: 2,
            failed: 1,
            oldest_use_ms: Some(5_000),
            at_ms: 65_000,
            ..CacheUsage::default()
        })
    });
    let text = text(&registry);
    let wanted = [
        "modelmesh_loadmodel_failure 1",
        "modelmesh_unloadmodel_failure 1",
        "modelmesh_unloadmodel_attempt_failure 1",
        "modelmesh_models_managed_total 7",
        "modelmesh_models_loaded_total 2",
        "modelmesh_models_with_failure_total 1",
        "modelmesh_instance_lru_seconds 5",
        "modelmesh_instance_lru_age_seconds 60",
        "modelmesh_instance_capacity_bytes 1000",
        "modelmesh_instance_used_bytes 250",
        "modelmesh_instance_used_bps 2500",
        "modelmesh_instance_models_total 2",
        "modelmesh_cache_miss_milliseconds_sum 3.0",
        "modelmesh_req_queue_delay_milliseconds_sum 3.0",
        "modelmesh_loadmodel_milliseconds_sum 3.0",
        "modelmesh_unloadmodel_milliseconds_sum 3.0",
        "modelmesh_model_sizing_milliseconds_sum 3.0",
        "modelmesh_loading_queue_delay_milliseconds_sum 3.0",
        "modelmesh_age_at_eviction_milliseconds_bucket{le=\"30000.0\"} 1",
        "modelmesh_loaded_model_size_bytes_bucket{le=\"262144.0\"} 1",
        "# TYPE modelmesh_loadmodel_failure unknown",
    ];
    for line in wanted {
        assert!(
            text.lines().any(|got| got == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn an_instance_that_has_not_started_shows_no_gauges() {
    let (_metrics, registry) = metrics(0);
    assert!(samples(&registry, "modelmesh_instance").is_empty());
}

#[test]
fn bounds_that_bite_are_counted() {
    let (metrics, registry) = metrics(0);
    metrics.refused(&crate::core::copies::Refusal::Overloaded);
    assert_eq!(
        samples(&registry, "stowage_cache_refusals"),
        [r#"stowage_cache_refusals_total{reason="model_queue_overload"} 1"#]
    );
    let labels = RefusalLabels {
        reason: RefusalReason::model_queue_overload,
    };
    assert_eq!(metrics.all.refusals.get_or_create(&labels).get(), 1);
}

#[test]
fn unknown_methods_do_not_grow_the_label_set() {
    let (metrics, registry) = metrics(0);
    for n in 0..1_000 {
        let method = metrics.method(&format!("/evil.Service/Method{n}"));
        method.api_request(Code::Unimplemented, Duration::ZERO, 0, 0);
    }
    let counts = samples(&registry, "modelmesh_api_request_milliseconds_count");
    assert_eq!(
        counts,
        [format!(
            "modelmesh_api_request_milliseconds_count{{method=\"{OTHER}\",code=\"UNIMPLEMENTED\"}} 1000"
        )]
    );
    for n in 0..1_000 {
        let path = format!("/some.Service/Method{n}");
        metrics.admit_method(&path);
        metrics.admit_method(&path);
        metrics.method(&path).api_request(Code::Ok, Duration::ZERO, 0, 0);
    }
    let counts = samples(&registry, "modelmesh_api_request_milliseconds_count");
    assert!(counts.iter().any(|line| line.contains("\"Method0\"")));
    assert!(counts.len() < MAX_METHODS, "{} series", counts.len());
}

#[test]
fn models_have_labels_up_to_a_bound_and_until_they_are_removed() {
    let (metrics, registry) = metrics(2);
    let count = |model: &str, vmodel: Option<&str>| {
        let method = metrics.model(&metrics.method(INFER), model, vmodel);
        method.api_request(Code::Ok, Duration::ZERO, 0, 0);
    };
    count("a", None);
    count("a", Some("v"));
    for n in 0..100 {
        count(&format!("m{n}"), None);
    }
    let series = || {
        let mut found = samples(&registry, "modelmesh_api_request_milliseconds_count");
        found.sort();
        found
            .iter()
            .map(|line| line.split_once("modelId=").unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    let others = format!("\"{OTHER}\",vModelId=\"\"}} 99");
    assert_eq!(
        series(),
        [
            others.as_str(),
            r#""a",vModelId=""} 1"#,
            r#""a",vModelId="v"} 1"#,
            r#""m0",vModelId=""} 1"#
        ]
    );
    metrics.remove_model("a");
    assert_eq!(series(), [others.as_str(), r#""m0",vModelId=""} 1"#]);
    for name in [
        "invoke_model_milliseconds",
        "request_size_bytes",
        "response_size_bytes",
    ] {
        assert!(
            !text(&registry)
                .lines()
                .any(|line| line.contains(name) && line.contains("\"a\"")),
            "{name}"
        );
    }
    metrics.remove_model("m0");
    count("z", None);
    assert!(
        series().contains(&r#""z",vModelId=""} 1"#.to_owned()),
        "a removed model makes place"
    );
}
