//! A model runtime for tests: sizes, times and failures of each model are what its path says, so that tests are exact.
//!
//! It serves `mmesh.ModelRuntime` and `mmesh.ExamplePredictor` as the example of `ModelMesh`'s own tests does, in this
//! process or as the binary `example-runtime`, and keeps a journal of what it was asked to do. Memory is only counted.

mod journal;
mod options;
mod path;
mod predictor;
mod serve;
mod spi;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{task::JoinSet, time::Instant};
use tonic::Status;

use self::{
    journal::Journal,
    path::{Outcome, Plan},
};
pub use self::{
    journal::{Event, What},
    options::{Address, NotFound, Options},
};

/// A running runtime. It ends when it is dropped.
#[derive(Debug)]
pub struct ExampleRuntime {
    state: Arc<State>,
    address: Address,
    serving: Address,
    servers: JoinSet<()>,
}

impl ExampleRuntime {
    /// Serves at the addresses of the options; port 0 is any free one.
    pub async fn start(options: Options) -> io::Result<Self> {
        let state = Arc::new(State::new(options));
        let mut servers = JoinSet::new();
        let (address, serving) = serve::start(&state, &mut servers).await?;
        Ok(Self {
            state,
            address,
            serving,
            servers,
        })
    }

    /// Where the SPI is served.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where inference is served.
    pub fn serving(&self) -> &Address {
        &self.serving
    }

    /// Everything that happened since the start, in order.
    pub fn events(&self) -> Vec<Event> {
        self.state.journal.lock().events().to_vec()
    }

    /// So many times this happened to a model.
    pub fn count(&self, what: What, model: &str) -> usize {
        let journal = self.state.journal.lock();
        let same = |event: &&Event| event.what == what && event.model == model;
        journal.events().iter().filter(same).count()
    }

    /// Models in memory now, by name.
    pub fn loaded(&self) -> Vec<String> {
        let models = self.state.models.lock();
        let mut loaded: Vec<_> = models
            .iter()
            .filter(|(_, model)| model.phase == Phase::Loaded)
            .map(|(id, _)| id.clone())
            .collect();
        loaded.sort();
        loaded
    }

    /// The most bytes that models took at any time, from the start of each load to the end of each unload.
    pub fn peak_bytes(&self) -> u64 {
        self.state.journal.lock().peak_bytes()
    }

    /// The most loads that ran at once.
    pub fn peak_loads(&self) -> usize {
        self.state.journal.lock().peak_loads()
    }

    /// From now on every load fails with this text; `None` = as the paths say.
    pub fn fail_loads(&self, text: Option<&str>) {
        *self.state.failing.lock() = text.map(str::to_owned);
    }

    /// Loses every model without a word to anybody, as a model server that restarted.
    pub fn purge(&self) {
        self.state.purge();
    }

    /// Waits for the end of its servers, which is that of the process.
    pub async fn run(mut self) {
        while self.servers.join_next().await.is_some() {}
    }
}

#[derive(Debug)]
struct State {
    options: Options,
    started: Instant,
    models: Mutex<HashMap<String, Model>>,
    /// Models whose first load has failed, as it should.
    failed_once: Mutex<Vec<String>>,
    failing: Mutex<Option<String>>,
    journal: Mutex<Journal>,
    /// Loads so far.
    loads: AtomicU64,
}

#[derive(Clone, Debug)]
struct Model {
    phase: Phase,
    plan: Plan,
    /// Tells loads of one id apart.
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Loading,
    Loaded,
    Unloading,
}

impl State {
    fn new(options: Options) -> Self {
        Self {
            options,
            started: Instant::now(),
            models: Mutex::default(),
            failed_once: Mutex::default(),
            failing: Mutex::default(),
            journal: Mutex::default(),
            loads: AtomicU64::new(0),
        }
    }

    fn note(&self, what: What, model: &str) {
        self.journal.lock().add(what, model);
    }

    fn purge(&self) {
        self.models.lock().clear();
        self.journal.lock().purged();
    }

    /// Loads to the end, unless it is canceled by being dropped.
    async fn load(&self, id: &str, path: &str) -> Result<Plan, Status> {
        let plan = Plan::of(path, id, self.options.fast);
        let mut entry = Entry::begin(self, id, &plan)?;
        self.journal.lock().load_starts(id, plan.size);
        tokio::time::sleep(plan.load).await;
        if let Some(text) = self.failing.lock().clone() {
            return Err(Status::internal(text));
        }
        match &plan.outcome {
            Outcome::Loads => {}
            Outcome::Hangs => std::future::pending().await,
            Outcome::Fails { text, always } => {
                let mut failed = self.failed_once.lock();
                if *always || !failed.iter().any(|known| known == id) {
                    failed.push(id.to_owned());
                    return Err(Status::internal(text.clone()));
                }
            }
        }
        entry.keep();
        Ok(plan)
    }

    /// Frees the model's memory; false when it was not there.
    async fn unload(&self, id: &str) -> bool {
        let plan = {
            let mut models = self.models.lock();
            let Some(model) = models.get_mut(id).filter(|model| model.phase == Phase::Loaded) else {
                return false;
            };
            model.phase = Phase::Unloading;
            model.plan.clone()
        };
        self.note(What::UnloadStarted, id);
        tokio::time::sleep(plan.unload).await;
        self.models.lock().remove(id);
        self.journal.lock().unload_ends(id);
        true
    }

    /// What a loaded model is made of.
    fn find(&self, id: &str) -> Option<Plan> {
        let models = self.models.lock();
        let model = models.get(id)?;
        (model.phase == Phase::Loaded).then(|| model.plan.clone())
    }

    fn ready(&self) -> bool {
        self.started.elapsed() >= self.options.ready_after
    }
}

/// A load under way; what it took is given back when it is dropped before its end.
struct Entry<'a> {
    state: &'a State,
    id: &'a str,
    generation: u64,
    done: bool,
}

impl<'a> Entry<'a> {
    fn begin(state: &'a State, id: &'a str, plan: &Plan) -> Result<Self, Status> {
        let generation = state.loads.fetch_add(1, Ordering::Relaxed);
        let mut models = state.models.lock();
        if models.contains_key(id) {
            return Err(Status::already_exists(format!("model {id} is there already")));
        }
        let model = Model {
            phase: Phase::Loading,
            plan: plan.clone(),
            generation,
        };
        models.insert(id.to_owned(), model);
        Ok(Self {
            state,
            id,
            generation,
            done: false,
        })
    }

    fn keep(&mut self) {
        self.done = true;
        if let Some(model) = self.state.models.lock().get_mut(self.id)
            && model.generation == self.generation
        {
            model.phase = Phase::Loaded;
            self.state.journal.lock().load_ends(self.id, true);
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut models = self.state.models.lock();
        if models
            .get(self.id)
            .is_some_and(|model| model.generation == self.generation)
        {
            models.remove(self.id);
            self.state.journal.lock().load_ends(self.id, false);
        }
        drop(models);
    }
}
