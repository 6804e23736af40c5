//! The encodings of a file. A character that the encoding lacks is refused by name, and never replaced by `?` or
//! `&#...;`.
//!
//! windows-874 as browsers know it gives the bytes that the code page leaves undefined to the control characters of the same number
//! (U+0081 is 0x81). An accounting package reads such a byte as anything or nothing, so here they are refused like any other character
//! that the code page lacks.

use encoding_rs::{EncoderResult, WINDOWS_874};

use crate::named::named;

named! {
    /// The encodings of a file.
    pub enum Encoding {
        /// UTF-8 without a mark.
        Utf8 = "utf-8",
        /// UTF-8 with a byte order mark; without it Excel reads a file in the machine's code page.
        Utf8Bom = "utf-8-bom",
        /// The Thai code page, one byte per character.
        Windows874 = "windows-874",
    }
}

impl Encoding {
    /// The bytes before the header.
    pub(crate) fn byte_order_mark(self) -> &'static [u8] {
        match self {
            Encoding::Utf8 | Encoding::Windows874 => b"",
            Encoding::Utf8Bom => BYTE_ORDER_MARK,
        }
    }

    /// A text in this encoding; `None` when the encoding lacks a character of it.
    pub(crate) fn bytes(self, text: &str) -> Option<Vec<u8>> {
        Encoder::new(self).encode(text).ok().map(<[u8]>::to_vec)
    }

    /// Bytes of this encoding as text, for a person to look at.
    pub fn decode(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Utf8 | Encoding::Utf8Bom => {
                let text = String::from_utf8_lossy(bytes);
                text.trim_start_matches('\u{feff}').to_owned()
            }
            Encoding::Windows874 => WINDOWS_874.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }

    /// The last place up to `at` at which a character begins, or the end.
    pub(crate) fn boundary(self, bytes: &[u8], at: usize) -> usize {
        let begins = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80);
        let at = at.min(bytes.len());
        match self {
            Encoding::Utf8 | Encoding::Utf8Bom => (at.saturating_sub(3)..=at).rev().find(begins).unwrap_or(at),
            Encoding::Windows874 => at,
        }
    }

    /// Whether these bytes are text in this encoding.
    pub(crate) fn is_valid(self, bytes: &[u8]) -> bool {
        match self {
            Encoding::Utf8 | Encoding::Utf8Bom => str::from_utf8(bytes).is_ok(),
            Encoding::Windows874 => !bytes.iter().any(|&byte| is_undefined(byte)),
        }
    }
}

/// U+FEFF in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes to which code page 874 gives no character.
fn is_undefined(byte: u8) -> bool {
    matches!(byte, 0x81..=0x84 | 0x86..=0x90 | 0x98..=0x9F | 0xDB..=0xDE | 0xFC..=0xFF)
}

/// Encodes cells into a buffer of its own.
pub(crate) struct Encoder {
    encoding: Encoding,
    buffer: Vec<u8>,
}

/// Some character of a text is not in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lacking;

impl Encoder {
    pub(crate) fn new(encoding: Encoding) -> Encoder {
        Encoder { encoding, buffer: Vec::new() }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes of a cell, until the next call.
    pub(crate) fn encode<'a>(&'a mut self, text: &'a str) -> Result<&'a [u8], Lacking> {
        match self.encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => Ok(text.as_bytes()),
            // Account codes, and descriptions in English.
            Encoding::Windows874 if text.is_ascii() => Ok(text.as_bytes()),
            Encoding::Windows874 => {
                self.buffer.clear();
                self.buffer.resize(text.len(), 0);
                windows_874(text, &mut self.buffer)
            }
        }
    }

    /// Whether the encoding has no such character.
    pub(crate) fn lacks(&self, character: char) -> bool {
        match self.encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => false,
            Encoding::Windows874 => windows_874(character.encode_utf8(&mut [0; 4]), &mut [0; 4]).is_err(),
        }
    }
}

/// Encodes a text into a buffer of its length: one byte per character at most.
fn windows_874<'a>(text: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Lacking> {
    let mut encoder = WINDOWS_874.new_encoder();
    let (result, _, written) = encoder.encode_from_utf8_without_replacement(text, buffer, true);
    let bytes = &buffer[..written];
    // The control characters that encoding_rs lets through.
    match result {
        EncoderResult::InputEmpty if !bytes.iter().any(|&byte| is_undefined(byte)) => Ok(bytes),
        EncoderResult::InputEmpty | EncoderResult::Unmappable(_) | EncoderResult::OutputFull => Err(Lacking),
    }
}
