//! Whom routers of one mesh trust: whoever has a certificate of their authority, whatever it is called.
//!
//! Pods are called by address, and certificates have names of Services or none. So the chain counts, and the name only
//! where one is asked for.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{TlsError, provider};

/// A certificate of a trusted authority, or one that is trusted itself.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
    /// Trusted as they are: a certificate that signed itself is no authority to the library.
    pinned: Vec<CertificateDer<'static>>,
    /// What a server must be called.
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl PeerVerifier {
    pub(super) fn of(
        certificates: Vec<CertificateDer<'static>>,
        name: Option<ServerName<'static>>,
    ) -> Result<Arc<Self>, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        if roots.is_empty() {
            return Err(TlsError::NobodyTrusted);
        }
        let roots = Arc::new(roots);
        let setup = |error: rustls::client::VerifierBuilderError| TlsError::Setup(error.to_string());
        Ok(Arc::new(Self {
            servers: WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
                .build()
                .map_err(setup)?,
            clients: WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(setup)?,
            pinned: certificates,
            name,
            provider: provider(),
        }))
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        self.pinned.iter().any(|pinned| pinned == certificate) && is_valid_at(certificate, now)
    }
}

fn is_valid_at(certificate: &[u8], now: UnixTime) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let validity = parsed.validity();
    i64::try_from(now.as_secs())
        .is_ok_and(|now| (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now))
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = self.name.as_ref().unwrap_or(server_name);
        let verified = self
            .servers
            .verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match verified {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.name.is_none() => Ok(ServerCertVerified::assertion()),
            Err(_) if self.name.is_none() && self.is_pinned(end_entity, now) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Other routers have one certificate, and show it whatever is asked for.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.clients.verify_client_cert(end_entity, intermediates, now) {
            Err(_) if self.is_pinned(end_entity, now) => Ok(ClientCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
