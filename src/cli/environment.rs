//! The environment variables. Only this file reads them.
//!
//! Risk: a setting that is read deep inside the program is in neither the help nor the validation. So every variable is
//! read before the work begins; clippy.toml forbids the functions of the standard library elsewhere.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The bytes of a variable.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn raw(name: impl AsRef<OsStr>) -> Option<OsString> {
    std::env::var_os(name)
}

/// A variable that is text.
pub fn text(name: &str) -> Option<String> {
    raw(name)?.into_string().ok()
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}

/// Every variable and its value, as far as they are text.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn all() -> Vec<(String, String)> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
}
