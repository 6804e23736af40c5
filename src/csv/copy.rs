//! Reading a copy of a file that a spreadsheet may have saved anew: in another encoding, with another delimiter, other line ends, other quotes.
//!
//! The beginning of the copy shows encoding, delimiter and line end; where it does not, those of the layout are taken. The copy is decoded to
//! UTF-8 while it is read. Bytes that are no text become U+FFFD, which no official file has, so they show as a difference.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;

use csv::{Reader, ReaderBuilder, StringRecord};
use encoding_rs::{CoderResult, Decoder, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_874};

use crate::layout::{Column, Encoding, Layout, LineEnd};

/// How much of its beginning shows how a copy is written.
const HEAD_BYTES: u64 = 64 * 1024;

/// How much longer than any official record one of a copy may be, in bytes of UTF-8: a quotation mark that is never closed makes one of the
/// whole file.
const RECORD_MORE: usize = 1024 * 1024;

/// How a workbook begins: a zip archive, or the container of older ones.
const WORKBOOKS: [&[u8]; 2] = [b"PK\x03\x04", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"];

/// The records of a file as text, whatever they were written in.
pub(super) struct CsvRecords {
    reader: Reader<Decoded>,
    line: u64,
    /// Of a copy whose header names the columns at other places: where each official one is.
    columns_at: Option<Vec<Option<usize>>>,
}

impl CsvRecords {
    /// Of a file as the layout writes it.
    pub(super) fn official(file: File, layout: &Layout, encoding: Encoding) -> CsvRecords {
        let mut records = CsvRecords::of(file, decoder(encoding), layout.delimiter, None);
        records.reader.get_mut().record_max = usize::MAX;
        records
    }

    /// Of a copy, and in what it is not written as the layout writes it, as clauses for a person.
    pub(super) fn copied(mut file: File, layout: &Layout, official: Encoding) -> io::Result<(CsvRecords, Vec<String>)> {
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(HEAD_BYTES).read_to_end(&mut head)?;
        file.rewind()?;
        if WORKBOOKS.iter().any(|begins| head.starts_with(begins)) {
            return Err(io::Error::other("it is a workbook, and no CSV file"));
        }
        let (name, mut decoder) = encoding_of(&head, official);
        let mut text = String::with_capacity(4 * head.len() + 16);
        let _ = decoder.decode_to_string(&head, &mut text, false);
        let first = FirstLine::of(&text, layout);
        let mut otherwise = Vec::new();
        if name != official.name() {
            otherwise.push(format!("it is in {name}, not {}", official.name()));
        }
        if first.delimiter != layout.delimiter {
            let (found, expected) = (shown(first.delimiter), shown(layout.delimiter));
            otherwise.push(format!("its cells are separated by {found}, not {expected}"));
        }
        let expected = match layout.line_end {
            LineEnd::CrLf => "CRLF",
            LineEnd::Lf => "LF",
        };
        if let Some(found) = first.line_end.filter(|found| *found != expected) {
            otherwise.push(format!("its lines end in {found}, not {expected}"));
        }
        let columns_at = layout.header.then(|| columns_at(&text, first.delimiter, layout)).flatten();
        if let Some(columns_at) = &columns_at {
            let lacking = layout.columns.iter().zip(columns_at).filter(|(_, at)| at.is_none());
            let lacking: Vec<&str> = lacking.map(|(column, _)| &*column.header).collect();
            otherwise.push(match lacking.is_empty() {
                true => "its columns are at other places".to_owned(),
                false => format!("its columns are at other places, and it has no column {}", lacking.join(", ")),
            });
        }
        Ok((CsvRecords::of(file, encoding_of(&head, official).1, first.delimiter, columns_at), otherwise))
    }

    fn of(file: File, decoder: Decoder, delimiter: u8, columns_at: Option<Vec<Option<usize>>>) -> CsvRecords {
        let file = BufReader::with_capacity(64 * 1024, file);
        let decoded = Decoded { file, decoder, rest: Vec::new(), at: 0, of_record: 0, record_max: RECORD_MORE };
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(decoded);
        CsvRecords { reader, line: 0, columns_at }
    }

    /// Takes records of a copy whose official ones are up to this long; each quotation mark inside may be doubled.
    pub(super) fn allow(&mut self, longest: usize) {
        self.reader.get_mut().record_max = 2 * longest + RECORD_MORE;
    }

    /// Whether the copy has this column of the official file.
    pub(super) fn has(&self, column: usize) -> bool {
        self.columns_at.as_ref().is_none_or(|at| at.get(column).is_some_and(Option::is_some))
    }

    /// The next record that is not empty, with its cells in the official columns and what else it has behind them, and its line: records are
    /// counted from 1, the header too.
    pub(super) fn next(&mut self) -> Result<Option<(u64, StringRecord)>, String> {
        let mut record = StringRecord::new();
        loop {
            self.reader.get_mut().of_record = 0;
            let line = self.line + 1;
            let read = self.reader.read_record(&mut record);
            if !read.map_err(|error| format!("the file cannot be read at line {line}: {error}"))? {
                return Ok(None);
            }
            self.line = line;
            if record.iter().any(|cell| !cell.is_empty()) {
                let Some(columns_at) = &self.columns_at else { return Ok(Some((self.line, record))) };
                let official = columns_at.iter().map(|at| at.and_then(|at| record.get(at)).unwrap_or_default());
                let others = record.iter().enumerate().filter(|(at, _)| !columns_at.contains(&Some(*at)));
                return Ok(Some((self.line, official.chain(others.map(|(_, cell)| cell)).collect())));
            }
        }
    }
}

/// Where the official columns are in a copy, by its header; `None` where each is in its own place, or where the first line is no such header.
fn columns_at(head: &str, delimiter: u8, layout: &Layout) -> Option<Vec<Option<usize>>> {
    let mut reader = ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(head.as_bytes());
    let header = reader.records().next()?.ok()?;
    let columns = &layout.columns;
    let is_own = |at: usize| columns.get(at).is_some_and(|column| header.get(at) == Some(&*column.header));
    let find = |(own, column): (usize, &Column)| match is_own(own) {
        true => Some(own),
        false => (0..header.len()).find(|at| header[*at] == *column.header && !is_own(*at)),
    };
    let columns_at: Vec<Option<usize>> = columns.iter().enumerate().map(find).collect();
    let is_moved = columns_at.iter().enumerate().any(|(own, at)| at.is_some_and(|at| at != own));
    let known = columns_at.iter().flatten().count();
    (is_moved && 2 * known > columns.len()).then_some(columns_at)
}

fn shown(delimiter: u8) -> String {
    if delimiter == b'\t' { "TAB".to_owned() } else { char::from(delimiter).to_string() }
}

fn decoder(encoding: Encoding) -> Decoder {
    match encoding {
        Encoding::Utf8 | Encoding::Utf8Bom => UTF_8.new_decoder_with_bom_removal(),
        Encoding::Windows874 => WINDOWS_874.new_decoder_without_bom_handling(),
    }
}

/// The encoding of a copy by its beginning: its mark, else what its bytes can be.
fn encoding_of(head: &[u8], official: Encoding) -> (&'static str, Decoder) {
    // The beginning may end in the middle of a character.
    let is_utf8 = str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    match head {
        [0xEF, 0xBB, 0xBF, ..] => (Encoding::Utf8Bom.name(), decoder(Encoding::Utf8Bom)),
        [0xFF, 0xFE, ..] => ("utf-16", UTF_16LE.new_decoder_with_bom_removal()),
        [0xFE, 0xFF, ..] => ("utf-16", UTF_16BE.new_decoder_with_bom_removal()),
        _ if head.is_ascii() && official == Encoding::Windows874 => (official.name(), decoder(official)),
        _ if is_utf8 => (Encoding::Utf8.name(), decoder(Encoding::Utf8)),
        _ => (Encoding::Windows874.name(), decoder(Encoding::Windows874)),
    }
}

/// What the first line shows of the others.
struct FirstLine {
    delimiter: u8,
    line_end: Option<&'static str>,
}

impl FirstLine {
    fn of(text: &str, layout: &Layout) -> FirstLine {
        let mut candidates = [layout.delimiter, b',', b';', b'\t', b'|'].map(|delimiter| (delimiter, 0_usize));
        let (mut quoted, mut before, mut line_end) = (false, '\0', None);
        for character in text.chars() {
            quoted ^= character == '"';
            match character {
                '\n' if !quoted => {
                    line_end = Some(if before == '\r' { "CRLF" } else { "LF" });
                    break;
                }
                _ if quoted => {}
                _ => {
                    for (delimiter, count) in &mut candidates {
                        *count += usize::from(character == char::from(*delimiter));
                    }
                }
            }
            before = character;
        }
        let fits = candidates.iter().find(|(_, count)| count + 1 == layout.columns.len() && *count > 0);
        let most = candidates.iter().rev().max_by_key(|(_, count)| *count);
        let delimiter = fits.or(most).filter(|(_, count)| *count > 0).map_or(layout.delimiter, |(found, _)| *found);
        FirstLine { delimiter, line_end }
    }
}

/// A file as UTF-8.
struct Decoded {
    file: BufReader<File>,
    decoder: Decoder,
    rest: Vec<u8>,
    at: usize,
    /// Bytes that were handed on since the present record began.
    of_record: usize,
    /// How many those may be.
    record_max: usize,
}

impl Read for Decoded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.rest.len() {
            let input = self.file.fill_buf()?;
            let (length, last) = (input.len(), input.is_empty());
            self.rest.resize(self.decoder.max_utf8_buffer_length(length).unwrap_or(4 * length + 16), 0);
            let (result, read, written, _) = self.decoder.decode_to_utf8(input, &mut self.rest, last);
            self.file.consume(read);
            self.rest.truncate(written);
            self.at = 0;
            if last && written == 0 && result == CoderResult::InputEmpty {
                // A decoder may not be used behind its end.
                self.decoder = UTF_8.new_decoder_without_bom_handling();
                return Ok(0);
            }
        }
        if self.of_record > self.record_max {
            let most = self.record_max >> 20;
            return Err(io::Error::other(format!("it is longer than {most} MiB; is a quotation mark not closed?")));
        }
        let length = out.len().min(self.rest.len() - self.at);
        self.of_record += length;
        out[..length].copy_from_slice(&self.rest[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Records on the disk, to be read in any order.
pub(super) struct Shelf {
    file: BufWriter<File>,
    ends: Vec<u64>,
    lines: Vec<u32>,
}

impl Shelf {
    /// In an empty file that can be written and read.
    pub(super) fn new(file: File) -> Shelf {
        Shelf { file: BufWriter::new(file), ends: Vec::new(), lines: Vec::new() }
    }

    /// Adds a record, with its line.
    pub(super) fn put(&mut self, line: u64, record: &StringRecord) -> io::Result<()> {
        let mut end = self.ends.last().copied().unwrap_or(0);
        for cell in record {
            self.file.write_all(&(cell.len() as u32).to_le_bytes())?;
            self.file.write_all(cell.as_bytes())?;
            end += 4 + cell.len() as u64;
        }
        self.ends.push(end);
        self.lines.push(line as u32);
        Ok(())
    }

    /// The record of a place, from 0, and its line.
    pub(super) fn get(&mut self, place: usize) -> io::Result<(u64, StringRecord)> {
        self.file.flush()?;
        let from = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut bytes = vec![0; (self.ends[place] - from) as usize];
        self.file.get_ref().read_exact_at(&mut bytes, from)?;
        let (mut record, mut rest) = (StringRecord::new(), &*bytes);
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (cell, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize).unwrap_or((behind, &[]));
            record.push_field(str::from_utf8(cell).map_err(io::Error::other)?);
            rest = behind;
        }
        Ok((u64::from(self.lines[place]), record))
    }
}
