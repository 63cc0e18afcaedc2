//! Why files cannot be used for TLS.

use std::{io, path::PathBuf};

/// Names the file and what is wrong with it; says nothing of a private key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is not there, or not readable.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nobody has a chain of certificates that long.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is read at most.
        limit: u64,
    },
    /// No certificates.
    #[error("{} holds no certificate in PEM: {why}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// No private key.
    #[error("{} holds no private key in PEM (PKCS #8, PKCS #1 or SEC1): {why}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A private key behind a passphrase.
    #[error(
        "the private key in {} is encrypted, and passphrases are not supported: store it in clear text, in a Secret that only \
         this pod can read (openssl pkcs8 -topk8 -nocrypt -in {} -out tls.key)",
        path.display(), path.display()
    )]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are fine, but not a pair.
    #[error("the private key in {} does not belong to the certificate in {}: {source}", key.display(), chain.display())]
    Mismatch {
        /// File of the certificate.
        chain: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What the library says; it knows nothing of the key's value.
        #[source]
        source: rustls::Error,
    },
    /// A certificate that is no authority's, or no certificate at all.
    #[error("{} holds a certificate that cannot be trusted: {source}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What the library says.
        #[source]
        source: rustls::Error,
    },
    /// No file says whom to trust.
    #[error("clients shall show a certificate, but no file says which ones are trusted")]
    NobodyTrusted,
    /// A combination that the library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}
