//! A company's way out: a proxy that knows nothing but CONNECT, and TLS before the fake Drive, without which nobody tunnels.
//!
//! Risk: a client that goes around the proxy: so the front counts what reaches it, and the proxy what it let through,
//! and a test compares the two. The certificate and its key are beside this file; the key protects nothing, and no
//! machine trusts its authority.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::block;

/// The authority that signed the front's certificate, for `SSL_CERT_FILE`.
pub const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tunnel/authority.pem");

/// The certificate of a front that is its own authority.
pub const OWN_AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tunnel/own_authority.pem");

/// The expired certificate of a front.
pub const EXPIRED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tunnel/expired.pem");

/// More than any request for a tunnel takes.
const HEAD_MAX_BYTES: usize = 8192;

/// TLS on a port of its own, for `localhost` and `127.0.0.1`; the plain content goes to a server behind it. Dropping it closes the port.
pub struct TlsFront {
    port: u16,
    arrived: Arc<AtomicUsize>,
    acceptor: JoinHandle<()>,
}

impl TlsFront {
    /// Before this server.
    pub fn before(server: SocketAddr) -> TlsFront {
        TlsFront::with(server, include_bytes!("tunnel/server.pem"), include_bytes!("tunnel/server.key.pem"))
    }

    /// Before this server, with the certificate of an authority as its own.
    pub fn of_an_authority(server: SocketAddr) -> TlsFront {
        TlsFront::with(
            server,
            include_bytes!("tunnel/own_authority.pem"),
            include_bytes!("tunnel/own_authority.key.pem"),
        )
    }

    /// Before this server, with a certificate that is its own authority and has expired.
    pub fn expired(server: SocketAddr) -> TlsFront {
        TlsFront::with(server, include_bytes!("tunnel/expired.pem"), include_bytes!("tunnel/expired.key.pem"))
    }

    fn with(server: SocketAddr, certificates: &[u8], key: &[u8]) -> TlsFront {
        let certificates = CertificateDer::pem_slice_iter(certificates);
        let certificates = certificates.collect::<Result<_, _>>().expect("the front's certificate");
        let key = PrivateKeyDer::from_pem_slice(key).expect("the front's key");
        TlsFront::by(server, ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key))
    }

    /// Before this server, for clients with a certificate of an authority that has signed none of them.
    pub fn strict(server: SocketAddr) -> TlsFront {
        let pem = |bytes| CertificateDer::from_pem_slice(bytes).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(pem(include_bytes!("tunnel/own_authority.pem").as_slice())).expect("an authority");
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a check of clients");
        let own = pem(include_bytes!("tunnel/server.pem").as_slice());
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tunnel/server.key.pem")).expect("the front's key");
        TlsFront::by(
            server,
            ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(vec![own], key),
        )
    }

    fn by(server: SocketAddr, tls: Result<ServerConfig, rustls::Error>) -> TlsFront {
        let tls = TlsAcceptor::from(Arc::new(tls.expect("TLS for the front")));
        let arrived = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&arrived);
        let (port, acceptor) = listen(move |stream| {
            counted.fetch_add(1, Ordering::SeqCst);
            let tls = tls.clone();
            async move {
                let mut client = match tls.accept(stream).into_fallible().await {
                    Ok(client) => client,
                    Err((_, mut refused)) => {
                        // What nobody has read would make the end a reset, which hides the reason. A client without TLS waits.
                        let unread = async { tokio::io::copy(&mut refused, &mut tokio::io::sink()).await };
                        let _ = tokio::time::timeout(Duration::from_millis(300), unread).await;
                        return;
                    }
                };
                let Ok(mut server) = TcpStream::connect(server).await else {
                    // What nobody has read would make the end of the connection a reset, which hides what came before it.
                    let _ = client.read(&mut [0; 4096]).await;
                    return;
                };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        TlsFront { port, arrived, acceptor }
    }

    /// Its address under one of its two names.
    pub fn url(&self, name: &str) -> String {
        format!("https://{name}:{}", self.port)
    }

    /// Connections so far, by whatever way.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// One request for a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `host:port`.
    pub target: String,
    /// `Proxy-Authorization`, as it stands.
    pub authorization: Option<String>,
}

/// A proxy. Dropping it closes its port.
pub struct ConnectProxy {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    acceptor: JoinHandle<()>,
}

impl ConnectProxy {
    /// Lets everybody through.
    pub fn start() -> ConnectProxy {
        ConnectProxy::answering("200 Connection established")
    }

    /// Answers with this status, and lets through after a 200 only.
    pub fn answering(status: &'static str) -> ConnectProxy {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let (port, acceptor) = listen(move |mut client| {
            let kept = Arc::clone(&kept);
            async move {
                let Some(request) = request(&mut client).await else { return };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                let answer = format!("HTTP/1.1 {status}\r\n\r\n");
                if client.write_all(answer.as_bytes()).await.is_err() || !status.starts_with("200") {
                    return;
                }
                let Ok(mut server) = TcpStream::connect(&request.target).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        ConnectProxy { port, asked, acceptor }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every request for a tunnel so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// A port at which nobody listens, and nobody else will while this lives.
pub struct DeadPort(TcpSocket);

impl DeadPort {
    /// A free one.
    pub fn new() -> DeadPort {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        DeadPort(socket)
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("the address of a bound socket").port()
    }
}

/// Serves each connection to a new port in a task of its own, until the acceptor is aborted.
fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (u16, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    block(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("the address of a bound socket").port();
        let acceptor = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        (port, acceptor)
    })
}

/// The head of a CONNECT; `None` for anything else.
async fn request(client: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX_BYTES {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let target = lines.next()?.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
    };
    Some(Asked { target, authorization: lines.find_map(header) })
}
