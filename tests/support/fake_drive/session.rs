//! Resumable uploads, as Google keeps them: an offset that only the server knows, and a file that appears only at the end.
//!
//! What is stored is decided by what arrived, not by what the client believes: an unaligned chunk is cut, an overlap is skipped
//! without a comparison, a gap is refused in plain text. `Range` is the only truth that a client may act on.

use super::answer::Answer;
use super::fields::Selection;
use super::files::{check_new, finish};
use super::state::{File, State};
use super::token::{Identity, random_text};
use super::wire::Head;

const UNIT_BYTES: u64 = 262_144;

/// An upload under way, or complete.
pub struct Session {
    file: File,
    who: Identity,
    selection: Selection,
    total: Option<u64>,
    bytes: Vec<u8>,
    complete: bool,
}

/// An answer, and how many bytes the request added to the store.
pub struct Outcome {
    pub answer: Answer,
    pub stored_bytes: u64,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Outcome { answer, stored_bytes: 0 }
    }
}

/// A `Content-Range` of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes */total`
    Status { total: Option<u64> },
    /// `bytes from-(to - 1)/total`
    Bytes { from: u64, to: u64, total: Option<u64> },
}

impl ContentRange {
    /// The range that a `PUT` speaks of; a `PUT` without the header sends the whole file.
    pub fn of(head: &Head, length: Option<u64>) -> Option<Self> {
        let Some(header) = head.header("content-range") else {
            let to = length?;
            return Some(ContentRange::Bytes { from: 0, to, total: Some(to) });
        };
        let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        if range == "*" {
            return Some(ContentRange::Status { total });
        }
        let (first, last) = range.split_once('-')?;
        let (from, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let sensible = from <= last && total.is_none_or(|total| last < total);
        sensible.then_some(ContentRange::Bytes { from, to: last + 1, total })
    }
}

pub fn start(state: &mut State, base_url: &str, who: &Identity, head: &Head, body: &[u8]) -> Result<Answer, Answer> {
    let selection = Selection::of_file(head.param("fields"))?;
    let file = check_new(state, who, head, body)?;
    let total =
        head.header("x-upload-content-length").map(|value| value.parse().map_err(|_| bad("X-Upload-Content-Length")));
    let session =
        Session { file, who: who.clone(), selection, total: total.transpose()?, bytes: Vec::new(), complete: false };
    let upload_id = random_text(30);
    state.tokens.secrets.push(upload_id.clone());
    state.sessions.insert(upload_id.clone(), session);
    let location = format!("{base_url}/upload/drive/v3/files?uploadType=resumable&upload_id={upload_id}");
    Ok(Answer::empty(200).header("Location", &location).header("X-GUploader-UploadID", &upload_id))
}

/// A `PUT` to a session: bytes, or the question how many there are.
pub fn put(state: &mut State, head: &Head, upload_id: &str, body: &[u8]) -> Result<Outcome, Answer> {
    let gone = Answer::html(state.gone_status);
    let session = state.sessions.get_mut(upload_id).ok_or(gone)?;
    if session.complete {
        return Ok(describe(state, upload_id)?.into());
    }
    let range = ContentRange::of(head, Some(body.len() as u64)).ok_or_else(|| bad("Content-Range"))?;
    let total = match range {
        ContentRange::Status { total } | ContentRange::Bytes { total, .. } => total,
    };
    if let (Some(known), Some(total)) = (session.total, total)
        && known != total
    {
        return Err(bad("the size of the file, which differs from the size given before"));
    }
    session.total = session.total.or(total);
    let mut stored_bytes = 0;
    if let ContentRange::Bytes { from, to, .. } = range {
        if to - from != body.len() as u64 {
            return Err(bad("Content-Range, which does not fit the length of the body"));
        }
        if from > session.stored() {
            return Err(offset_error(from, session.stored()));
        }
        let is_last = session.total == Some(to);
        let usable = if is_last { to - from } else { (to - from) / UNIT_BYTES * UNIT_BYTES };
        stored_bytes = session.append(from, &body[..usable as usize]);
    }
    if session.total == Some(session.stored()) {
        let answer = complete(state, upload_id)?;
        return Ok(Outcome { answer, stored_bytes });
    }
    Ok(Outcome { answer: session.progress(), stored_bytes })
}

/// Stores what arrived of a chunk before the connection ended or a planned fault struck, and answers nothing.
pub fn store_part(state: &mut State, head: &Head, upload_id: &str, body: &[u8]) -> u64 {
    let session = state.sessions.get_mut(upload_id).filter(|session| !session.complete);
    match (session, ContentRange::of(head, Some(body.len() as u64))) {
        (Some(session), Some(ContentRange::Bytes { from, .. })) if from <= session.stored() => {
            session.append(from, body)
        }
        _ => 0,
    }
}

/// The whole units of a chunk that was cut off by the death of its client.
pub fn aligned(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / UNIT_BYTES as usize * UNIT_BYTES as usize]
}

/// The true 308 of a session, for the fault in which it never moves.
pub fn progress(state: &State, upload_id: &str) -> Answer {
    state.sessions.get(upload_id).map_or_else(|| Answer::html(state.gone_status), Session::progress)
}

pub fn cancel(state: &mut State, upload_id: &str) -> Result<Answer, Answer> {
    match state.sessions.remove(upload_id) {
        Some(_) => Ok(Answer::empty(499)),
        None => Err(Answer::html(state.gone_status)),
    }
}

fn complete(state: &mut State, upload_id: &str) -> Result<Answer, Answer> {
    let gone = Answer::html(state.gone_status);
    let session = state.sessions.get_mut(upload_id).ok_or(gone)?;
    let (file, bytes) = (session.file.clone(), std::mem::take(&mut session.bytes));
    match finish(state, file, bytes) {
        Ok(_) => {
            if let Some(session) = state.sessions.get_mut(upload_id) {
                session.complete = true;
            }
            describe(state, upload_id)
        }
        Err(conflict) => {
            state.sessions.remove(upload_id);
            Err(conflict)
        }
    }
}

fn describe(state: &State, upload_id: &str) -> Result<Answer, Answer> {
    let session = state.sessions.get(upload_id).ok_or_else(|| Answer::html(state.gone_status))?;
    let file = state.file(&session.file.id).ok_or_else(|| Answer::error(404, "notFound"))?;
    Ok(Answer::json(200, &session.selection.apply(&state.describe(&session.who, file))))
}

impl Session {
    fn stored(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Appends what is new of a piece that begins at `from`, which must not be behind the end of what is stored.
    fn append(&mut self, from: u64, piece: &[u8]) -> u64 {
        let known = (self.stored() - from) as usize;
        let new = piece.get(known..).unwrap_or_default();
        self.bytes.extend_from_slice(new);
        new.len() as u64
    }

    fn progress(&self) -> Answer {
        let answer = Answer::empty(308);
        match self.bytes.len() {
            0 => answer,
            stored => answer.header("Range", &format!("bytes=0-{}", stored - 1)),
        }
    }
}

fn bad(what: &str) -> Answer {
    Answer::text(400, &format!("Invalid request.  Check {what}."))
}

fn offset_error(offset: u64, stored: u64) -> Answer {
    let text = format!(
        "Invalid request.  According to the Content-Range header, the upload offset is {offset} byte(s), which exceeds \
         already uploaded size of {stored} byte(s)."
    );
    Answer::text(503, &text)
}
