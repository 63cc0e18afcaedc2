//! TLS of the connections to etcd.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

use super::config::Tls;

/// The configuration for one connection; says which setting is no good.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())?
        .with_root_certificates(roots(tls.authorities.as_deref())?);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate).map_err(|err| format!("`client_certificate`: {err}"))?;
            // Texts of this parser name kinds, not contents.
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|err| format!("`client_key`: no PEM key: {err}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|err| format!("`client_certificate` and `client_key`: {err}"))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The name that the server's certificate must have.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no name of a server"))
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authorities {
        for certificate in certificates(pem).map_err(|err| format!("`certificate`: {err}"))? {
            roots
                .add(certificate)
                .map_err(|err| format!("`certificate`: {err}"))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(
                "the system trusts no certificates; set `certificate` or `certificate_file`".to_owned(),
            );
        }
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in it; want PEM".to_owned()),
        Ok(found) => Ok(found),
        Err(err) => Err(format!("no PEM certificates: {err}")),
    }
}
