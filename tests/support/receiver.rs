//! Something at the other end of a webhook: takes requests, keeps them, answers as planned, as a service would, or never.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::schema::check;

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// `POST`, `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Posted {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A status and nothing else.
    pub fn of(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    /// With a body.
    pub fn saying(status: u16, body: impl Into<String>) -> Reply {
        Reply { body: body.into(), ..Reply::of(status) }
    }

    /// With one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

/// Listens as long as the test binary lives.
pub struct Receiver {
    port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Answers with this status; `None`: takes the request and is silent.
    pub fn start(status: Option<u16>) -> Receiver {
        Receiver::listen(move |_, _| status.map(Reply::of))
    }

    /// Answers by what came, and by how many came before it.
    pub fn answering(reply: impl Fn(&Posted, usize) -> Reply + Send + 'static) -> Receiver {
        Receiver::listen(move |posted, before| Some(reply(posted, before)))
    }

    fn listen(reply: impl Fn(&Posted, usize) -> Option<Reply> + Send + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (posted, refused) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (kept, complaints) = (Arc::clone(&posted), Arc::clone(&refused));
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                let Some(request) = take(&stream) else { continue };
                let before = kept.lock().expect("the requests").len();
                let answer = reply(&request, before);
                kept.lock().expect("the requests").push(request);
                match answer {
                    Some(reply) => {
                        if reply.status >= 400 {
                            complaints.lock().expect("the complaints").push(reply.body.clone());
                        }
                        send(stream, &reply);
                    }
                    None => silent.push(stream),
                }
            }
        });
        Receiver { port, posted, refused }
    }

    /// An address here.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything that came so far, in order.
    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("the requests").clone()
    }

    /// The bodies of the answers from 400 on.
    pub fn complaints(&self) -> Vec<String> {
        self.refused.lock().expect("the complaints").clone()
    }

    /// The bodies, as JSON. Those of the kind `json`, which alone have an event, keep their schema.
    pub fn messages(&self) -> Vec<serde_json::Value> {
        let message = |posted: &Posted| {
            let message: serde_json::Value = serde_json::from_str(&posted.body).expect("JSON");
            if message.get("event").is_some() {
                check("message", &message).unwrap_or_else(|wrong| panic!("{wrong}: {message:#}"));
            }
            message
        };
        self.posted().iter().map(message).collect()
    }
}

fn take(stream: &TcpStream) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut posted = Posted { method, target, headers, body: String::new() };
    let length = posted.header("content-length").map_or(Ok(0), str::parse).ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    posted.body = String::from_utf8(body).ok()?;
    Some(posted)
}

fn send(mut stream: TcpStream, reply: &Reply) {
    let headers: String = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (status, length, body) = (reply.status, reply.body.len(), &reply.body);
    let _ = write!(
        stream,
        "HTTP/1.1 {status} As planned\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}
