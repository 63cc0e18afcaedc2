//! The data plane: brings a call of any method to a loaded copy of its model.
//!
//! ```text
//! classify -> find the model's name (headers, or the first message) -> enter a copy (loads on a miss)
//!          -> send, ids spliced in -> response
//!                 '- the runtime forgot the model, or never saw the request: once more, from what was kept
//! ```

use std::{
    collections::HashMap,
    sync::Arc,
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
    edit::{self, Editor, Encoding},
    exchange::{Broken, Exchange},
    failure::{self, Failure},
    mesh::{Mesh, TryEnter},
    metrics::Metrics,
    model::versioned_name,
    request::{self, Routing, Target},
    rules::{Extract, NameKind, Rules, Verdict},
    upstream::{Frame, Head, LocalService, Upstream},
    wire::path::FieldPath,
};

mod many;
mod unary;

/// How often one request is sent: the first time, and again after the runtime forgot the model or refused the stream.
const ATTEMPTS: u32 = 3;
/// The runtime's own service, and the one that it had before: the router alone loads and unloads.
const SPI: [&str; 2] = [
    "/mmesh.ModelRuntime/",
    "/com.ibm.watson.tas.internal.proto.ModelServer/",
];
/// Copies of which a `NOT_FOUND` is known to be the model's own answer.
const GENUINE: usize = 10_000;
/// How long that is believed: a runtime may forget such a model too, but a reload for every answer costs too much.
const GENUINE_FOR: Duration = Duration::from_mins(10);

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

/// Which model a call is for.
struct Destination {
    kind: NameKind,
    names: Names,
    /// Later messages must name what the first one named.
    expect: Option<(FieldPath, String)>,
    unary: bool,
}

/// What has arrived of a body, or all there is of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Arrived,
    Ended,
}

/// What stays the same when a call is made again.
struct Plan {
    kind: NameKind,
    name: String,
    expect: Option<(FieldPath, String)>,
    encoding: Encoding,
    unary: bool,
}

/// What changes.
struct Attempt {
    parts: Parts,
    number: u32,
    /// The copy that is asked.
    generation: u64,
    /// That copy was loaded just now, because the one before it was lost.
    reloaded: bool,
}

/// Why a call is to be made again.
enum Lost {
    /// The runtime does not have the model.
    Model(Head),
    /// The call broke off.
    Call(Broken),
}

enum Names {
    One(String),
    Many(Vec<crate::model::ModelId>),
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
            mesh,
            upstream,
            rules,
            methods,
            local,
            options,
            budget,
            genuine: BoundedMap::new(GENUINE),
            metrics,
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

