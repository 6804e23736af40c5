//! `SSL_CERT_FILE`: the file of the certificates that this machine is to trust, such as a company's own CA.
//!
//! Risk: the libraries that read the file pass over one that is missing, and then trust nobody; and a pipe in its place never ends. So the
//! file is looked at before a command that may need it begins.

use std::path::{Path, PathBuf};

use crate::cli::environment;
use crate::config::{Config, Target};
use crate::failure::Failure;
use crate::files::{holds_certificate, read_named};
use crate::plausible::check_path;

const VARIABLE: &str = "SSL_CERT_FILE";

/// Refuses a file that cannot be used, when the command makes connections with certificates.
///
/// # Errors
/// `configuration`, with the file's name.
pub fn check(config: &Config) -> Result<(), Failure> {
    let named = environment::raw(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    match named.filter(|_| needs_certificates(config)) {
        Some(path) => check_file(&path),
        None => Ok(()),
    }
}

fn check_file(path: &Path) -> Result<(), Failure> {
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

fn needs_certificates(config: &Config) -> bool {
    let to_database = config.mongodb_uri.as_ref().is_some_and(|uri| {
        let uri = uri.expose().to_ascii_lowercase();
        ["mongodb+srv://", "tls=true", "ssl=true"].iter().any(|sign| uri.contains(sign))
    });
    to_database || uses_http(config)
}

/// Whether a pass makes requests: to the destination, or to those who are notified.
pub(super) fn uses_http(config: &Config) -> bool {
    config.notifies() || config.destination.as_ref().is_some_and(Target::is_remote)
}
