//! Reads a layout by the name of a built-in one, or by the path of its file.
//!
//! Risk: a secret was given instead of a path, or the file holds one. So a path is shown only when it looks like a
//! path, and a message quotes only short words of the file.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::failure::{Failure, Result};
use crate::files::read_beginning;
use crate::layout::{BUILT_IN, LONGEST_FILE_BYTES, Layout, LayoutError, nearest, no_layout, parse};
use crate::plausible::check_path;
use crate::secret::is_utf16;

/// The layout that a setting names; `setting` is the setting as people typed it.
///
/// # Errors
/// `configuration`: neither a built-in layout nor a readable file, or the file's first error.
pub fn named(setting: &str, text: &str) -> Result<Layout> {
    if let Some(layout) = Layout::built_in(text) {
        return Ok(layout);
    }
    let is = format!("neither a built-in layout ({}) nor a layout file", BUILT_IN.map(|(name, _)| name).join(" or "));
    let next = format!("give {setting} a built-in layout or the path of a layout file");
    read(setting, text, &is, "", &next)?.map_err(|errors| malformed(text, &errors))
}

/// The layout in the file that `layout check` is given, or every error of the file.
pub fn checked(path: &str) -> Result<Result<Layout, Vec<LayoutError>>> {
    let built_in = "; `batch-export layout show NAME` prints a built-in layout";
    let next = format!("give FILE the path of a layout file{built_in}");
    read("FILE", path, "not a layout file", built_in, &next)
}

/// `argument` names `path` on the command line, `is` says what an unreadable path is, `otherwise` what to do when there
/// should be no such file, and `next` what to give instead.
fn read(argument: &str, path: &str, is: &str, otherwise: &str, next: &str) -> Result<Result<Layout, Vec<LayoutError>>> {
    check_path(path).map_err(|misplaced| misplaced.failure(&format!("{argument} is wrong: it")))?;
    let unreadable = |error: io::Error| {
        let next = match error.kind() {
            ErrorKind::NotFound => format!("this file does not exist: {}{otherwise}", mistaken(path)),
            ErrorKind::PermissionDenied => "give the user of this command the right to read the file".to_owned(),
            _ => next.to_owned(),
        };
        Failure::configuration(format!("{argument} \"{path}\" is {is}: {error}")).next(next)
    };
    // One more than a layout may have: the parser refuses it for its length.
    let bytes = read_beginning(Path::new(path), LONGEST_FILE_BYTES as u64 + 1).map_err(unreadable)?;
    if let Some((at, message)) = not_utf8(&bytes) {
        let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        return Ok(Err(vec![LayoutError { line, message }]));
    }
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// What was probably wrong with the path of a file that does not exist.
fn mistaken(path: &str) -> String {
    match nearest(path, &BUILT_IN.map(|(name, _)| name)) {
        Some(name) => format!("did you mean the built-in layout {name}?"),
        None if Path::new(path).is_relative() => {
            "check the path, and give it whole: a relative one begins in the folder where the command \
             is started, which is another one under cron or systemd"
                .to_owned()
        }
        None => "check the path".to_owned(),
    }
}

/// Where the content is no text in UTF-8, and what it is instead.
fn not_utf8(bytes: &[u8]) -> Option<(usize, String)> {
    // Such a file is refused for its length, and the cut may have split its last character.
    if bytes.len() > LONGEST_FILE_BYTES {
        return None;
    }
    let save = |is: &str| format!("{is}; save it as UTF-8: in the editor choose Save as, and UTF-8 as the encoding");
    if is_utf16(bytes) {
        let is_utf32 = bytes.starts_with(b"\xff\xfe\0\0");
        return Some((0, save(if is_utf32 { "UTF-32, not UTF-8" } else { "UTF-16, not UTF-8" })));
    }
    let valid = std::str::from_utf8(bytes).err()?.valid_up_to();
    // A text in an encoding of Windows has no other control characters.
    let control = |byte: &u8| *byte < b' ' && !b"\t\r\n".contains(byte);
    let binary = "this is no layout: it is binary; expected a text, a TOML file";
    match (bytes.iter().position(control), no_layout(&String::from_utf8_lossy(bytes))) {
        (Some(at), _) => Some((at.min(valid), binary.to_owned())),
        // To save it as UTF-8 would make no layout of it.
        (None, Some(LayoutError { message, .. })) => Some((0, message)),
        (None, None) => Some((valid, save("not UTF-8"))),
    }
}

fn malformed(path: &str, errors: &[LayoutError]) -> Failure {
    let first = errors.first().map(LayoutError::to_string).unwrap_or_default();
    let others = match errors.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let word = if path.contains(' ') { format!("\"{path}\"") } else { path.to_owned() };
    Failure::configuration(format!("the layout file {path} is malformed, {first}{others}"))
        .next(format!("correct it; `batch-export layout check {word}` shows all of it"))
}
