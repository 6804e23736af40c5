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
    if let Some(layout) = Layout::built_in(text) {
        return Ok(layout);
    }
    let is = format!("neither a built-in layout ({}) nor a layout file", BUILT_IN.map(|(name, _)| name).join(" or "));
    let next = format!("give {setting} a built-in layout or the path of a layout file");
    read(setting, text, &is, &next)?.map_err(|errors| malformed(text, &errors))
}

/// The layout in the file that `layout check` is given, or every error of the file.
///
/// # Errors
/// `configuration`: the file cannot be read.
pub fn checked(path: &str) -> Result<Result<Layout, Vec<LayoutError>>, Failure> {
    let next = "give FILE the path of a layout file; `batch-export layout show NAME` prints a built-in layout";
    read("FILE", path, "not a layout file", next)
}

/// `argument` names `path` on the command line, `is` says what an unreadable path is.
fn read(argument: &str, path: &str, is: &str, next: &str) -> Result<Result<Layout, Vec<LayoutError>>, Failure> {
    check_path(path).map_err(|Misplaced { what, next }| {
        Failure::configuration(format!("{argument} is wrong: it {what}")).next(next)
    })?;
    let text = content(Path::new(path))
        .map_err(|reason| Failure::configuration(format!("{argument} \"{path}\" is {is}: {reason}")).next(next))?;
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