    /// Memory for requests that may be sent again.
    pub fn budget(&self) -> &Arc<ReplayBudget> {
        &self.budget
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
            return Box::pin(self.call_local(incoming)).await;
        }
        self.check_method(path)?;
        let destination = match self.destination(&mut incoming, Reading::Arrived)? {
            Some(destination) => destination,
            None => Box::pin(self.wait_for_destination(&mut incoming)).await?,
        };
        let name = match destination.names {
            Names::One(name) => name,
            Names::Many(ids) => return Box::pin(self.call_many(incoming, destination.kind, ids)).await,
        };
        let lease = match self.mesh.try_enter(&name, destination.kind) {
            TryEnter::Ready(lease) => lease,
            TryEnter::Cold(_) | TryEnter::NotFound => Box::pin(self.enter(&name, destination.kind)).await?,
        };
        let plan = Plan {
            kind: destination.kind,
            name,
            expect: destination.expect,
            encoding: incoming.routing.encoding,
            unary: destination.unary,
        };
        self.exchange(incoming, plan, lease).await
    }

    async fn call_local(&self, incoming: Box<Incoming>) -> Result<Reply, Failure> {
        let upstream = Upstream::Local(self.local.service.clone());
        let Incoming { parts, body, .. } = *incoming;
        let mut exchange = Exchange::start(&upstream, Request::from_parts(parts, ()), body, None, None)?;
        let head = exchange.head().await.map_err(broken_failure)?;
        exchange.settle();
        Ok(Reply::Live(head, exchange))
    }

    fn check_method(&self, path: &str) -> Result<(), Failure> {
        let denied = SPI.iter().any(|service| path.starts_with(service))
            || self
                .methods
                .as_ref()
                .is_some_and(|methods| !methods.allow_any && !methods.injection.contains_key(path));
        if denied {
            let method = path.trim_start_matches('/');
            let text = format!("{method}: UNIMPLEMENTED: Method not found or not permitted: {method}");
            return Err(Failure::new(Code::Unimplemented, text));
        }
        Ok(())
    }

    /// Sends the request and waits for the response; again where that is safe and promising.
    async fn exchange(
        &self,
        mut incoming: Box<Incoming>,
        plan: Plan,
        lease: Lease,
    ) -> Result<Reply, Failure> {
        incoming.body.pull_arrived()?;
        if incoming.routing.own {
            request::strip(&mut incoming.parts.headers);
        }
        if let Some(deadline) = incoming.deadline {
            let left = request::timeout_value(deadline.saturating_duration_since(Instant::now()));
            incoming.parts.headers.insert("grpc-timeout", left);
        }
        if incoming.parts.uri.authority().is_none() {
            incoming.parts.uri = uri(incoming.parts.uri.path())?;
        }
        let Incoming { parts, body, .. } = *incoming;
        let mut attempt = Box::new(Attempt {
            parts,
            number: 1,
            generation: lease.generation(),
            reloaded: false,
        });
        let mut exchange = self.attempt(&attempt.parts, body, &plan, lease)?;
        loop {
            let broken = match begin(&mut exchange, plan.unary).await {
                Ok(mut head) => {
                    if !head.end || !self.seems_lost(&head, &attempt) {
                        exchange.settle();
                        if head.end {
                            self.translate_status(attempt.parts.uri.path(), &mut head.headers);
                        }
                        return Ok(Reply::Live(head, exchange));
                    }
                    Lost::Model(head)
                }
                Err(broken) => Lost::Call(broken),
            };
            exchange = Box::pin(self.again(exchange, broken, &plan, &mut attempt)).await?;
        }
    }

    fn attempt(
        &self,
        parts: &Parts,
        body: RequestBody,
        plan: &Plan,
        lease: Lease,
    ) -> Result<Box<Exchange>, Failure> {
        let mut request = Self::request(parts, &lease);
        let editor = self.editor(parts.uri.path(), &lease, plan);
        if editor.is_some() {
            // Another id makes another length.
            request.headers_mut().remove(http::header::CONTENT_LENGTH);
        }
        Exchange::start(&self.upstream, request, body, editor, Some(lease))
    }

    /// The runtime says that it does not have the model, and may well mean it.
    fn seems_lost(&self, head: &Head, attempt: &Attempt) -> bool {
        let Some(code) = failure::code(&head.headers).filter(|code| *code != Code::Ok) else {
            return false;
        };
        if !is_lost(code, &failure::message(&head.headers)) {
            return false;
        }
        if attempt.reloaded {
            // Lost again right after a load: then it is the model's own answer, and no reason to reload.
            self.genuine.insert(attempt.generation, Instant::now());
        }
        let genuine = self.genuine.get(&attempt.generation);
        attempt.number < ATTEMPTS && genuine.is_none_or(|since| since.elapsed() >= GENUINE_FOR)
    }

    /// Makes the call once more, or says why not.
    async fn again(
        &self,
        exchange: Box<Exchange>,
        lost: Lost,
        plan: &Plan,
        attempt: &mut Attempt,
    ) -> Result<Box<Exchange>, Failure> {
        let again = match &lost {
            Lost::Model(_) => true,
            Lost::Call(Broken::Server(error)) => error.is_unsent() && attempt.number < ATTEMPTS,
            Lost::Call(Broken::Client(_)) => false,
        };
        let (body, lease) = if again { exchange.unwind() } else { (None, None) };
        let lease = match (&lost, lease) {
            (Lost::Model(_), Some(old)) => {
                tracing::info!(model = %old.id(), "the runtime no longer has the model; loading it again");
                // By name: a vmodel may have moved on in the meantime.
                self.mesh.cache().forget(old);
                attempt.reloaded = true;
                let fresh = self.enter(&plan.name, plan.kind).await?;
                if body.is_none() {
                    // This request cannot find out whether that helped; the next ones must not reload for ever.
                    self.genuine.insert(fresh.generation(), Instant::now());
                }
                Some(fresh)
            }
            (_, lease) => lease,
        };
        let (Some(body), Some(lease)) = (body, lease) else {
            let path = attempt.parts.uri.path();
            return Err(match lost {
                Lost::Model(head) => self.translate(path, &head.headers),
                Lost::Call(broken) => self.broken(path, broken),
            });
        };
        attempt.number += 1;
        attempt.generation = lease.generation();
        self.attempt(&attempt.parts, body, plan, lease)
    }

    fn request(parts: &Parts, lease: &Lease) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = parts.headers.clone();
        lease.id_headers().put(request.headers_mut());
        request
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

    async fn wait_for_destination(&self, incoming: &mut Incoming) -> Result<Destination, Failure> {
        loop {
            if !incoming.body.pull_for_peek().await? {
                let ended = self.destination(incoming, Reading::Ended)?;
                return ended
                    .ok_or_else(|| Failure::new(Code::Internal, "half-closed without a request message"));
            }
            if let Some(destination) = self.destination(incoming, Reading::Arrived)? {
                return Ok(destination);
            }
        }
    }

    /// Finds out which model a call is for; `None` when more of its first message is needed for that.
    fn destination(&self, incoming: &mut Incoming, reading: Reading) -> Result<Option<Destination>, Failure> {
        let rules = self.rules.load();
        let extract = match rules.of(incoming.parts.uri.path()) {
            Verdict::Denied => return Err(Failure::new(Code::Unimplemented, "")),
            Verdict::Headers => None,
            Verdict::Extract(extract) => Some(extract),
        };
        let unary = extract.is_some_and(|extract| extract.unary);
        // With V2's own rules a header is the more explicit word; with configured rules the message is, as upstream.
        let by_message = extract
            .filter(|extract| extract.kind != NameKind::Either || incoming.routing.target == Target::None);
        if let Some(extract) = by_message {
            match self.peek(incoming, extract)? {
                None if reading == Reading::Arrived => return Ok(None),
                None => {}
                Some((wire_name, _)) if wire_name.is_empty() => {}
                Some((wire_name, version)) => {
                    let name = if version.is_empty() {
                        None
                    } else {
                        self.with_version(&wire_name, &version)
                    };
                    let expect = (!extract.unary).then(|| (extract.path.clone(), wire_name.clone()));
                    let name = name.unwrap_or(wire_name);
                    return Ok(Some(Destination {
                        kind: extract.kind,
                        names: Names::One(name),
                        expect,
                        unary,
                    }));
                }
            }
        }
        let (kind, names) = match &incoming.routing.target {
            Target::One(kind, id) => (*kind, Names::One(id.as_str().to_owned())),
            Target::Many(kind, ids) => (*kind, Names::Many(ids.clone())),
            Target::None if extract.is_some() => {
                return Err(Failure::invalid(
                    "must include mm-model-id header, or the model's name in the request",
                ));
            }
            Target::None => return Err(Failure::invalid("must include mm-model-id header")),
        };
        Ok(Some(Destination {
            kind,
            names,
            expect: None,
            unary,
        }))
    }

    /// The name for one version, where versions are registered; else the name alone, and the runtime judges the version.
    fn with_version(&self, name: &str, version: &str) -> Option<String> {
        let versioned = versioned_name(name, version);
        // A version that is not known is answered so here, without a call that would have the runtime suspected of
        // forgetting models.
        let known = self.mesh.lookup(&versioned, NameKind::Either).is_some() || self.mesh.has_versions(name);
        known.then(|| versioned.into_owned())
    }

    /// Name and version in what has arrived of the first message; `None` when more of it is needed.
    fn peek(&self, incoming: &mut Incoming, extract: &Extract) -> Result<Option<(String, String)>, Failure> {
        let (limit, encoding) = (self.options.message_limit, incoming.routing.encoding);
        let read = |message: &[u8], total: usize| {
            let Some(name) = edit::read(&extract.path, message, total)? else {
                return Ok(None);
            };
            let version = match &extract.version {
                None => None,
                Some(path) => match edit::read(path, message, total)? {
                    None => return Ok(None),
                    Some(version) => version,
                },
            };
            Ok(Some((name.unwrap_or_default(), version.unwrap_or_default())))
        };
        let found = incoming.body.peek(|prefix, message| {
            if !prefix.compressed {
                return read(message, prefix.length);
            }
            if message.len() < prefix.length {
                return Ok(None);
            }
            let plain = encoding.decode(message, limit)?;
            read(&plain, plain.len())
        })?;
        let longest = crate::model::ModelId::MAX_LEN;
        match found {
            Some((name, _)) if name.len() > longest => Err(Failure::invalid(format!(
                "the model's name is longer than {longest} bytes"
            ))),
            found => Ok(found),
        }
    }

    async fn enter(&self, name: &str, kind: NameKind) -> Result<Lease, Failure> {
        match self.mesh.try_enter(name, kind) {
            TryEnter::Ready(lease) => Ok(lease),
            TryEnter::Cold(_) | TryEnter::NotFound => {
                self.mesh.enter(name, kind).await.map_err(Failure::from)
            }
        }
    }

    /// ModelMesh's texts for a runtime's error status, unless plain ones are asked for.
    fn translate(&self, path: &str, headers: &HeaderMap) -> Failure {
        let code = failure::code(headers).unwrap_or(Code::Unknown);
        let text = failure::message(headers);
        if self.options.plain_statuses {
            return Failure::new(code, text);
        }
        let method = path.trim_start_matches('/');
        if code == Code::Unavailable {
            return Failure::new(
                Code::Internal,
                format!("ModelRuntime UNAVAILABLE: {method}: UNAVAILABLE: {text}"),
            );
        }
        Failure::new(code, format!("{method}: {}: {text}", kit::status::name(code)))
    }

    /// The same, in the headers or trailers of a response.
    pub fn translate_status(&self, path: &str, headers: &mut HeaderMap) {
        if headers.get("grpc-status").is_none_or(|value| value == "0") || self.options.plain_statuses {
            return;
        }
        let failure = self.translate(path, headers);
        headers.remove("grpc-message");
        headers.extend(failure.trailers());
    }

    /// A call that broke off, as the client sees it.
    pub fn broken(&self, path: &str, broken: Broken) -> Failure {
        match broken {
            Broken::Client(failure) => failure,
            Broken::Server(error) => {
                tracing::debug!(error = %error, "a call to the model server broke off");
                let failure = error.failure();
                self.translate(path, &failure.trailers())
            }
        }
    }
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

fn broken_failure(broken: Broken) -> Failure {
    match broken {
        Broken::Client(failure) => failure,
        Broken::Server(error) => error.failure(),
    }
}

/// The ways in which runtimes say that they do not have a model (ModelMesh's list: plain `NOT_FOUND`,
/// Triton, MLServer).
fn is_lost(code: Code, text: &str) -> bool {
    match code {
        Code::NotFound => true,
        Code::Unavailable => {
            text.starts_with("Request for unknown model")
                && (text.ends_with(" is not found") || text.ends_with(" has no available versions"))
        }
        Code::InvalidArgument => text.starts_with("Model ") && text.ends_with("not found"),
        _ => false,
    }
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
