//! Something at the other end of a webhook: takes requests, keeps them, answers with one status, or never.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: String,
}

/// Listens as long as the test binary lives.
pub struct Receiver {
    port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Receiver {
    /// Answers with this status; `None`: takes the request and is silent.
    pub fn start(status: Option<u16>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posted);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                if let Some(request) = take(&stream) {
                    kept.lock().expect("the requests").push(request);
                }
                match status {
                    Some(status) => answer(stream, status),
                    None => silent.push(stream),
                }
            }
        });
        Receiver { port, posted }
    }

    /// An address here.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything that came so far, in order.
    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("the requests").clone()
    }

    /// The bodies, as JSON.
    pub fn messages(&self) -> Vec<serde_json::Value> {
        self.posted().iter().map(|posted| serde_json::from_str(&posted.body).expect("JSON")).collect()
    }
}

fn take(stream: &TcpStream) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { target, body: String::from_utf8(body).ok()? })
}

fn answer(mut stream: TcpStream, status: u16) {
    let _ = write!(stream, "HTTP/1.1 {status} As planned\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
