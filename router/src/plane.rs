//! The data plane: brings a call of any method to a loaded copy of its model.
//!
//! ```text
//! classify -> find the model's name (headers, or the first message) -> find a place (loads on a miss)
//!          -> here:  send, ids spliced in -> response
//!          |         '- the runtime forgot the model, or never saw the request: once more, from what was kept
//!          -> there: send to another router, as it is -> response
//!                    '- refused, or never sent: another place
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use api::mmesh::RuntimeStatusResponse;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, request::Parts};
use quick_cache::sync::Cache as BoundedMap;
use tonic::Code;

use crate::{
    body::{ReplayBudget, RequestBody},
    cache::Lease,
    edit::{Editor, Encoding},
    exchange::{Broken, Exchange},
    failure::{self, Failure},
    mesh::{
        Mesh,
        hop::{Hop, Route, Routes},
    },
    metrics::Metrics,
    observe::Observers,
    peer::{Busy, Peers},
    request::{self, Routing},
    rules::{NameKind, Rules},
    upstream::{Frame, Head, LocalService, Upstream},
    wire::path::FieldPath,
};

mod again;
mod destination;
mod forwarded;
mod many;
mod place;
mod status;
mod unary;

use again::{Attempt, Lost};
use destination::{Names, Reading};
use status::broken_failure;

/// The runtime's own service, and the one that it had before: the router alone loads and unloads.
const SPI: [&str; 2] = [
    "/mmesh.ModelRuntime/",
    "/com.ibm.watson.tas.internal.proto.ModelServer/",
];
/// Limits and manners of the data plane.
#[derive(Clone, Debug)]
pub struct PlaneOptions {
    /// Largest message, both ways, in bytes.
    pub message_limit: usize,
    /// Memory for requests that may have to be sent again, in bytes.
    pub replay_budget: usize,
    /// Models of one call that run at once.
    pub parallelism: usize,
    /// The runtime's own status texts and UNAVAILABLE, instead of ModelMesh's prefixed texts and INTERNAL.
    pub plain_statuses: bool,
    /// Longest life of a call whose client sets no deadline.
    pub longest_call: Duration,
}

/// See the module's text.
#[derive(Debug)]
pub struct Plane {
    mesh: Arc<Mesh>,
    upstream: Upstream,
    rules: ArcSwap<Rules>,
    /// What the runtime says of its methods; `None` = everything is allowed, nothing is injected.
    methods: Option<Methods>,
    local: LocalServices,
    options: PlaneOptions,
    budget: Arc<ReplayBudget>,
    genuine: BoundedMap<u64, Instant>,
    metrics: Metrics,
    routes: Arc<dyn Routes>,
    /// The other routers; `None` = this one is alone.
    peers: Option<Arc<Peers>>,
    /// What other routers ask of this one.
    internal: Option<LocalService>,
    /// Set once, before the first call.
    observers: OnceLock<Arc<Observers>>,
}

/// Services that the router answers itself.
#[derive(Debug)]
pub struct LocalServices {
    /// All of them.
    pub service: LocalService,
    /// Full names of services that are answered whole.
    pub services: Vec<&'static str>,
    /// Full paths of single methods of services that are otherwise the model server's.
    pub methods: Vec<String>,
}

impl LocalServices {
    fn serves(&self, path: &str) -> bool {
        let service = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .map_or("", |(service, _)| service);
        self.services.contains(&service) || self.methods.iter().any(|method| method == path)
    }
}

#[derive(Debug)]
struct Methods {
    injection: HashMap<Box<str>, Option<FieldPath>>,
    allow_any: bool,
}

impl Methods {
    fn of(status: &RuntimeStatusResponse) -> Option<Self> {
        let injection: HashMap<_, _> = status
            .method_infos
            .iter()
            .map(|(method, info)| {
                let path = FieldPath::new(&info.id_injection_path);
                (format!("/{}", method.trim_start_matches('/')).into(), path)
            })
            .collect();
        (!injection.is_empty()).then_some(Self {
            injection,
            allow_any: status.allow_any_method,
        })
    }
}

/// A call as it came in.
#[derive(Debug)]
pub struct Incoming {
    /// Method path and metadata.
    pub parts: Parts,
    /// Messages.
    pub body: RequestBody,
    /// What the headers say.
    pub routing: Routing,
    /// When the client gives up.
    pub deadline: Option<Instant>,
}

/// A response of which the beginning is known.
#[derive(Debug)]
pub enum Reply {
    /// It comes from a server.
    Live(Head, Box<Exchange>),
    /// It is complete: one message with its framing.
    Ready(HeaderMap, Bytes),
}

