//! An engine whose loads and inferences wait until the test lets them go.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use adapter::onnx::{
    engine::{Dim, Engine, LoadError, LoadedModel, RunError, TensorInfo},
    source::Source,
    tensor::Tensor,
};
use api::datatype::Datatype;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

/// Blocks threads until it is opened, and tells when one arrives.
pub(crate) struct Gate {
    open: Mutex<usize>,
    opened: Condvar,
    arrived: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            open: Mutex::new(0),
            opened: Condvar::new(),
            arrived: Semaphore::new(0),
        }
    }
}

impl Gate {
    fn pass(&self) {
        self.arrived.add_permits(1);
        let mut open = self.open.lock();
        while *open == 0 {
            self.opened.wait(&mut open);
        }
        *open -= 1;
    }

    /// Lets `count` threads pass, now or later.
    pub(crate) fn open(&self, count: usize) {
        *self.open.lock() += count;
        self.opened.notify_all();
    }

    /// Waits until one more thread has arrived.
    pub(crate) async fn arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }
}

/// What the test sees and steers.
#[derive(Default)]
pub(crate) struct Controls {
    pub(crate) load: Gate,
    pub(crate) run: Gate,
    /// Models in memory.
    pub(crate) alive: AtomicUsize,
}

#[derive(Clone, Default)]
pub(crate) struct GateEngine(pub(crate) Arc<Controls>);

impl fmt::Debug for GateEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateEngine")
    }
}

impl Engine for GateEngine {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn platform(&self) -> &'static str {
        "gate_onnx"
    }

    fn load(&self, _source: &Source) -> Result<Box<dyn LoadedModel>, LoadError> {
        self.0.load.pass();
        self.0.alive.fetch_add(1, SeqCst);
        let info = TensorInfo {
            name: "x".to_owned(),
            datatype: Datatype::Uint8,
            dims: vec![Dim::Any],
        };
        Ok(Box::new(GateModel {
            controls: Arc::clone(&self.0),
            infos: vec![info],
        }))
    }
}

struct GateModel {
    controls: Arc<Controls>,
    infos: Vec<TensorInfo>,
}

impl fmt::Debug for GateModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateModel")
    }
}

impl Drop for GateModel {
    fn drop(&mut self) {
        self.controls.alive.fetch_sub(1, SeqCst);
    }
}

impl LoadedModel for GateModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn size_bytes(&self) -> u64 {
        1000
    }

    fn run(&self, inputs: &[Tensor], _wanted: &[usize]) -> Result<Vec<Tensor>, RunError> {
        self.controls.run.pass();
        assert!(inputs[0].raw != b"panic"[..], "told to");
        Ok(inputs.to_vec())
    }
}
