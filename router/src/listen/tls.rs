//! TLS towards clients.

#[cfg(feature = "tls")]
pub use kit::tls::Server as Tls;
#[cfg(not(feature = "tls"))]
pub use without::Tls;

/// A build without the feature has the type, so that nobody has to ask, and no value of it.
#[cfg(not(feature = "tls"))]
mod without {
    use std::{convert::Infallible, io};

    use tokio::net::TcpStream;

    /// Answers handshakes.
    #[derive(Clone, Debug)]
    pub struct Tls(Infallible);

    impl Tls {
        /// Does the handshake.
        #[expect(clippy::unused_async, reason = "as the one with the feature")]
        pub async fn accept(&self, _: TcpStream) -> io::Result<TcpStream> {
            match self.0 {}
        }
    }
}
