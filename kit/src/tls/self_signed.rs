//! A certificate for those who do not look at it: scrapers that are told to skip verification.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{pki_types::PrivateKeyDer, sign::CertifiedKey};

use super::{Server, TlsError, provider};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// It could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// It could not be used.
    #[error("cannot use the certificate")]
    Use(#[from] TlsError),
}

/// A server with a certificate that it has made and signed itself, for these names. It lives as long as the process.
pub fn self_signed(names: &[&str], protocols: &[&'static str]) -> Result<Server, SelfSignedError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let pair = CertifiedKey::from_der(vec![certificate.der().clone()], key, &provider())
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(Server::fixed(pair, protocols)?)
}
