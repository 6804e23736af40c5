//! `SSL_CERT_FILE`: the file of the certificates that this machine is to trust, such as a company's own CA.
//!
//! Risk: the libraries that read the file pass over one that is missing, and then trust nobody; and a pipe in its place never ends. So the
//! file is looked at before they read it.

use std::path::Path;

use crate::config::{Config, Target};
use crate::failure::{Failure, Result};
use crate::files::{holds_certificate, read_named};
use crate::plausible::check_path;

/// The variable.
pub const VARIABLE: &str = "SSL_CERT_FILE";

/// Refuses a file that cannot be used, when the command reaches the database or the destination with certificates. Notifications do not
/// count: they change no result.
pub fn check(config: &Config) -> Result<()> {
    let is_needed = config.reaches_database_by_tls() || config.destination.as_ref().is_some_and(Target::is_remote);
    check_file(config.certificate_file.as_deref().filter(|_| is_needed))
}

/// Refuses a file that cannot be used, if one is named.
pub fn check_file(path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let wrong = |reason: String| {
        Failure::configuration(format!("{VARIABLE} is wrong: {reason}"))
            .next("give it the path of a PEM file that this machine and this user can read, or unset it")
    };
    check_path(&path.to_string_lossy()).map_err(|misplaced| wrong(format!("it {}", misplaced.what)))?;
    let shown = path.display();
    match read_named(path) {
        Err(error) => Err(wrong(format!("the file {shown} cannot be read: {error}"))),
        Ok(pem) if !holds_certificate(&pem) => Err(wrong(format!("the file {shown} holds no certificate in PEM form"))),
        Ok(_) => Ok(()),
    }
}
