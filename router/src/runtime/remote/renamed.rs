//! The SPI under either of its names.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response, Uri};
use tonic::{body::Body, codegen::Service, transport::Channel};

/// The SPI's name, and the one that it had before `ModelMesh` was published.
const NAME: &str = "/mmesh.ModelRuntime/";
const OLD_NAME: &str = "/com.ibm.watson.tas.internal.proto.ModelServer/";

/// Which name is used. Clones change together.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<AtomicBool>);

impl Names {
    /// Uses the other name from now on.
    pub(super) fn toggle(&self) {
        self.0.fetch_xor(true, Ordering::Relaxed);
    }

    fn is_old(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A channel that puts the name in use into the path of each call.
#[derive(Clone, Debug)]
pub(super) struct Renamed {
    channel: Channel,
    names: Names,
}

impl Renamed {
    pub(super) fn new(channel: Channel, names: Names) -> Self {
        Self { channel, names }
    }
}

impl Service<Request<Body>> for Renamed {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.channel, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.names.is_old()
            && let Some(uri) = renamed(request.uri())
        {
            *request.uri_mut() = uri;
        }
        self.channel.call(request)
    }
}

fn renamed(uri: &Uri) -> Option<Uri> {
    let method = uri.path().strip_prefix(NAME)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{OLD_NAME}{method}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_changes() {
        let uri = Uri::from_static("http://localhost:8085/mmesh.ModelRuntime/loadModel");
        assert_eq!(
            renamed(&uri).unwrap(),
            "http://localhost:8085/com.ibm.watson.tas.internal.proto.ModelServer/loadModel"
        );
        assert_eq!(renamed(&Uri::from_static("/a.B/c")), None);
    }
}
