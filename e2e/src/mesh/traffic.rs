//! Callers that never stop asking, at whichever pods are in service: a Kubernetes Service in front of the routers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::{Mutex, RwLock};
use tokio::task::JoinSet;

use super::{Pod, Predictor, Refused};

/// Errors that are kept; a test shows the first of them.
const KEPT: usize = 100;

/// Traffic that goes on until it is stopped.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    models: Vec<String>,
    /// Pods in service, by name.
    service: RwLock<Vec<(String, Predictor)>>,
    next: AtomicUsize,
    answered: AtomicU64,
    errors: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

impl Traffic {
    /// Starts so many callers, which ask these models in turn.
    pub fn start(callers: usize, models: impl IntoIterator<Item = String>) -> Self {
        let shared = Arc::new(Shared {
            models: models.into_iter().collect(),
            service: RwLock::default(),
            next: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            errors: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            tasks.spawn(Arc::clone(&shared).ask());
        }
        Self {
            shared,
            callers: tasks,
        }
    }

    /// Puts a pod into service.
    pub fn add(&self, pod: &Pod) -> anyhow::Result<()> {
        let entry = (pod.name().to_owned(), pod.predictor()?);
        self.shared.service.write().push(entry);
        Ok(())
    }

    /// Takes a pod out of service; calls that it has go on.
    pub fn remove(&self, pod: &Pod) {
        self.shared.service.write().retain(|(name, _)| name != pod.name());
    }

    /// Calls that were answered so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Forgets the errors so far.
    pub fn forget_errors(&self) {
        self.shared.errors.lock().clear();
    }

    /// Ends it when the calls under way have ended; gives the errors.
    pub async fn stop(mut self) -> Vec<String> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
        std::mem::take(&mut *self.shared.errors.lock())
    }
}

impl Shared {
    async fn ask(self: Arc<Self>) {
        while !self.stopped.load(Ordering::Relaxed) {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let model = &self.models[turn % self.models.len()];
            let chosen = {
                let service = self.service.read();
                service.get(turn % service.len().max(1)).cloned()
            };
            let Some((pod, predictor)) = chosen else {
                tokio::task::yield_now().await;
                continue;
            };
            match predictor.ask(model, "hello").await {
                Ok(answer) if answer.said.ends_with(&format!(" {model}")) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) => self.fail(format!("{model} at {pod}: {} is no answer of it", answer.said)),
                Err(Refused(code, text)) => self.fail(format!("{model} at {pod}: {code:?}: {text}")),
            }
        }
    }

    fn fail(&self, error: String) {
        let mut errors = self.errors.lock();
        if errors.len() < KEPT {
            errors.push(error);
        }
    }
}
