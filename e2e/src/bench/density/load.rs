//! The load generator: HTTP/2 without anything on top, messages encoded before.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::{
    models,
    schedule::{Arrival, Random, Zipf},
};
use crate::client;

/// Connections; calls take turns on them.
const CONNECTIONS: usize = 8;
/// The dispatcher of the open loop wakes up no more often: less work for the core that it shares with the server, and
/// calls are late by no more than this.
const TICK: Duration = Duration::from_micros(100);
/// Longest time for one call, and for connecting.
const LONGEST: Duration = Duration::from_mins(2);

/// Connections to the server, and a request for each model.
#[derive(Debug)]
pub struct Caller {
    connections: Vec<SendRequest<Bytes>>,
    drivers: Vec<AbortHandle>,
    next: AtomicUsize,
    head: Request<()>,
    requests: Vec<Bytes>,
}

/// One call of the open loop.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Number of the model.
    pub model: usize,
    /// When it should have been sent, after the start.
    pub scheduled: Duration,
    /// When it was.
    pub sent: Duration,
    /// When its answer was complete.
    pub done: Duration,
}

/// What a closed loop gave.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Calls that were answered.
    pub calls: usize,
    /// How long that took.
    pub took: Duration,
}

impl Pace {
    /// Calls per second.
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

impl Caller {
    /// Connects, for calls to models `0..models`.
    pub async fn connect(addr: SocketAddr, models: usize) -> anyhow::Result<Arc<Self>> {
        let mut connections = Vec::new();
        let mut drivers = Vec::new();
        for _ in 0..CONNECTIONS {
            let socket = timeout(LONGEST, TcpStream::connect(addr))
                .await
                .context("connecting took too long")?
                .with_context(|| format!("connect to {addr}"))?;
            socket.set_nodelay(true)?;
            let (send, connection) = h2::client::Builder::new()
                .initial_window_size(1 << 20)
                .initial_connection_window_size(8 << 20)
                .handshake(socket)
                .await?;
            connections.push(send);
            let driver = tokio::spawn(async move {
                // Calls on it say what happened.
                let _ended = connection.await;
            });
            drivers.push(driver.abort_handle());
        }
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        let path = api::names::methods::MODEL_INFER;
        let mut head = Request::new(());
        *head.method_mut() = Method::POST;
        *head.uri_mut() = format!("http://{addr}{path}").parse::<Uri>()?;
        *head.headers_mut() = headers;
        Ok(Arc::new(Self {
            connections,
            drivers,
            next: AtomicUsize::new(0),
            head,
            requests: (0..models).map(models::request).collect(),
        }))
    }

    /// One call; gives the answer's message.
    pub async fn call(&self, model: usize) -> anyhow::Result<Bytes> {
        let exchange = async {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
            let connection = self.connections.get(turn).context("no connection")?;
            let request = self.requests.get(model).context("no such model")?;
            let mut connection = connection.clone().ready().await?;
            let (response, mut send) = connection.send_request(self.head.clone(), false)?;
            send.send_data(request.clone(), true)?;
            let (head, mut body) = response.await?.into_parts();
            let mut data = BytesMut::new();
            while let Some(chunk) = body.data().await {
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                data.extend_from_slice(&chunk);
            }
            let trailers = body.trailers().await?.unwrap_or(head.headers);
            let status = trailers.get("grpc-status");
            anyhow::ensure!(
                status.is_some_and(|status| status == "0"),
                "{}: {trailers:?}",
                models::name(model)
            );
            let messages = client::split(data.freeze())?;
            messages.into_iter().next().context("an answer without a message")
        };
        timeout(LONGEST, exchange).await.context("no answer in time")?
    }

    /// Calls each of these models once, `streams` at a time, and checks every answer.
    pub async fn visit(self: &Arc<Self>, models: &[usize], streams: usize) -> anyhow::Result<Pace> {
        let begun = Instant::now();
        let mut calls = JoinSet::new();
        let mut left = models.iter().copied();
        let mut done = 0;
        loop {
            while calls.len() < streams
                && let Some(model) = left.next()
            {
                let caller = Arc::clone(self);
                calls.spawn(async move { models::check(model, &caller.call(model).await?) });
            }
            let Some(ended) = calls.join_next().await else {
                break;
            };
            ended??;
            done += 1;
        }
        Ok(Pace {
            calls: done,
            took: begun.elapsed(),
        })
    }

