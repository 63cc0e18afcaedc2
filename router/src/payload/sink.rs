//! Where events go: the log, or HTTP with one connection per processor and consumer.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpStream, time::timeout};

use super::{
    Outcome, PayloadMetrics, Processor, ProcessorError,
    event::{Event, events},
    filter::Target,
    tap::Job,
};

/// For one event, connecting included.
const DEADLINE: Duration = Duration::from_secs(10);
/// What is read of an answer, so that the connection can be used again.
const ANSWER: usize = 64 << 10;

/// Authorities behind `https`, as PEM files.
pub type Trust = Vec<PathBuf>;

/// A consumer's way to every processor.
pub(super) struct Sinks {
    processors: Arc<[Processor]>,
    posts: Vec<Option<Post>>,
    metrics: PayloadMetrics,
    last_error: Arc<Mutex<Option<String>>>,
}

impl Sinks {
    pub(super) fn new(
        processors: Arc<[Processor]>,
        trust: &Trust,
        metrics: PayloadMetrics,
        last_error: Arc<Mutex<Option<String>>>,
    ) -> Result<Self, ProcessorError> {
        let post = |processor: &Processor| match &processor.target {
            Target::Logger => Ok(None),
            Target::Http(uri) => Post::new(uri.clone(), trust).map(Some),
        };
        Ok(Self {
            posts: processors.iter().map(post).collect::<Result<_, _>>()?,
            processors,
            metrics,
            last_error,
        })
    }

    /// Tells every processor that wants it of a call.
    pub(super) async fn process(&mut self, job: &Job) {
        for (processor, post) in self.processors.iter().zip(&mut self.posts) {
            let ended = &job.ended;
            if !processor.wants_method(&job.method)
                || !processor.wants_model(&ended.model, ended.vmodel.as_deref())
            {
                continue;
            }
            for event in events(job) {
                let sent = match post {
                    None => {
                        log(job, &event);
                        Ok(())
                    }
                    Some(post) => post.send(&event).await,
                };
                match sent {
                    Ok(()) => self.metrics.count(Outcome::sent),
                    Err(error) => {
                        self.metrics.count(Outcome::failed);
                        *self.last_error.lock() = Some(format!("{}: {error}", post_host(processor)));
                    }
                }
            }
        }
    }
}

fn post_host(processor: &Processor) -> &str {
    match &processor.target {
        Target::Logger => "logger",
        Target::Http(uri) => uri.host().unwrap_or_default(),
    }
}

fn log(job: &Job, event: &Event<'_>) {
    tracing::info!(
        id = job.id,
        model = job.ended.model,
        vmodel = job.ended.vmodel,
        method = job.method,
        kind = event.kind,
        code = kit::status::name(job.ended.code),
        bytes = event.bytes,
        "payload"
    );
}

/// Posts events to one URI.
struct Post {
    uri: Uri,
    #[cfg(feature = "tls")]
    tls: Option<kit::tls::Client>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("no answer within {DEADLINE:?}")]
    Late,
    #[error("connect: {0}")]
    Connect(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the event cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("answered {0}")]
    Status(StatusCode),
}

impl Post {
    fn new(uri: Uri, trust: &Trust) -> Result<Self, ProcessorError> {
        let secure = uri.scheme_str() == Some("https");
        #[cfg(feature = "tls")]
        {
            let tls = secure
                .then(|| {
                    kit::tls::Client::read(kit::tls::ClientFiles {
                        identity: None,
                        trust: trust.clone(),
                        name: uri.host().map(str::to_owned),
                        protocols: vec!["http/1.1"],
                    })
                })
                .transpose()
                .map_err(|error| ProcessorError::Tls(error.to_string()))?;
            Ok(Self {
                uri,
                tls,
                connection: None,
            })
        }
        #[cfg(not(feature = "tls"))]
        {
            let _ = trust;
            if secure {
                return Err(ProcessorError::Tls("this program is built without TLS".into()));
            }
            Ok(Self {
                uri,
                connection: None,
            })
        }
    }

    async fn send(&mut self, event: &Event<'_>) -> Result<(), PostError> {
        let body = Bytes::from(serde_json::to_vec(event)?);
        let sent = timeout(DEADLINE, self.post(body))
            .await
            .unwrap_or(Err(PostError::Late));
        if !matches!(sent, Ok(()) | Err(PostError::Status(_))) {
            self.connection = None;
        }
        sent
    }

    async fn post(&mut self, body: Bytes) -> Result<(), PostError> {
        let connection = match self.connection.take() {
            // It was closed while nobody needed it.
            Some(mut open) => open.ready().await.is_ok().then_some(open),
            None => None,
        };
        let mut connection = match connection {
            Some(open) => open,
            None => self.connect().await?,
        };
        let host = self.uri.authority().map_or("", |authority| {
            let text = authority.as_str();
            text.rsplit('@').next().unwrap_or(text)
        });
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::post(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        connection.ready().await?;
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        // An answer that is too long costs the connection, not the event.
        if Limited::new(answer.into_body(), ANSWER).collect().await.is_ok() {
            self.connection = Some(connection);
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(PostError::Status(status))
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, PostError> {
        let host = self.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let secure = self.uri.scheme_str() == Some("https");
        let port = self.uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let socket = TcpStream::connect((host, port)).await?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let socket = tls.connect(socket).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
            tokio::spawn(connection);
            return Ok(sender);
        }
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
