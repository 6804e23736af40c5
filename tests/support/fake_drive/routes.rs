//! From a request head to an operation, and from an operation to its answer.

use super::answer::Answer;
use super::faults::Arrival;
use super::files;
use super::journal::Operation;
use super::session::{self, ContentRange, Outcome};
use super::state::State;
use super::wire::{Head, Length};

/// What a request wants, as far as its head tells.
pub struct Call {
    pub operation: Operation,
    /// The file, shared drive or session that it names.
    pub id: String,
}

impl Call {
    pub fn of(head: &Head) -> Self {
        let segments: Vec<&str> = head.path.trim_start_matches('/').split('/').collect();
        let (operation, id) = match (head.method.as_str(), segments.as_slice()) {
            ("POST", ["token"]) => (Operation::Token, ""),
            ("GET", ["drive", "v3", "files", "generateIds"]) => (Operation::GenerateIds, ""),
            ("GET", ["drive", "v3", "about"]) => (Operation::About, ""),
            ("GET", ["drive", "v3", "drives", id]) => (Operation::Drive, *id),
            ("GET", ["drive", "v3", "files"]) => (Operation::List, ""),
            ("POST", ["drive", "v3", "files"]) => (Operation::Create, ""),
            ("GET", ["drive", "v3", "files", id]) if head.param("alt") == Some("media") => (Operation::Download, *id),
            ("GET", ["drive", "v3", "files", id]) => (Operation::Get, *id),
            ("PATCH", ["drive", "v3", "files", id]) => (Operation::Update, *id),
            ("DELETE", ["drive", "v3", "files", id]) => (Operation::Delete, *id),
            (method, ["upload", "drive", "v3", "files"]) => Call::of_upload(method, head),
            _ => (Operation::Unknown, ""),
        };
        Call { operation, id: id.to_owned() }
    }

    fn of_upload<'a>(method: &str, head: &'a Head) -> (Operation, &'a str) {
        let is_status = || matches!(ContentRange::of(head, None), Some(ContentRange::Status { .. }));
        match (method, head.param("uploadType"), head.param("upload_id")) {
            ("POST", Some("resumable"), None) => (Operation::Start, ""),
            ("PUT", _, Some(id)) if is_status() => (Operation::Status, id),
            ("PUT", _, Some(id)) => (Operation::Chunk, id),
            ("DELETE", _, Some(id)) => (Operation::Cancel, id),
            _ => (Operation::Unknown, ""),
        }
    }

    /// The call as the plan sees it, the `nth` of its operation.
    pub fn arrival(&self, head: &Head, nth: usize) -> Arrival {
        let length = match head.length() {
            Some(Length::Bytes(bytes)) => Some(bytes),
            Some(Length::Chunked) | None => None,
        };
        let (range, last_chunk) = match ContentRange::of(head, length) {
            Some(ContentRange::Bytes { from, to, total }) => (Some((from, to)), total == Some(to)),
            Some(ContentRange::Status { .. }) | None => (None, false),
        };
        let is_chunk = self.operation == Operation::Chunk;
        Arrival {
            operation: self.operation,
            nth,
            range: range.filter(|_| is_chunk),
            last_chunk: is_chunk && last_chunk,
        }
    }

    /// The true effect and the true answer.
    pub fn perform(&self, state: &mut State, base_url: &str, head: &Head, body: &[u8]) -> Outcome {
        self.try_perform(state, base_url, head, body).unwrap_or_else(Outcome::from)
    }

    fn try_perform(&self, state: &mut State, base_url: &str, head: &Head, body: &[u8]) -> Result<Outcome, Answer> {
        match self.operation {
            Operation::Token => return Ok(state.tokens.grant(&format!("{base_url}/token"), body).into()),
            Operation::Unknown => return Err(Answer::error(404, "notFound")),
            // The session URI is the credential; but a dead bearer beside it is still refused.
            Operation::Chunk | Operation::Status | Operation::Cancel if head.header("authorization").is_none() => {
                return self.upload(state, head, body);
            }
            _ => {}
        }
        let who = state.tokens.identify(head)?;
        let answer = match self.operation {
            Operation::GenerateIds => files::generate_ids(state, &who, head),
            Operation::Start => session::start(state, base_url, &who, head, body),
            Operation::Get => files::get(state, &who, head, &self.id),
            Operation::Download => files::download(state, &who, head, &self.id),
            Operation::List => files::list(state, &who, head),
            Operation::Update => files::update(state, &who, head, &self.id, body),
            Operation::Create => files::create(state, &who, head, body),
            Operation::Delete => files::delete(state, &who, head, &self.id),
            Operation::About => files::about(&who, head),
            Operation::Drive => files::shared_drive(state, &who, head, &self.id),
            Operation::Chunk | Operation::Status | Operation::Cancel | Operation::Token | Operation::Unknown => {
                return self.upload(state, head, body);
            }
        };
        answer.map(Outcome::from)
    }

    fn upload(&self, state: &mut State, head: &Head, body: &[u8]) -> Result<Outcome, Answer> {
        match self.operation {
            Operation::Cancel => session::cancel(state, &self.id).map(Outcome::from),
            _ => session::put(state, head, &self.id, body),
        }
    }
}