/// What stays the same when a call is made again.
struct Plan {
    kind: NameKind,
    name: String,
    /// What the client called the model, where another router has made that the concrete id.
    asked: Option<String>,
    expect: Option<(FieldPath, String)>,
    encoding: Encoding,
    unary: bool,
}

impl Plane {
    /// A data plane over a mesh whose runtime answers at `upstream`.
    pub fn new(
        mesh: Arc<Mesh>,
        upstream: Upstream,
        rules: Rules,
        local: LocalServices,
        options: PlaneOptions,
        metrics: Metrics,
    ) -> Self {
        let methods = Methods::of(mesh.cache().runtime_status());
        let budget = ReplayBudget::new(options.replay_budget);
        let rules = ArcSwap::from_pointee(rules);
        Self {
            routes: mesh.clone(),
            peers: None,
            internal: None,
            observers: OnceLock::new(),
            mesh,
            upstream,
            rules,
            methods,
            local,
            options,
            budget,
            genuine: BoundedMap::new(again::GENUINE),
            metrics,
        }
    }

    /// One router of several: `internal` answers the others, `routes` knows where calls go.
    #[must_use]
    pub fn among(self, peers: Arc<Peers>, internal: LocalService, routes: Arc<dyn Routes>) -> Self {
        Self {
            routes,
            peers: Some(peers),
            internal: Some(internal),
            ..self
        }
    }

    /// Limits.
    pub fn options(&self) -> &PlaneOptions {
        &self.options
    }

    /// The registry and the cache behind it.
    pub fn mesh(&self) -> &Arc<Mesh> {
        &self.mesh
    }

    /// Counters and histograms.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Who else sees calls; `None` = nobody.
    pub fn observers(&self) -> Option<&Observers> {
        self.observers.get().map(|observers| &**observers)
    }

    /// Lets others see calls from now on. Only the first call of this counts.
    pub fn set_observers(&self, observers: Arc<Observers>) {
        let _ = self.observers.set(observers);
    }

    /// Memory for requests that may be sent again.
    pub fn budget(&self) -> &Arc<ReplayBudget> {
        &self.budget
    }

    /// How busy this router is; `None` when there is no other one to be told.
    pub fn busy(&self) -> Option<&Busy> {
        self.peers.as_ref().map(|peers| peers.busy())
    }

    /// Takes new extraction rules; calls under way keep theirs.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Makes a call, up to the beginning of its response.
    ///
    /// The warm path has three waits at most: for the first message, for the response to begin, and for its first
    /// frame. Everything that is rare is boxed, so that the state of a usual call stays small.
    pub async fn call(&self, mut incoming: Box<Incoming>) -> Result<Reply, Failure> {
        let path = incoming.parts.uri.path();
        if self.local.serves(path) {
            return Box::pin(self.call_local(&self.local.service, incoming)).await;
        }
        check_service(path)?;
        if self.peers.is_none() {
            // Among others, the runtime of the router that serves the call knows.
            self.check_method(path)?;
        }
        let destination = match self.destination(&mut incoming, Reading::Arrived)? {
            Some(destination) => destination,
            None => Box::pin(self.wait_for_destination(&mut incoming)).await?,
        };
        let name = match destination.names {
            Names::One(name) => name,
            Names::Many(ids) => return Box::pin(self.call_many(incoming, destination.kind, ids)).await,
        };
        let plan = Plan {
            kind: destination.kind,
            name,
            asked: None,
            expect: destination.expect,
            encoding: incoming.routing.encoding,
            unary: destination.unary,
        };
        let mut hop = Hop::of_client(incoming.routing.balanced);
        hop.draw = self.routes.draw(&plan.name, plan.kind, &incoming.parts.headers);
        let route = match self.try_place(&plan, &hop) {
            Some(route) => route,
            None => Box::pin(self.place(&plan, &mut hop)).await?,
        };
        self.send(incoming, plan, hop, route).await
    }

    async fn call_local(&self, service: &LocalService, incoming: Box<Incoming>) -> Result<Reply, Failure> {
        let upstream = Upstream::Local(service.clone());
        let Incoming { parts, body, .. } = *incoming;
        let mut exchange = Exchange::start(&upstream, Request::from_parts(parts, ()), body, None, None)?;
        let head = exchange.head().await.map_err(broken_failure)?;
        exchange.settle();
        Ok(Reply::Live(head, exchange))
    }

    /// Whether the runtime here serves this method; another one may serve others.
    fn check_method(&self, path: &str) -> Result<(), Failure> {
        match &self.methods {
            Some(methods) if !methods.allow_any && !methods.injection.contains_key(path) => {
                Err(not_permitted(path))
            }
            _ => Ok(()),
        }
    }

