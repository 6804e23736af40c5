//! The settings that are secret: read from the value itself or from the file that it names, and concealed before anything else sees them.

use std::ffi::OsString;
use std::path::Path;

use super::{Typed, table};
use crate::cli::environment;
use crate::failure::{Explanation, Result};
use crate::files::read_named;
use crate::http;
use crate::plausible::{check_bare, check_path};
use crate::secret::{Secret, conceal, conceal_typed, is_utf16};

/// Registers everything that may be secret in the command line and in the variables, before anything parses them.
pub fn conceal_secrets(arguments: &[OsString]) {
    let token = format!("--{}", table::NOTIFY_TOKEN.flag);
    let mut before = String::new();
    for word in arguments.iter().map(|word| word.to_string_lossy()) {
        conceal_typed(&word);
        let (flag, value) = word.split_once('=').unwrap_or((&before, &word));
        conceal_typed(value);
        if flag == token {
            conceal(value);
        }
        before = word.into_owned();
    }
    // Each variable: which ones the libraries read is not known here.
    for (name, value) in environment::all() {
        if name == table::NOTIFY_TOKEN.variable {
            conceal(&value);
        }
        conceal_typed(&value);
    }
}

pub(super) fn mongodb_uri(typed: Typed<'_>) -> Result<Secret> {
    let uri = from_file(typed)?;
    if let Some(why) = not_one_value(typed.setting.variable, uri.trim()) {
        return Err(typed.refused(why.of("it")));
    }
    if !uri.starts_with("mongodb://") && !uri.starts_with("mongodb+srv://") {
        return Err(typed.refused("it does not begin with mongodb:// or mongodb+srv://"));
    }
    Ok(Secret::new(uri))
}

pub(super) fn secret_address(typed: Typed<'_>) -> Result<Secret> {
    let address = Secret::new(from_file(typed)?);
    match http::web_address(address.expose()) {
        Some(_) => Ok(address),
        None => Err(typed.refused("it is not an address that begins with https://")),
    }
}

/// The value itself, or the content of the file that it names.
pub(super) fn from_file(typed: Typed<'_>) -> Result<String> {
    let Some(path) = typed.text.strip_prefix("file:") else { return Ok(typed.text.to_owned()) };
    let path = path.strip_prefix("//").unwrap_or(path);
    check_path(path).map_err(|misplaced| typed.misplaced(misplaced))?;
    let bytes = read_named(Path::new(path))
        .map_err(|error| typed.refused(format!("the file {path} cannot be read: {error}")))?;
    let content = String::from_utf8_lossy(&bytes);
    conceal_typed(&content);
    let value = content.trim();
    match not_the_value_alone(&bytes, value).or_else(|| not_one_value(typed.setting.variable, value)) {
        Some(why) => Err(typed.refused(why.of(&format!("the file {path}")))),
        None => Ok(value.to_owned()),
    }
}

/// What was written instead of the value alone: nothing, several lines, or the line of a shell or of an `.env` file.
fn not_one_value(variable: &str, value: &str) -> Option<Explanation> {
    let line = value.strip_prefix("export ").unwrap_or(value);
    let message = match line.split_once('=') {
        _ if value.is_empty() => "is empty",
        Some((name, _)) if name.trim() == variable => "has the variable's name before the value",
        _ if value.contains(['\n', '\r']) => "has more than one line",
        _ => return None,
    };
    Some(Explanation::new(message, "write the value alone"))
}

/// What an editor or a shell put around a value, and what would be taken for a part of it.
fn not_the_value_alone(bytes: &[u8], value: &str) -> Option<Explanation> {
    let is_text = std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0);
    let (message, next) = match () {
        () if is_utf16(bytes) => {
            ("is in UTF-16, as PowerShell and Notepad write it", "save it as UTF-8 without a byte order mark")
        }
        () if bytes.starts_with(b"\xef\xbb\xbf") => {
            ("begins with a byte order mark, as Notepad writes it", "save it as UTF-8 without a byte order mark")
        }
        () if check_bare(value).is_err() => ("has quotes around its content", "write the value alone"),
        () if !is_text => ("is not a text in UTF-8", "write the value alone, as a text in UTF-8"),
        () => return None,
    };
    Some(Explanation::new(message, next))
}
