//! The frames of MongoDB's wire protocol, as far as a proxy has to read them: a message's length, its numbers, its command.
//!
//! Everything is forwarded as the bytes that came; only the command document is decoded, and only in requests. Compressed messages
//! are refused, because a command that cannot be read cannot be stopped at either.

use std::io::{self, Read};

use mongodb::bson::{Bson, Document};

const HEADER_BYTES: usize = 16;
/// The server's own limit, 48 MB, and something for the frame.
const MAX_BYTES: usize = 48_100_000;
const OP_MSG: i32 = 2013;
/// The first `isMaster` of a connection may still come in this old form.
const OP_QUERY: i32 = 2004;
const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 2;

/// One message, as it came.
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// The next message of a connection; none when it was closed.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Message>> {
        let mut bytes = vec![0; HEADER_BYTES];
        if stream.read(&mut bytes[..1])? == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut bytes[1..])?;
        let length = usize::try_from(number(&bytes, 0)).unwrap_or(0);
        if !(HEADER_BYTES..MAX_BYTES).contains(&length) {
            return Err(io::Error::other(format!("a message of {length} bytes")));
        }
        bytes.resize(length, 0);
        stream.read_exact(&mut bytes[HEADER_BYTES..])?;
        Ok(Some(Message { bytes }))
    }

    /// All of it, to be forwarded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number that the sender gave it.
    pub fn request_id(&self) -> i32 {
        number(&self.bytes, 4)
    }

    /// In a reply: the number of the request.
    pub fn response_to(&self) -> i32 {
        number(&self.bytes, 8)
    }

    /// Whether the sender of this request expects no reply.
    pub fn is_unacknowledged(&self) -> bool {
        self.op_code() == OP_MSG && self.flags() & MORE_TO_COME != 0
    }

    /// The command: the body, with the document sequences (`documents`, `updates`, ...) put where they would be without them.
    pub fn command(&self) -> io::Result<Document> {
        match self.op_code() {
            OP_MSG => self.sections(),
            OP_QUERY => {
                // Flags, the collection's name, two numbers.
                let name = &self.bytes[HEADER_BYTES + 4..];
                let end = name.iter().position(|&byte| byte == 0).ok_or_else(truncated)?;
                document(&mut name.get(end + 9..).ok_or_else(truncated)?)
            }
            other => Err(io::Error::other(format!("a request with the operation code {other}"))),
        }
    }

    fn sections(&self) -> io::Result<Document> {
        let checksum_bytes = if self.flags() & CHECKSUM_PRESENT != 0 { 4 } else { 0 };
        let mut rest = &self.bytes[HEADER_BYTES + 4..self.bytes.len() - checksum_bytes];
        let (mut body, mut sequences) = (Document::new(), Document::new());
        while let Some((kind, section)) = rest.split_first() {
            rest = section;
            if *kind == 0 {
                body = document(&mut rest)?;
                continue;
            }
            let length = usize::try_from(number(section, 0)).map_err(io::Error::other)?;
            let mut sequence = section.get(4..length).ok_or_else(truncated)?;
            rest = &section[length..];
            let end = sequence.iter().position(|&byte| byte == 0).ok_or_else(truncated)?;
            let name = String::from_utf8_lossy(&sequence[..end]).into_owned();
            sequence = &sequence[end + 1..];
            let mut documents = Vec::new();
            while !sequence.is_empty() {
                documents.push(Bson::Document(document(&mut sequence)?));
            }
            sequences.insert(name, documents);
        }
        body.extend(sequences);
        Ok(body)
    }

    fn op_code(&self) -> i32 {
        number(&self.bytes, 12)
    }

    fn flags(&self) -> u32 {
        number(&self.bytes, HEADER_BYTES).cast_unsigned()
    }
}

/// A reply made here, to the request of that number.
pub fn reply(response_to: i32, body: &Document) -> Vec<u8> {
    frame(0, response_to, body)
}

/// A request made here, under the number of the one in whose place it stands.
pub fn request(request_id: i32, body: &Document) -> Vec<u8> {
    frame(request_id, 0, body)
}

fn frame(request_id: i32, response_to: i32, body: &Document) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES + 5];
    bytes[4..8].copy_from_slice(&request_id.to_le_bytes());
    bytes[8..12].copy_from_slice(&response_to.to_le_bytes());
    bytes[12..16].copy_from_slice(&OP_MSG.to_le_bytes());
    bytes.extend(body.to_vec().expect("a document that can be encoded"));
    let length = i32::try_from(bytes.len()).expect("a small reply");
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn document(bytes: &mut &[u8]) -> io::Result<Document> {
    Document::from_reader(bytes).map_err(io::Error::other)
}

fn truncated() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

/// A number of the frame; 0 where there is none.
fn number(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, i32::from_le_bytes)
}