    /// Sends the request and waits for the response; again where that is safe and promising.
    async fn send(
        &self,
        mut incoming: Box<Incoming>,
        mut plan: Plan,
        hop: Hop,
        route: Route,
    ) -> Result<Reply, Failure> {
        incoming.body.pull_arrived()?;
        if incoming.routing.own {
            request::strip(&mut incoming.parts.headers);
        }
        if incoming.parts.uri.authority().is_none() {
            incoming.parts.uri = uri(incoming.parts.uri.path())?;
        }
        let Incoming {
            parts,
            body,
            routing,
            deadline,
        } = *incoming;
        let mut attempt = Box::new(Attempt::new(parts, hop, deadline, routing.retry));
        let mut exchange = self.attempt(&mut attempt, body, &plan, route)?;
        loop {
            // Another router has waited already.
            let wait = plan.unary && exchange.remote().is_none();
            let lost = match begin(&mut exchange, wait).await {
                Ok(mut head) => match self.judge(&mut head, &exchange, &attempt) {
                    None => {
                        exchange.settle();
                        exchange.set_name(
                            plan.asked
                                .take()
                                .unwrap_or_else(|| std::mem::take(&mut plan.name)),
                        );
                        return Ok(Reply::Live(head, exchange));
                    }
                    Some(why) => why.because_of(head),
                },
                Err(broken) => Lost::Call(broken),
            };
            exchange = Box::pin(self.again(exchange, lost, &plan, &mut attempt)).await?;
        }
    }

    fn attempt(
        &self,
        attempt: &mut Attempt,
        body: RequestBody,
        plan: &Plan,
        route: Route,
    ) -> Result<Box<Exchange>, Failure> {
        if let Some(deadline) = attempt.deadline {
            let left = request::timeout_value(deadline.saturating_duration_since(Instant::now()));
            attempt.parts.headers.insert("grpc-timeout", left);
        }
        let lease = match &route {
            Route::Here(lease) => lease,
            Route::There(_) => return self.forward(attempt, body, plan, route),
        };
        attempt.generation = lease.generation();
        let path = attempt.parts.uri.path();
        self.check_method(path)?;
        let mut request = copy(&attempt.parts);
        lease.id_headers().put(request.headers_mut());
        let editor = self.editor(path, lease, plan);
        if editor.is_some() {
            // Another id makes another length.
            request.headers_mut().remove(http::header::CONTENT_LENGTH);
        }
        Exchange::start(&self.upstream, request, body, editor, Some(route))
    }

    fn editor(&self, path: &str, lease: &Lease, plan: &Plan) -> Option<Editor> {
        let injection = self
            .methods
            .as_ref()
            .and_then(|methods| methods.injection.get(path)?.clone());
        let inject = injection.map(|path| (path, lease.id().as_str().to_owned()));
        Editor::new(
            plan.expect.clone(),
            inject,
            plan.encoding,
            self.options.message_limit,
        )
    }
}

/// The runtime's own service is nobody's else.
fn check_service(path: &str) -> Result<(), Failure> {
    if SPI.iter().any(|service| path.starts_with(service)) {
        return Err(not_permitted(path));
    }
    Ok(())
}

fn not_permitted(path: &str) -> Failure {
    let method = path.trim_start_matches('/');
    let text = format!("{method}: UNIMPLEMENTED: Method not found or not permitted: {method}");
    Failure::new(Code::Unimplemented, text)
}

fn copy(parts: &Parts) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = parts.headers.clone();
    request
}

/// Waits for the beginning of a response; of a unary one until it is known whether it succeeded.
async fn begin(exchange: &mut Exchange, unary: bool) -> Result<Head, Broken> {
    let mut head = exchange.head().await?;
    if !head.end
        && let Some(Frame::Trailers(trailers)) = exchange.look_ahead(unary).await?
        && failure::code(trailers) != Some(Code::Ok)
    {
        // A status without a message: the same as a response of trailers only.
        head.headers.extend(trailers.clone());
        head.end = true;
    }
    Ok(head)
}

/// A URI with the authority that HTTP/2 wants.
fn uri(path: &str) -> Result<Uri, Failure> {
    Uri::builder()
        .scheme("http")
        .authority("localhost")
        .path_and_query(path)
        .build()
        .map_err(|_| Failure::invalid("the method's name is not a valid path"))
}

/// Headers of a unary call that the router makes itself.
fn grpc_headers(mut headers: HeaderMap) -> HeaderMap {
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    headers
}

#[cfg(test)]
mod tests;
