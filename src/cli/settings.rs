//! From the text of the command line and the environment to a validated [`Config`]: the second step, where every mistake gets one
//! sentence and its next step.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::calendar::{Calendar, parse_time, parse_zone};
use crate::clock::Clock;
use crate::config::{Collections, Config, InvalidPolicy, NotifyKind, ProxyVariables, Target};
use crate::failure::Failure;
use crate::secret::{Secret, conceal};

use super::settings_args::SettingsArgs;

/// The shortest lease: below it, the renewals of a healthy run come too late on a busy server.
const LEASE_MIN: Duration = Duration::from_secs(1);

/// Validates every setting.
///
/// # Errors
/// `configuration`: the first setting that is wrong, its value unless that is a secret, and how to write it.
pub fn validate(args: &SettingsArgs) -> Result<Config, Failure> {
    Ok(Config {
        mongodb_uri: mongodb_uri(args.mongodb_uri.as_deref())?,
        database: args.database.clone(),
        collections: Collections {
            queue: args.queue_collection.clone(),
            entries: args.entries_collection.clone(),
            log: args.log_collection.clone(),
            batches: args.batch_collection.clone(),
        },
        destination: args.destination.as_deref().map(destination).transpose()?,
        credentials: args.credentials.as_deref().map(|path| PathBuf::from(without_file_scheme(path))),
        drive_subject: args.drive_subject.clone(),
        drive_url: web_address("BATCH_EXPORT_DRIVE_URL", &args.drive_url)?.trim_end_matches('/').to_owned(),
        drive_backoff: duration("BATCH_EXPORT_DRIVE_BACKOFF", &args.drive_backoff)?,
        drive_idle: duration("BATCH_EXPORT_DRIVE_IDLE", &args.drive_idle)?,
        drive_chunk_bytes: count("BATCH_EXPORT_DRIVE_CHUNK", &args.drive_chunk, "bytes")?,
        proxies: proxies(),
        calendar: Calendar {
            zone: parse_zone(&args.timezone).map_err(|reason| wrong("BATCH_EXPORT_TIMEZONE", reason))?,
            cutoff: parse_time(&args.cutoff).map_err(|reason| wrong("BATCH_EXPORT_CUTOFF", reason))?,
        },
        format: parsed("BATCH_EXPORT_FORMAT", &args.format)?,
        encoding: args.encoding.as_deref().map(|text| parsed("BATCH_EXPORT_ENCODING", text)).transpose()?,
        contra_account: args.contra_account.clone(),
        invalid: invalid_policy(&args.invalid)?,
        require_balanced: args.require_balanced,
        generate_timeout: duration("BATCH_EXPORT_GENERATE_TIMEOUT", &args.generate_timeout)?,
        upload_timeout: duration("BATCH_EXPORT_UPLOAD_TIMEOUT", &args.upload_timeout)?,
        transaction_rows: count("BATCH_EXPORT_TRANSACTION_ROWS", &args.transaction_rows, "rows")? as usize,
        lease: lease(&args.lease)?,
        retry_delays: retry_delays(&args.retry_delays)?,
        spool_dir: args.spool_dir.clone().unwrap_or_else(std::env::temp_dir),
        notify_url: secret_address("BATCH_EXPORT_NOTIFY_URL", args.notify_url.as_deref())?,
        notify_kind: args.notify_kind.as_deref().map(notify_kind).transpose()?,
        ping_url: secret_address("BATCH_EXPORT_PING_URL", args.ping_url.as_deref())?,
        metrics_file: args.metrics_file.clone(),
        clock: Clock::from_env(args.client_now.as_deref()).map_err(Failure::configuration)?,
    })
}

/// `none`: the first failure already waits for a person.
fn retry_delays(text: &str) -> Result<Vec<Duration>, Failure> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    text.split(',').map(|delay| duration("BATCH_EXPORT_RETRY_DELAYS", delay.trim())).collect()
}

/// Marks as concealed whatever may be a secret, before anything can go wrong with it.
pub fn conceal_secrets(args: &SettingsArgs) {
    for value in [&args.mongodb_uri, &args.notify_url, &args.ping_url].into_iter().flatten() {
        if let Ok(address) = url::Url::parse(value) {
            address.password().into_iter().for_each(conceal);
        }
    }
}

fn wrong(name: &str, reason: impl Display) -> Failure {
    let flag = match name {
        "MONGODB_URI" => "--mongodb-uri".to_owned(),
        _ => name.replacen("BATCH_EXPORT_", "--", 1).to_lowercase().replace('_', "-"),
    };
    Failure::configuration(format!("{name} is wrong: {reason}")).next(format!("correct it, or give {flag}"))
}

fn parsed<T: FromStr<Err = String>>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|reason: String| wrong(name, reason))
}

