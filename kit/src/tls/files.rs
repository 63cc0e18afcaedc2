//! Reads PEM files.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{TlsError, provider};

/// Largest file that is read: a bundle of all public authorities is a quarter of that.
const LARGEST: u64 = 1 << 20;

/// Certificate and private key of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority, in this order.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Identity {
    pub(super) fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = certificates(&self.chain)?;
        let text = read(&self.key)?;
        if is_encrypted(&text) {
            return Err(TlsError::Encrypted {
                path: self.key.clone(),
            });
        }
        // The library's error may quote the file.
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::NoKey {
            path: self.key.clone(),
            why: reason(&error),
        })?;
        let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Mismatch {
            chain: self.chain.clone(),
            key: self.key.clone(),
            source,
        })?;
        Ok(Arc::new(pair))
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| pem.windows(mark.len()).any(|window| window == *mark))
}

/// All certificates in a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |why| TlsError::NoCertificate {
        path: path.to_owned(),
        why,
    };
    let text = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| refused(reason(&error)))?;
    if certificates.is_empty() {
        return Err(refused("it is empty, or another kind of PEM"));
    }
    Ok(certificates)
}

/// The certificates of several files as what others are measured by.
pub(super) fn roots(paths: &[PathBuf]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|source| TlsError::Trust {
                path: path.clone(),
                source,
            })?;
        }
    }
    Ok(roots)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(TlsError::TooLarge {
            path: path.to_owned(),
            limit: LARGEST,
        });
    }
    Ok(text)
}

fn reason(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "it is empty, or another kind of PEM",
        _ => "it is damaged",
    }
}
