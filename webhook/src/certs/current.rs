//! The certificate that handshakes get.

use std::{
    fmt,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{health::Health, server::metrics::Metrics};

/// The part of the health that this is.
pub const PART: &str = "certificate";

/// Why a pair cannot be served. Says nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The chain is no PEM.
    #[error("tls.crt holds no PEM certificate: {0}")]
    Chain(String),
    /// The key is no PEM.
    #[error("tls.key holds no PEM private key: {0}")]
    Key(String),
    /// Each is fine, but not both.
    #[error(
        "tls.key does not belong to the certificate in tls.crt, or is of a kind that TLS has no use for: {0}"
    )]
    Match(#[source] rustls::Error),
    /// No X.509.
    #[error("the certificate in tls.crt cannot be read")]
    X509,
}

/// The pair in use. Cheap to clone.
#[derive(Clone)]
pub struct Current(Arc<Inner>);

struct Inner {
    pair: ArcSwapOption<CertifiedKey>,
    /// Hash of what was seen last, taken or not.
    seen: Mutex<Option<u64>>,
    health: Health,
    metrics: Metrics,
}

impl Current {
    /// None yet: handshakes fail.
    pub fn new(health: Health, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            pair: ArcSwapOption::empty(),
            seen: Mutex::new(None),
            health,
            metrics,
        }))
    }

    /// Serves this pair from now on, if it is another one and good. Returns whether it was taken.
    pub fn offer(&self, chain: &[u8], key: &[u8]) -> Result<bool, PairError> {
        let mut hasher = std::hash::DefaultHasher::new();
        (chain, key).hash(&mut hasher);
        let hash = hasher.finish();
        let mut seen = self.0.seen.lock();
        if *seen == Some(hash) {
            return Ok(false);
        }
        *seen = Some(hash);
        match parse(chain, key) {
            Ok((pair, not_after)) => {
                self.0.pair.store(Some(Arc::new(pair)));
                self.0.metrics.certificate_taken(not_after);
                self.0.health.report(PART, None);
                let left = not_after.duration_since(SystemTime::now()).unwrap_or_default();
                tracing::info!(days_left = left.as_secs() / 86_400, "certificate taken");
                Ok(true)
            }
            Err(err) => {
                self.0.metrics.certificate_refused();
                self.missing(&err);
                Err(err)
            }
        }
    }

    /// Says why there is none, as long as there is none.
    pub fn missing(&self, why: &dyn fmt::Display) {
        if self.0.pair.load().is_none() {
            self.0.health.report(PART, Some(why.to_string()));
        }
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.0.pair.load().is_some()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("set", &self.is_set()).finish()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.pair.load_full()
    }
}

fn parse(chain: &[u8], key: &[u8]) -> Result<(CertifiedKey, SystemTime), PairError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|err| PairError::Chain(err.to_string()))?;
    let Some(leaf) = chain.first() else {
        return Err(PairError::Chain("it is empty".to_owned()));
    };
    let not_after = not_after(leaf).ok_or(PairError::X509)?;
    // Its error may quote the key.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|err| PairError::Key(reason(&err).to_owned()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let pair = CertifiedKey::from_der(chain, key, &provider).map_err(PairError::Match)?;
    Ok((pair, not_after))
}

fn reason(err: &rustls::pki_types::pem::Error) -> &'static str {
    match err {
        rustls::pki_types::pem::Error::NoItemsFound => "it is empty, or another kind of PEM",
        _ => "it is damaged",
    }
}

fn not_after(leaf: &[u8]) -> Option<SystemTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::certs::issue::{Authority, names};

    fn current() -> (Current, Health) {
        let health = Health::new(&[PART]);
        let metrics = Metrics::new(&mut Registry::default());
        (Current::new(health.clone(), metrics), health)
    }

    fn pair() -> (String, String) {
        let now = SystemTime::now();
        let authority = Authority::generate(now, Duration::from_hours(48)).unwrap();
        let leaf = authority
            .issue(&names("s", "n", &[]), now, Duration::from_hours(24))
            .unwrap();
        (leaf.certificate, leaf.key)
    }

    #[test]
    fn a_bad_pair_leaves_the_one_before() {
        let (current, health) = current();
        let (chain, key) = pair();
        let (_, other) = pair();
        assert!(current.offer(b"", b"").is_err());
        assert!(!current.is_set());
        assert!(health.readiness().reason().unwrap().contains("tls.crt"));

        assert!(current.offer(chain.as_bytes(), key.as_bytes()).unwrap());
        assert!(health.readiness().is_ready());
        assert!(!current.offer(chain.as_bytes(), key.as_bytes()).unwrap());

        let err = current.offer(chain.as_bytes(), other.as_bytes()).unwrap_err();
        assert!(err.to_string().contains("does not belong"), "{err}");
        let err = current
            .offer(chain.as_bytes(), &key.as_bytes()[..60])
            .unwrap_err();
        assert!(err.to_string().contains("tls.key"), "{err}");
        assert!(!err.to_string().contains(&key[30..60]), "{err}");
        assert!(current.is_set() && health.readiness().is_ready());
        // The good one again is taken again.
        assert!(current.offer(chain.as_bytes(), key.as_bytes()).unwrap());
    }
}
