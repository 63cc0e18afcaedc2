//! One inference, in order: look the model up, get in, check the request, run, answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use api::inference::{ModelInferRequest, ModelInferResponse, model_infer_response::InferOutputTensor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::{
    OnnxRuntime,
    check::{self, Checked},
    engine::RunError,
    model::Entered,
    not_loaded,
    stats::Steps,
    tensor::Tensor,
};

/// Inferences that are expected to take longer leave the runtime threads.
const INLINE_LIMIT: Duration = Duration::from_micros(500);
/// Requests that may wait for a processor, all models together: more than a second's work waits nowhere useful.
const MAX_WAITING: usize = 1024;
/// Requests that may wait for one model's slots, for each slot.
const MAX_WAITING_PER_SLOT: usize = 8;
/// Least number of requests that may wait for one model.
const MIN_WAITING: usize = 16;

/// Processors for inferences that take long, and the queues before them.
#[derive(Debug)]
pub(super) struct Compute {
    processors: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Compute {
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            processors: Arc::new(Semaphore::new(processors)),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// Takes a permit, waiting where fewer than `bound` do.
async fn take(
    semaphore: &Arc<Semaphore>,
    waiting: &AtomicUsize,
    bound: usize,
    full: impl FnOnce() -> Status,
) -> Result<OwnedSemaphorePermit, Status> {
    if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
        return Ok(permit);
    }
    let Some(_place) = Place::take(waiting, bound) else {
        return Err(full());
    };
    // The semaphores are never closed.
    Arc::clone(semaphore)
        .acquire_owned()
        .await
        .map_err(|_| Status::unavailable("the runtime is shutting down"))
}

/// A place in a bounded queue; given up when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, bound: usize) -> Option<Self> {
        let place = Self(waiting);
        // Counted first, so that two can never take the last place.
        (waiting.fetch_add(1, Relaxed) < bound).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl OnnxRuntime {
    /// Looks a model up and begins an inference on it.
    pub(super) fn enter(&self, name: &str, version: &str) -> Result<Entered, Status> {
        let entered = self
            .find(name)
            .and_then(super::model::Served::enter)
            .ok_or_else(|| not_loaded(name))?;
        if !entered.served.is_version(version) {
            return Err(no_version(name, version, &entered.served.version));
        }
        Ok(entered)
    }

    /// One V2 inference.
    pub async fn infer(&self, request: ModelInferRequest) -> Result<ModelInferResponse, Status> {
        let arrived = Instant::now();
        let entered = self.enter(&request.model_name, &request.model_version)?;
        // Not the model itself: an unload that waits for the inference must find no other reference to it.
        let counters = Arc::clone(&entered.served.stats);
        match self.infer_on(entered, request, arrived).await {
            Ok((response, steps)) => {
                counters.succeeded(arrived.elapsed(), &steps);
                Ok(response)
            }
            Err(status) => {
                counters.failed(arrived.elapsed());
                Err(status)
            }
        }
    }

    async fn infer_on(
        &self,
        entered: Entered,
        request: ModelInferRequest,
        arrived: Instant,
    ) -> Result<(ModelInferResponse, Steps), Status> {
        let served = &entered.served;
        let slot = match &served.slots {
            None => None,
            Some(slots) => {
                let limit = self.shared.options.per_model_concurrency.unwrap_or(1) as usize;
                let bound = limit.saturating_mul(MAX_WAITING_PER_SLOT).max(MIN_WAITING);
                let full = || {
                    let id = &served.id;
                    Status::resource_exhausted(format!(
                        "model {id}: too many requests wait for its {limit} slots"
                    ))
                };
                Some(take(slots, &served.waiting, bound, full).await?)
            }
        };
        let mut steps = Steps {
            queue: arrived.elapsed(),
            ..Steps::default()
        };
        let started = Instant::now();
        let checked = check::check(served.model.inputs(), served.model.outputs(), &request)
            .map_err(|error| Status::invalid_argument(format!("model {}: {error}", served.id)))?;
        steps.input = started.elapsed();
        let bytes = checked.inputs.iter().map(|input| input.raw.len()).sum();
        let is_cheap = served
            .cost
            .expect(bytes)
            .is_some_and(|expected| expected <= INLINE_LIMIT);
        let ran = if is_cheap {
            run(entered, checked, bytes)?
        } else {
            let waited = Instant::now();
            let full = || Status::resource_exhausted("too many requests wait for a processor");
            let compute = &self.shared.compute;
            let processor = take(&compute.processors, &compute.waiting, MAX_WAITING, full).await?;
            steps.queue += waited.elapsed();
            let task = tokio::task::spawn_blocking(move || {
                let result = run(entered, checked, bytes);
                drop((processor, slot));
                result
            });
            task.await
                .map_err(|_| Status::internal("the inference ended without a result"))??
        };
        let Ran {
            tensors,
            checked,
            entered,
            took,
        } = ran;
        steps.infer = took;
        steps.rows = rows(&checked);
        let started = Instant::now();
        let response = answer(&entered, &request, &checked, tensors);
        steps.output = started.elapsed();
        Ok((response, steps))
    }
}

/// An inference that was run.
struct Ran {
    tensors: Vec<Tensor>,
    checked: Checked,
    entered: Entered,
    took: Duration,
}

/// What the first dimension of the first input says.
fn rows(checked: &Checked) -> u64 {
    let first = checked.inputs.first().and_then(|input| input.shape.first());
    first.map_or(1, |&rows| rows as u64)
}

fn run(entered: Entered, checked: Checked, bytes: usize) -> Result<Ran, Status> {
    let served = &entered.served;
    let started = Instant::now();
    let result = served.model.run(&checked.inputs, &checked.outputs);
    let took = started.elapsed();
    served.cost.learn(took, bytes);
    match result {
        Ok(tensors) => Ok(Ran {
            tensors,
            checked,
            entered,
            took,
        }),
        Err(error @ RunError::Refused { .. }) => {
            Err(Status::invalid_argument(format!("model {}: {error}", served.id)))
        }
        Err(error @ RunError::Panic { .. }) => {
            tracing::error!(model = %served.id, error = %error, "inference panicked");
            Err(Status::internal(format!("model {}: {error}", served.id)))
        }
    }
}

fn answer(
    entered: &Entered,
    request: &ModelInferRequest,
    checked: &Checked,
    tensors: Vec<Tensor>,
) -> ModelInferResponse {
    let infos = entered.served.model.outputs();
    let mut outputs = Vec::with_capacity(tensors.len());
    let mut raw_output_contents = Vec::with_capacity(tensors.len());
    for (index, tensor) in checked.outputs.iter().zip(tensors) {
        outputs.push(InferOutputTensor {
            name: infos
                .get(*index)
                .map(|info| info.name.clone())
                .unwrap_or_default(),
            datatype: tensor.datatype.as_str().to_owned(),
            shape: tensor
                .shape
                .iter()
                .map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX))
                .collect(),
            ..InferOutputTensor::default()
        });
        raw_output_contents.push(tensor.raw);
    }
    ModelInferResponse {
        model_name: request.model_name.clone(),
        model_version: entered.served.version.clone(),
        id: request.id.clone(),
        outputs,
        raw_output_contents,
        ..ModelInferResponse::default()
    }
}

fn no_version(name: &str, version: &str, served: &str) -> Status {
    let version = version.chars().take(32).collect::<String>();
    let name = name.chars().take(super::MAX_ID_LEN).collect::<String>();
    Status::not_found(format!(
        "model {name} has no version {version:?}, only {served:?}"
    ))
}
