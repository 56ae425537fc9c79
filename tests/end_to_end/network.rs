//! The ways to the service that networks of companies have: a certificate authority of their own, a proxy, IPv6.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use confluence_audit_sim::{EMAIL, SimConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::lines::Same;
use crate::program::RunOutput;
use crate::site::Site;

/// A name that only the proxy knows.
const NAME: &str = "acme.test";

/// Runs a server on loopback for as long as the test does; `serve` gets each connection.
fn listen<F>(address: SocketAddr, serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + 'static,
{
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let bound = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(serve(stream));
            }
        });
    });
    bound
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Hands everything on; a side that goes away is the program's to deal with.
async fn pass_on(mut from: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
    let mut to = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(&mut from, &mut to).await;
}

/// A server with a certificate of an authority that nobody knows, in front of `to`; the second is the authority's own
/// certificate.
fn private_tls(to: SocketAddr) -> (SocketAddr, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = [NAME, "127.0.0.1"].map(String::from);
    let certificate = CertificateParams::new(names).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let front = listen(loopback(), move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // A client that does not trust us ends it here.
            if let Ok(stream) = acceptor.accept(stream).await {
                pass_on(stream, to).await;
            }
        }
    });
    (front, authority.pem())
}

fn sim_of(site: &Site) -> SocketAddr {
    site.sim
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap()
}

fn command(site: &Site, command: &str, url: &str) -> Command {
    let token = site.path("secrets/token");
    let token = token.to_str().unwrap();
    let mut command = site.command(&[
        command,
        "--site-url",
        url,
        "--api-url",
        url,
        "--email",
        EMAIL,
        "--api-token-file",
        token,
        "--state-dir",
        "state",
    ]);
    // Nobody waits for it in vain.
    std::fs::write(
        site.path("config.toml"),
        "[collect]\nretry_budget = \"1s\"\n",
    )
    .unwrap();
    command.args(["--config", "config.toml"]);
    command
}

fn small() -> Site {
    Site::start(SimConfig {
        records: 50,
        ..SimConfig::default()
    })
}

#[test]
fn a_private_authority_is_trusted_by_ssl_cert_file_and_its_lack_is_explained() {
    let site = small();
    let (front, authority) = private_tls(sim_of(&site));
    std::fs::write(site.path("ca.pem"), authority).unwrap();
    let url = format!("https://{front}");
    let unknown: RunOutput = site.finish(command(&site, "fetch", &url)).expect(69);
    assert!(unknown.stderr.contains("certificate"), "{unknown}");
    assert!(unknown.stderr.contains("SSL_CERT_FILE"), "{unknown}");

    let mut trusting = command(&site, "fetch", &url);
    trusting.env("SSL_CERT_FILE", site.path("ca.pem"));
    site.finish(trusting).expect_quiet_success();
    site.assert_output_is_the_truth("through TLS", Same::Bytes);
}

#[test]
fn a_proxy_is_used_and_named_and_its_password_is_told_to_it_alone() {
    const PASSWORD: &str = "the-password-of-the-proxy";
    let site = small();
    let (front, authority) = private_tls(sim_of(&site));
    std::fs::write(site.path("ca.pem"), authority).unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let proxy = listen(loopback(), move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap());
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            pass_on(stream, front).await;
        }
    });
    let url = format!("https://{NAME}");
    for asked in ["check", "fetch"] {
        let mut through = command(&site, asked, &url);
        through.env("SSL_CERT_FILE", site.path("ca.pem")).env(
            "HTTPS_PROXY",
            format!("http://collector:{PASSWORD}@{proxy}"),
        );
        let done = site.finish(through).expect(0);
        assert!(!done.to_string().contains(PASSWORD), "{done}");
        if asked == "check" {
            let named = format!("{NAME} is reached through the proxy {proxy}");
            assert!(done.stdout.contains(&named), "{done}");
            let trusted = format!("the certificate of {NAME} is trusted");
            assert!(done.stdout.contains(&trusted), "{done}");
        }
    }
    site.assert_output_is_the_truth("through a proxy", Same::Bytes);
    let heads = heads.lock().unwrap();
    assert!(!heads.is_empty());
    for head in heads.iter() {
        assert!(head.starts_with("CONNECT acme.test:443 "), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic"));
    }
}

#[test]
fn a_site_is_read_over_ipv6() {
    let site = small();
    let sim = sim_of(&site);
    let loopback = (Ipv6Addr::LOCALHOST, 0).into();
    let front = listen(loopback, move |stream| pass_on(stream, sim));
    let done = site.finish(command(&site, "fetch", &format!("http://{front}")));
    done.expect_quiet_success();
    site.assert_output_is_the_truth("over IPv6", Same::Bytes);
}
