//! Any bytes as the body of a review: it is refused, or answered with its uid, by every webhook.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use webhook::{
    Options, Snapshot,
    server::{answer::answer, paths::ENDPOINTS, wire::Review},
};

fuzz_target!(|body: &[u8]| {
    let Ok(review) = Review::parse(body) else {
        return;
    };
    let snapshot = Snapshot::synced();
    for endpoint in &ENDPOINTS {
        let outcome = answer(endpoint, &review.request, &snapshot, &Options::default());
        let response = &outcome.response;
        assert_ne!(outcome.verdict.as_str(), "failed");
        assert_eq!(response.allowed, response.status.is_none());
        assert!(response.allowed || response.patch.is_none());
        let warnings: usize = response.warnings.iter().map(String::len).sum();
        assert!(warnings <= 4096, "{warnings} bytes of warnings");
        let sent: Value = serde_json::from_slice(&review.answer(response)).expect("the answer is JSON");
        assert_eq!(sent["response"]["uid"].as_str(), Some(&*review.request.uid));
    }
});
