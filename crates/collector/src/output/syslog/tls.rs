//! TLS to a syslog receiver (RFC 5425): whom we believe, and who we are.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::zeroize::Zeroizing;

use super::config::{ClientCertificate, SyslogConfig};
use crate::credentials::secret;
use crate::{Error, ErrorKind, Result};

/// What a handshake needs, read anew each time, so that a renewed certificate is used.
pub(super) fn client_config(config: &SyslogConfig) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("TLS cannot be set up").with_source(error))?;
    let builder = match &config.ca_file {
        None => builder.with_platform_verifier().map_err(|error| {
            let remedy = "Install the system's certificates (ca-certificates), or name the \
                          receiver's authority with `ca_file`.";
            refused(
                "the system's certificates cannot be read".to_owned(),
                remedy,
            )
            .with_source(error)
        })?,
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| not_pem(file, "certificate").with_source(error))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let config = match &config.client {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate {
            cert_file,
            key_file,
        }) => builder
            .with_client_auth_cert(certificates(cert_file)?, key(key_file)?)
            .map_err(|error| {
                let message = format!(
                    "the certificate {} and the key {} cannot be used",
                    cert_file.display(),
                    key_file.display()
                );
                refused(
                    message,
                    "Give a certificate and the key that belongs to it.",
                )
                .with_source(error)
            })?,
    };
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(file).map_err(|error| unreadable(file, error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(not_pem(file, "certificate")),
        Err(error) => Err(not_pem(file, "certificate").with_source(error)),
    }
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let mut pem = Zeroizing::new(Vec::new());
    let mut opened = secret::open(file, "key", false)?;
    opened
        .read_to_end(&mut pem)
        .map_err(|error| unreadable(file, error))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| not_pem(file, "private key"))
}

fn unreadable(file: &Path, error: io::Error) -> Error {
    let message = format!("{} cannot be read", file.display());
    let remedy = "Put it there, readable for the user that collects.";
    refused(message, remedy).with_source(error)
}

fn not_pem(file: &Path, what: &str) -> Error {
    let message = format!("{} holds no {what} that can be used", file.display());
    refused(message, "Give it as PEM: it begins with -----BEGIN.")
}

fn refused(message: String, remedy: &'static str) -> Error {
    Error::new(ErrorKind::Credentials, message, remedy)
}
