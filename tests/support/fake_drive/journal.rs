//! What the clients asked for, in the order of arrival, and what became of it.

use serde_json::Value;
use std::time::Instant;

/// What a request is, whatever its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `POST /token`
    Token,
    /// `GET /drive/v3/files/generateIds`
    GenerateIds,
    /// `POST /upload/drive/v3/files?uploadType=resumable`
    Start,
    /// `PUT` of bytes to a session
    Chunk,
    /// `PUT` of nothing to a session, `Content-Range: bytes */N`
    Status,
    /// `DELETE` of a session
    Cancel,
    /// `GET /drive/v3/files/{id}`
    Get,
    /// `GET /drive/v3/files/{id}?alt=media`
    Download,
    /// `GET /drive/v3/files`
    List,
    /// `PATCH /drive/v3/files/{id}`: to the trash, or a new name
    Update,
    /// `POST /drive/v3/files`: metadata only
    Create,
    /// `DELETE /drive/v3/files/{id}`
    Delete,
    /// `GET /drive/v3/about`
    About,
    /// `GET /drive/v3/drives/{id}`
    Drive,
    /// Anything else: Google knows no such path
    Unknown,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub operation: Operation,
    /// Which one of its operation it was, counted from 1.
    pub nth: usize,
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Bytes of the body that the fake read.
    pub body_bytes: u64,
    /// The body, where it is JSON.
    pub json: Option<Value>,
    pub content_range: Option<String>,
    /// The status that was answered; `None` while there is none, and for ever if the connection ended without.
    pub status: Option<u16>,
    /// Bytes that this request added to the store.
    pub stored_bytes: u64,
    /// The planned fault that hit it.
    pub fault: Option<String>,
    pub at: Instant,
}

impl Request {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
