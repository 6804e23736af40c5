//! Reads a layout by the name of a built-in one, or by the path of its file.
//!
//! Risk: a secret was given instead of a path, or the file holds one. So a path is shown only when it looks like a
//! path, and a message quotes only short words of the file.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::failure::Failure;
use crate::layout::{BUILT_IN, LONGEST_FILE_BYTES, Layout, LayoutError, parse};
use crate::plausible::{Misplaced, check_path};

/// The layout that a setting names; `setting` is the setting as people typed it.
///
/// # Errors
/// `configuration`: neither a built-in layout nor a readable file, or the file's first error.
pub fn named(setting: &str, text: &str) -> Result<Layout, Failure> {
    match Layout::built_in(text) {
        Some(layout) => Ok(layout),
        None => read(setting, text)?.map_err(|errors| malformed(text, &errors)),
    }
}

/// The layout in a file, or every error of the file.
///
/// # Errors
/// `configuration`: the file cannot be read.
pub fn read(setting: &str, path: &str) -> Result<Result<Layout, Vec<LayoutError>>, Failure> {
    check_path(path).map_err(|Misplaced { what, next }| {
        Failure::configuration(format!("{setting} is wrong: it {what}")).next(next)
    })?;
    let text = content(Path::new(path)).map_err(|reason| {
        let names = BUILT_IN.map(|(name, _)| name).join(" or ");
        let message = format!("{path:?} is neither a built-in layout ({names}) nor a layout file: {reason}");
        Failure::configuration(message).next(format!("give {setting} a built-in layout or the path of a layout file"))
    })?;
    Ok(parse(&text))
}

fn content(path: &Path) -> Result<String, String> {
    // Checked before the file is opened: opening a named pipe would wait for a writer.
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LONGEST_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

fn malformed(path: &str, errors: &[LayoutError]) -> Failure {
    let first = errors.first().map(LayoutError::to_string).unwrap_or_default();
    let others = match errors.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Failure::configuration(format!("the layout file {path} is malformed, {first}{others}"))
        .next(format!("correct it; `batch-export layout check {path}` shows all of it"))
}
