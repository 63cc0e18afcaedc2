//! More models than memory.

use std::path::Path;

use crate::support::{
    onnx, rest,
    stowage::{self, Stowage},
};

const MODELS: usize = 5;

/// Megabytes of weights of one model: far more than what else a loaded model costs.
const WEIGHT: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn five_models_answer_in_turn_with_memory_for_two() {
    let folder = stowage::models_folder();
    place_models(folder.path());
    let size = size_when_loaded(folder.path()).await;

    let capacity = size * 5 / 2;
    let mut server = Stowage::start(folder.path(), &capacity.to_string()).await;
    check_turns(server.rest(), server.grpc(), capacity).await;
    let resident = server.process.resident_bytes().expect("memory can be read");
    assert!(
        resident < size * 5 + (200 << 20),
        "{resident} bytes resident, {size} per model"
    );
    server.check_alive().await;
}

/// Names of the models, whose files are `<name>.onnx`.
pub(crate) fn names() -> impl Iterator<Item = String> {
    (0..MODELS).map(|number| format!("m{number}"))
}

/// Writes the models into a folder.
pub(crate) fn place_models(folder: &Path) {
    let content = onnx::weighing(WEIGHT);
    for name in names() {
        onnx::place(folder, &format!("{name}.onnx"), &content);
    }
}

/// Asks each model three times in turn, and fails when an answer is wrong or more than the capacity was in use.
pub(crate) async fn check_turns(rest: &str, grpc: &str, capacity: u64) {
    for round in 0..3_u8 {
        for name in names() {
            let x = f32::from(round) + 0.5;
            let answer = rest::infer(rest, &name, onnx::request(x))
                .await
                .expect("the server answers");
            assert!((onnx::value(&answer) - f64::from(x)).abs() < 1e-6);
            let models = stowage::models_of(grpc).await;
            let loaded = models.iter().filter(|row| row.state == "LOADED");
            let used: u64 = loaded.map(|row| row.size_bytes).sum();
            assert!(used <= capacity, "{used} of {capacity} bytes");
        }
    }
    let models = stowage::models_of(grpc).await;
    let made: Vec<_> = models.iter().filter(|row| row.name.starts_with('m')).collect();
    assert_eq!(made.len(), MODELS);
    // Five in turn with room for two: least recently used never has the next one.
    assert!(
        made.iter()
            .all(|row| row.loads == 3 && row.last_used_ms.is_some()),
        "{made:?}"
    );
    assert!(made.iter().all(|row| row.evictions >= 2), "{made:?}");
}

/// What the server measures for one of the models.
pub(crate) async fn size_when_loaded(folder: &Path) -> u64 {
    let server = Stowage::start(folder, "4GiB").await;
    let answer = rest::infer(server.rest(), "m0", onnx::request(1.0))
        .await
        .expect("the server answers");
    assert!((onnx::value(&answer) - 1.0).abs() < 1e-6);
    let size = server.model("m0").await.size_bytes;
    assert!(
        size >= WEIGHT as u64 * (1 << 20),
        "{size} bytes measured for {WEIGHT} MiB of weights"
    );
    size
}