fn mongodb_uri(text: Option<&str>) -> Result<Option<Secret>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let uri = from_file("MONGODB_URI", text)?;
    if !uri.starts_with("mongodb://") && !uri.starts_with("mongodb+srv://") {
        return Err(wrong("MONGODB_URI", "it does not begin with mongodb:// or mongodb+srv://"));
    }
    if let Ok(address) = url::Url::parse(&uri) {
        address.password().into_iter().for_each(conceal);
    }
    Ok(Some(Secret::new(uri)))
}

fn secret_address(name: &str, text: Option<&str>) -> Result<Option<Secret>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let address = Secret::new(from_file(name, text)?);
    match url::Url::parse(address.expose()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(address)),
        Ok(_) | Err(_) => Err(wrong(name, "it is not an address that begins with https://")),
    }
}

/// The value itself, or the content of the file that it names.
fn from_file(name: &str, text: &str) -> Result<String, Failure> {
    let Some(path) = text.strip_prefix("file:") else { return Ok(text.to_owned()) };
    let path = path.strip_prefix("//").unwrap_or(path);
    match fs::read_to_string(path) {
        Ok(content) => Ok(content.trim().to_owned()),
        Err(error) => Err(wrong(name, format!("the file {path} cannot be read: {error}"))),
    }
}

fn without_file_scheme(text: &str) -> &str {
    let path = text.strip_prefix("file:").unwrap_or(text);
    path.strip_prefix("//").unwrap_or(path)
}

fn destination(text: &str) -> Result<Target, Failure> {
    const NAME: &str = "BATCH_EXPORT_DESTINATION";
    if let Some(folder) = text.strip_prefix("gdrive://") {
        let folder = folder.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if folder.is_empty() || !folder.bytes().all(plain) {
            return Err(wrong(
                NAME,
                format!("{folder:?} is not a folder id; write gdrive:// and the last part of the folder's address"),
            ));
        }
        return Ok(Target::Drive { folder: folder.to_owned() });
    }
    if text.starts_with("file:") {
        let path = url::Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
        return match path {
            Some(path) if path.parent().is_some() => Ok(Target::Directory(path)),
            Some(_) | None => Err(wrong(NAME, format!("{text:?} is not a directory; write file:///dir"))),
        };
    }
    Err(wrong(NAME, format!("{text:?} is neither gdrive://FOLDER_ID nor file:///dir")))
}

fn web_address(name: &str, text: &str) -> Result<String, Failure> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(wrong(name, format!("{text:?} is not an address that begins with https://"))),
    }
}

/// The proxies, by the rules of the HTTP client, which reads the same variables: the capital letters count before the small ones, and
/// under a web server none is believed, because there `HTTP_PROXY` is a header that anybody can send.
fn proxies() -> ProxyVariables {
    if std::env::var_os("REQUEST_METHOD").is_some() {
        return ProxyVariables::default();
    }
    let value = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase())).unwrap_or_default();
        // Not by a parser of addresses: `user:password@proxy:3128`, without a scheme, is understood too.
        if let Some((user_and_password, _)) = value.rsplit_once('@') {
            let after_scheme = user_and_password.rsplit_once("//").map_or(user_and_password, |(_, rest)| rest);
            let password = after_scheme.split_once(':').map_or(after_scheme, |(_, password)| password);
            conceal(password);
        }
        value
    };
    ProxyVariables {
        https: value("HTTPS_PROXY"),
        http: value("HTTP_PROXY"),
        all: value("ALL_PROXY"),
        no: value("NO_PROXY"),
    }
}

fn invalid_policy(text: &str) -> Result<InvalidPolicy, Failure> {
    match text {
        "fail" => Ok(InvalidPolicy::Fail),
        "hold" => Ok(InvalidPolicy::Hold),
        _ => Err(wrong("BATCH_EXPORT_INVALID", format!("{text:?} is neither fail nor hold"))),
    }
}

fn notify_kind(text: &str) -> Result<NotifyKind, Failure> {
    let found = NotifyKind::ALL.into_iter().find(|kind| kind.name() == text);
    let names = NotifyKind::ALL.map(NotifyKind::name).join(", ");
    found.ok_or_else(|| wrong("BATCH_EXPORT_NOTIFY_KIND", format!("{text:?} is none of {names}")))
}

fn duration(name: &str, text: &str) -> Result<Duration, Failure> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err(wrong(name, "it must be longer than nothing")),
        Err(_) => Err(wrong(name, format!("{text:?} is not a duration; write it like 1500ms, 30s or 5m"))),
    }
}

fn lease(text: &str) -> Result<Duration, Failure> {
    match duration("BATCH_EXPORT_LEASE", text)? {
        lease if lease >= LEASE_MIN => Ok(lease),
        _ => Err(wrong("BATCH_EXPORT_LEASE", format!("{text:?} is shorter than a second"))),
    }
}

fn count(name: &str, text: &str, unit: &str) -> Result<u64, Failure> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        Ok(_) | Err(_) => Err(wrong(name, format!("{text:?} is not a number of {unit}, at least 1"))),
    }
}
