//! HTTP/1.1, byte by byte: request heads, bodies, answers, and the rude endings of a connection.
//!
//! Own and blocking, because the tests need what no server library offers: to stop reading in the middle of a body, to store a part
//! of it, to reset instead of to close, and to notice that the client was killed while its request is held.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// A body larger than this is refused by closing the connection: no test uploads as much, a runaway client would.
const MAX_BODY_BYTES: u64 = 1 << 30;
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Head {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The announced length of the body; `None` where the client announced nothing at all (which Google answers with 411).
    pub fn length(&self) -> Option<Length> {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Some(Length::Chunked);
        }
        self.header("content-length").and_then(|value| value.trim().parse().ok()).map(Length::Bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Bytes(u64),
    Chunked,
}

/// What arrived of a body.
pub struct Body {
    pub bytes: Vec<u8>,
    /// Whether the client sent all it had announced (false too when the fake stopped reading on purpose).
    pub complete: bool,
}

/// An answer, ready to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Wire {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl fmt::Debug for Wire {
    /// Readable in the message of a failed test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = &self.body[..self.body.len().min(300)];
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(body))
    }
}

/// One connection of a client, with what was read too far.
pub struct Connection {
    stream: TcpStream,
    buffered: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Connection { stream, buffered: Vec::new() }
    }

    /// The next request head; `None` when the client closed the connection between two requests.
    pub fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, used)) = parse_head(&self.buffered)? {
                self.buffered.drain(..used);
                return Ok(Some(head));
            }
            if self.buffered.len() > MAX_HEAD_BYTES {
                return Err(invalid("a request head without an end"));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads the body, but never more than `limit_bytes` of it.
    pub fn read_body(&mut self, length: Length, limit_bytes: u64) -> io::Result<Body> {
        match length {
            Length::Bytes(bytes) if bytes > MAX_BODY_BYTES => Err(invalid("a body larger than any test sends")),
            Length::Bytes(bytes) => {
                let wanted = bytes.min(limit_bytes) as usize;
                let body = self.take(wanted);
                Ok(Body { complete: body.len() as u64 == bytes, bytes: body })
            }
            Length::Chunked => self.read_chunked(limit_bytes),
        }
    }

    fn read_chunked(&mut self, limit_bytes: u64) -> io::Result<Body> {
        let mut bytes = Vec::new();
        loop {
            let (used, size) = loop {
                match httparse::parse_chunk_size(&self.buffered).map_err(|_| invalid("a malformed chunk size"))? {
                    httparse::Status::Complete(found) => break found,
                    httparse::Status::Partial if self.fill().unwrap_or(0) == 0 => {
                        return Ok(Body { bytes, complete: false });
                    }
                    httparse::Status::Partial => {}
                }
            };
            self.buffered.drain(..used);
            let left = limit_bytes.saturating_sub(bytes.len() as u64);
            let part = self.take(size.min(left) as usize);
            let short = (part.len() as u64) < size;
            bytes.extend_from_slice(&part);
            if short || self.take(2).len() < 2 {
                return Ok(Body { bytes, complete: false });
            }
            if size == 0 {
                return Ok(Body { bytes, complete: true });
            }
        }
    }

    /// Exactly `wanted` bytes, or fewer when the client is gone.
    fn take(&mut self, wanted: usize) -> Vec<u8> {
        let from_buffer = wanted.min(self.buffered.len());
        let mut bytes: Vec<u8> = self.buffered.drain(..from_buffer).collect();
        // Not allocated up front: a client may announce much and be killed after little.
        let _ = (&mut self.stream).take((wanted - from_buffer) as u64).read_to_end(&mut bytes);
        bytes
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        let read = self.stream.read(&mut piece)?;
        self.buffered.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    pub fn write(&mut self, answer: &Wire, close: bool) -> io::Result<()> {
        let mut bytes = encode_head(answer, close);
        bytes.extend_from_slice(&answer.body);
        self.stream.write_all(&bytes)
    }

    /// The head and the first half of the body.
    pub fn write_half(&mut self, answer: &Wire) -> io::Result<()> {
        let mut bytes = encode_head(answer, false);
        bytes.extend_from_slice(&answer.body[..answer.body.len() / 2]);
        self.stream.write_all(&bytes)
    }

    /// The other half of the body.
    pub fn write_rest(&mut self, answer: &Wire) -> io::Result<()> {
        self.stream.write_all(&answer.body[answer.body.len() / 2..])
    }

    pub fn write_continue(&mut self) -> io::Result<()> {
        self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
    }

    /// Whether the client closed its end or was killed. Never blocks.
    pub fn is_gone(&self) -> bool {
        let mut byte = [0];
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut byte));
        let gone = match peeked {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).is_err() || gone
    }

    /// Ends the connection with an RST instead of a FIN. `std` cannot set the option; tokio's socket type can, without a runtime.
    pub fn reset(self) {
        let socket = tokio::net::TcpSocket::from_std_stream(self.stream);
        let _ = socket.set_zero_linger();
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut slots);
    let used = match request.parse(bytes).map_err(|_| invalid("a malformed request head"))? {
        httparse::Status::Complete(used) => used,
        httparse::Status::Partial => return Ok(None),
    };
    let target = request.path.unwrap_or("/").to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: request
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
        target,
    };
    Ok(Some((head, used)))
}

fn encode_head(answer: &Wire, close: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason_phrase(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer.status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    head.push_str(if close { "Connection: close\r\n\r\n" } else { "\r\n" });
    head.into_bytes()
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        308 => "Resume Incomplete",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