    /// As many calls as `streams` callers can make that wait for each answer, for `length`.
    pub async fn closed_loop(
        self: &Arc<Self>,
        zipf: &Zipf,
        order: &[usize],
        streams: usize,
        length: Duration,
    ) -> anyhow::Result<Pace> {
        let mut random = Random::new(4);
        // Drawn before: the draw costs as much as a fair part of a call.
        let draws: Arc<[usize]> = (0..DRAWS)
            .map(|_| order.get(zipf.rank(&mut random)).copied().unwrap_or_default())
            .collect();
        let begun = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..streams {
            let (caller, draws, next) = (Arc::clone(self), Arc::clone(&draws), Arc::clone(&next));
            callers.spawn(async move {
                let mut calls = 0;
                while begun.elapsed() < length {
                    let turn = next.fetch_add(1, Ordering::Relaxed) % draws.len();
                    caller.call(draws.get(turn).copied().unwrap_or_default()).await?;
                    calls += 1;
                }
                anyhow::Ok(calls)
            });
        }
        let mut calls = 0;
        while let Some(ended) = callers.join_next().await {
            calls += ended??;
        }
        Ok(Pace {
            calls,
            took: begun.elapsed(),
        })
    }

    /// Calls by the clock, whether answers come or not: at most `streams` at once, and what had to wait for a place is
    /// late by that. Failed calls are an error.
    pub async fn open_loop(
        self: &Arc<Self>,
        arrivals: Arc<[Arrival]>,
        streams: usize,
        begun: Instant,
    ) -> anyhow::Result<Vec<Call>> {
        let places = Arc::new(Semaphore::new(streams));
        let done = Arc::new(Mutex::new(Vec::with_capacity(arrivals.len())));
        let (sender, mut due) = mpsc::channel::<Arrival>(arrivals.len().max(1));
        let dispatcher = thread::Builder::new().name("dispatcher".to_owned());
        let dispatcher = dispatcher.spawn(move || dispatch(&arrivals, begun, &sender))?;
        let mut calls = JoinSet::new();
        while let Some(arrival) = due.recv().await {
            let place = Arc::clone(&places).acquire_owned().await?;
            while let Some(ended) = calls.try_join_next() {
                ended??;
            }
            let (caller, done) = (Arc::clone(self), Arc::clone(&done));
            calls.spawn(async move {
                let sent = begun.elapsed();
                caller.call(arrival.model).await?;
                done.lock().unwrap_or_else(PoisonError::into_inner).push(Call {
                    model: arrival.model,
                    scheduled: arrival.at,
                    sent,
                    done: begun.elapsed(),
                });
                drop(place);
                anyhow::Ok(())
            });
        }
        while let Some(ended) = calls.join_next().await {
            ended??;
        }
        dispatcher
            .join()
            .map_err(|_| anyhow::anyhow!("the dispatcher panicked"))?;
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *done))
    }
}

/// Draws of a closed loop before they repeat.
const DRAWS: usize = 1 << 18;

/// Tells of every call when it is due. The async runtime's clock ticks in milliseconds, which is too coarse here.
fn dispatch(arrivals: &[Arrival], begun: Instant, due: &mpsc::Sender<Arrival>) {
    let mut arrivals = arrivals.iter().peekable();
    while let Some(next) = arrivals.peek() {
        let now = begun.elapsed();
        if let Some(wait) = next.at.checked_sub(now).filter(|wait| !wait.is_zero()) {
            thread::park_timeout(wait.max(TICK));
            continue;
        }
        while let Some(arrival) = arrivals.next_if(|arrival| arrival.at <= now) {
            // There is room for all; whoever does not listen any more has failed and says so.
            if due.try_send(*arrival).is_err() {
                return;
            }
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        for driver in &self.drivers {
            driver.abort();
        }
    }
}
