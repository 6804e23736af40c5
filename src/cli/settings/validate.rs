//! Validates the text of the settings and makes the [`Config`]. Each mistake gets one sentence and its next step.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::secrets::{mongodb_uri, secret_address};
use super::table::{self, Setting};
use super::{Settings, Source, Typed, telling};
use crate::calendar::{Calendar, parse_time, parse_zone};
use crate::cli::environment;
use crate::cli::layout_file;
use crate::clock::Clock;
use crate::config::{Collections, Config, DriveSettings, Format, InvalidPolicy, ProxyVariables, Target};
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::http::proxy::Proxies;
use crate::http::{self, certificates};
use crate::layout::{Encoding, Layout};
use crate::plausible::{
    Implausible, check_bare, check_line_end, check_path, check_word, shown_number, shown_time, shown_word,
};
use crate::secret::{conceal_user, holds_a_key, is_a_token};

/// The shortest lease: with a shorter one, the renewals of a healthy run come too late on a busy server.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// The longest duration: ten years, far below the overflow of time arithmetic.
const DURATION_MAX: Duration = Duration::from_secs(10 * 8766 * 60 * 60);
/// The longest name of a database or a collection.
const NAME_BYTES: usize = 120;
/// The longest file name that common file systems take.
const FILE_NAME_BYTES: usize = 255;
/// Our collections whose names are fixed.
const FIXED_COLLECTIONS: [&str; 2] = ["exportbatchrows", "exportbatchentries"];

/// Validates every setting.
///
/// # Errors
/// `configuration`: the first wrong setting, its value unless that may be a secret, and how to write it.
pub fn validate(settings: &Settings, client_now: Option<&str>) -> Result<Config> {
    check_forms(settings)?;
    // A setting with a default value is always present.
    let of = |setting: &'static Setting| settings.get(setting).unwrap_or(Typed::absent(setting));
    let text = |setting| settings.get(setting).map(|typed| typed.text.to_owned());
    let switch = |setting| settings.get(setting).map_or(Ok(false), Typed::switch);
    let path = |setting| text(setting).map(PathBuf::from);
    let config = Config {
        mongodb_uri: settings.get(&table::MONGODB_URI).map(mongodb_uri).transpose()?,
        database: settings.get(&table::DATABASE).map(Typed::name).transpose()?,
        collections: collections(settings)?,
        destination: settings.get(&table::DESTINATION).map(destination).transpose()?,
        credentials: settings.get(&table::CREDENTIALS).map(|typed| PathBuf::from(without_file_scheme(typed.text))),
        drive: DriveSettings {
            url: web_address(of(&table::DRIVE_URL))?,
            subject: settings.get(&table::DRIVE_SUBJECT).map(subject).transpose()?,
            idle: of(&table::DRIVE_IDLE).duration()?,
            chunk_bytes: of(&table::DRIVE_CHUNK).count("bytes")?.into(),
            backoff_unit: of(&table::DRIVE_BACKOFF).duration()?,
            lock: switch(&table::DRIVE_LOCK)?,
        },
        proxies: proxies(),
        certificate_file: environment::raw(certificates::VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from),
        calendar: Calendar {
            zone: of(&table::TIMEZONE).parse_with(parse_zone)?,
            cutoff: of(&table::CUTOFF).parse_with(parse_time)?,
        },
        file_name: settings.get(&table::FILE_NAME).map(file_name).transpose()?,
        format: format(settings),
        invalid: of(&table::INVALID).one_of(&InvalidPolicy::NAMED)?,
        allow_reexport: switch(&table::ALLOW_REEXPORT)?,
        require_balanced: switch(&table::REQUIRE_BALANCED)?,
        generate_timeout: of(&table::GENERATE_TIMEOUT).duration()?,
        upload_timeout: of(&table::UPLOAD_TIMEOUT).duration()?,
        transaction_rows: of(&table::TRANSACTION_ROWS).count("rows")? as usize,
        lease: lease(of(&table::LEASE))?,
        retry_delays: retry_delays(of(&table::RETRY_DELAYS))?,
        spool_dir: path(&table::SPOOL_DIR).unwrap_or_else(environment::temporary_folder),
        webhook: telling::webhook(settings)?,
        health_check: telling::health_check(settings)?,
        metrics_file: path(&table::METRICS_FILE),
        metrics_url: settings.get(&table::METRICS_URL).map(secret_address).transpose()?,
        clock: Clock::from_env(client_now).map_err(|why| Failure::of(Exit::Configuration, why))?,
    };
    if config.notifies() || config.destination.as_ref().is_some_and(Target::is_remote) {
        Proxies::new(&config.proxies)?;
    }
    Ok(config)
}

/// Checks the form of each value before anything parses it. A value of another kind is refused and not shown.
fn check_forms(settings: &Settings) -> Result<()> {
    for typed in table::all().filter_map(|setting| settings.get(setting)) {
        let checked = match typed.setting.value {
            Some("FILE" | "DIR") => check_path(without_file_scheme(typed.text)),
            Some("URI" | "URL") => check_line_end(typed.text),
            // Only a value with the form of a token may be sent as one.
            Some("TOKEN") if typed.text.starts_with("file:") || is_a_token(typed.text) && !holds_a_key(typed.text) => {
                check_line_end(typed.text)
            }
            // Not checked here: a file name may have braces, and no message shows it.
            Some(_) if typed.setting.flag == table::FILE_NAME.flag => check_line_end(typed.text),
            // A path, which is checked where it is read.
            Some(_) if typed.setting.flag == table::FORMAT.flag && typed.text.starts_with("file:") => {
                check_line_end(typed.text)
            }
            Some(_) | None => check_word(typed.text),
        };
        let checked = checked.and(check_bare(typed.text)).and(check_bare(without_file_scheme(typed.text)));
        checked.map_err(|misplaced| typed.misplaced(misplaced))?;
    }
    Ok(())
}

impl<'a> Typed<'a> {
    /// A setting that nobody has set, and that has no default.
    pub(super) fn absent(setting: &'static Setting) -> Typed<'static> {
        Typed { setting, text: "", source: Source::Default }
    }

    /// The refusal of the value, and how to write it.
    pub(super) fn wrong(self, message: impl AsRef<str>, how: impl AsRef<str>) -> Failure {
        self.refused(Explanation::new(message, how))
    }

    /// The refusal of the value; the next step says how to write it, where that is known.
    pub(super) fn refused(self, why: impl Into<Explanation>) -> Failure {
        let Explanation { message, next } = why.into();
        let act = match self.source {
            Source::Flag => format!("correct --{}", self.setting.flag),
            Source::Variable | Source::Tmpdir => format!("correct it, or give --{}", self.setting.flag),
            Source::Default => format!("set --{}", self.setting.flag),
        };
        let how = next.map(|how| format!(": {how}")).unwrap_or_default();
        Failure::configuration(format!("{} is wrong: {message}", self.name_typed())).next(act + &how)
    }

    pub(super) fn misplaced(self, misplaced: Implausible) -> Failure {
        misplaced.failure(&format!("{} is wrong: it", self.name_typed()))
    }

    pub(super) fn name_typed(self) -> String {
        match self.source {
            Source::Variable => self.setting.variable.to_owned(),
            Source::Tmpdir => "TMPDIR".to_owned(),
            Source::Flag | Source::Default => format!("--{}", self.setting.flag),
        }
    }

    /// The name of a database or a collection.
    fn name(self) -> Result<String> {
        let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        match !self.text.is_empty() && self.text.len() <= NAME_BYTES && self.text.chars().all(plain) {
            true => Ok(self.text.to_owned()),
            false => Err(self.refused("it is not a name of letters, digits, `_`, `-` and `.`")),
        }
    }

    fn parse_with<T>(self, parse: impl Fn(&'a str) -> Result<T, Explanation>) -> Result<T> {
        parse(self.text).map_err(|why| self.refused(why))
    }

    /// One of a closed list, by its name.
    pub(super) fn one_of<T: Copy>(self, named: &[(&str, T)]) -> Result<T> {
        let found = named.iter().find(|(name, _)| *name == self.text).map(|(_, one)| *one);
        found.ok_or_else(|| {
            let names = named.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            self.wrong(format!("{} is none of its values", shown_word(self.text)), format!("write one of {names}"))
        })
    }

    /// A duration greater than zero and of at most ten years.
    fn duration(self) -> Result<Duration> {
        match self.parse_with(duration_of)? {
            Duration::ZERO => Err(self.refused("it must be greater than zero")),
            duration => Ok(duration),
        }
    }

    fn count(self, unit: &str) -> Result<u32> {
        match self.text.parse() {
            Ok(count) if count > 0 => Ok(count),
            Ok(_) | Err(_) => {
                let message = format!("{} is not a number of {unit}", shown_number(self.text));
                Err(self.wrong(message, format!("write a number from 1 to {}", u32::MAX)))
            }
        }
    }

    fn switch(self) -> Result<bool> {
        match self.text {
            "on" | "true" | "yes" | "1" => Ok(true),
            "off" | "false" | "no" | "0" => Ok(false),
            text => Err(self.wrong(format!("{} is neither on nor off", shown_word(text)), "write on or off")),
        }
    }
}

/// What decides the bytes of a file.
fn format(settings: &Settings) -> Result<Format> {
    let typed = settings.get(&table::FORMAT).unwrap_or(Typed::absent(&table::FORMAT));
    let layout = Arc::new(layout_file::named(&typed.name_typed(), typed.text)?);
    let layout_file = Layout::built_in(typed.text).is_none().then(|| typed.text.to_owned());
    let encoding = settings.get(&table::ENCODING).map(|typed| encoding(typed, &layout)).transpose()?;
    let contra_account = settings.get(&table::CONTRA_ACCOUNT).map(account).transpose()?;
    Ok(Format { layout, layout_file, encoding, contra_account })
}

/// Why a unit of months or years is refused: nothing here lasts that long, and `M` is mostly meant as minutes.
fn too_coarse(text: &str) -> Option<String> {
    let mut units = text.split(|c: char| !c.is_ascii_alphabetic());
    units.find_map(|unit| match unit {
        "M" | "month" | "months" => Some(format!("{unit} counts months")),
        "y" | "yr" | "yrs" | "year" | "years" => Some(format!("{unit} counts years")),
        _ => None,
    })
}

/// A duration as people write it, zero included.
pub fn duration_of(text: &str) -> Result<Duration, Explanation> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= DURATION_MAX => match too_coarse(text) {
            None => Ok(duration),
            Some(reason) => Err(Explanation::new(reason, "write it like 2m")),
        },
        // Most of the numbers that it cannot hold are too large.
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => {
            Err(Explanation::new(format!("{} is too long", shown_time(text)), "write at most 3652days"))
        }
        Err(_) => {
            Err(Explanation::new(format!("{} is not a duration", shown_time(text)), "write it like 1500ms, 30s or 5m"))
        }
    }
}

/// Four different names, none of them one of our fixed ones.
fn collections(settings: &Settings) -> Result<Collections> {
    let all = table::COLLECTIONS.map(|setting| settings.get(setting).unwrap_or(Typed::absent(setting)));
    let name = |setting: &'static Setting| {
        let typed = settings.get(setting).unwrap_or(Typed::absent(setting));
        let name = typed.name()?;
        if format!(".{name}").contains(".system.") {
            return Err(typed.refused(format!("the server keeps names like {name:?} for itself")));
        }
        let others = all.iter().filter(|other| other.setting.flag != setting.flag).map(|other| other.text);
        let is_taken = FIXED_COLLECTIONS.into_iter().chain(others).any(|other| other == name);
        // The mistake is not in a default.
        match is_taken && !matches!(typed.source, Source::Default) {
            true => Err(typed.wrong(
                format!("{name:?} is the name of another collection"),
                "give each collection a name of its own",
            )),
            false => Ok(name),
        }
    };
    Ok(Collections {
        queue: name(&table::QUEUE_COLLECTION)?,
        entries: name(&table::ENTRIES_COLLECTION)?,
        log: name(&table::LOG_COLLECTION)?,
        batches: name(&table::BATCH_COLLECTION)?,
    })
}

/// An encoding that can write the layout's own texts.
fn encoding(typed: Typed<'_>, layout: &Layout) -> Result<Encoding> {
    let encoding = typed.one_of(&Encoding::NAMED)?;
    let fits = layout.fits(encoding);
    fits.map_err(|reason| typed.refused(format!("the layout {} needs more: {reason}", layout.name)))?;
    Ok(encoding)
}

/// A file name with `{date}` in it.
fn file_name(typed: Typed<'_>) -> Result<String> {
    let text = typed.text;
    let dated = text.replace("{date}", "2026-01-18");
    if dated == text {
        let message = "it lacks {date}, so every day's file would have the same name";
        return Err(typed.wrong(message, "write {date} where the business date belongs"));
    }
    if text.contains('/') || text.chars().any(char::is_control) || dated.len() > FILE_NAME_BYTES {
        let next = format!("write one name without a slash, of at most {FILE_NAME_BYTES} bytes");
        return Err(typed.wrong("it is not the name of a file", next));
    }
    Ok(text.to_owned())
}

/// The delays before the retries; `none` for no retry.
fn retry_delays(typed: Typed<'_>) -> Result<Vec<Duration>> {
    if typed.text.trim() == "none" {
        return Ok(Vec::new());
    }
    typed.text.split(',').map(|delay| Typed { text: delay.trim(), ..typed }.duration()).collect()
}

fn without_file_scheme(text: &str) -> &str {
    let path = text.strip_prefix("file:").unwrap_or(text);
    path.strip_prefix("//").unwrap_or(path)
}

fn destination(typed: Typed<'_>) -> Result<Target> {
    let text = typed.text;
    let wrong = |message: &str, how: &str| Err(typed.wrong(message, how));
    if text.trim() != text {
        return wrong("it begins or ends with a blank", "remove the blank; in a path it is written %20");
    }
    if let Some(folder) = text.strip_prefix("gdrive://") {
        let folder = folder.trim_end_matches('/');
        if folder == "FOLDER_ID" {
            let next = "write the last part of the folder's address in the browser";
            return wrong("FOLDER_ID stands for the id of your folder", next);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if folder.is_empty() || !folder.bytes().all(plain) {
            let next = "write gdrive:// and the last part of the folder's address";
            return wrong("what follows gdrive:// is not a folder id", next);
        }
        return Ok(Target::Drive { folder: folder.to_owned() });
    }
    if let Some(rest) = text.strip_prefix("file:") {
        check_path(&percent_decode_str(rest).decode_utf8_lossy()).map_err(|misplaced| typed.misplaced(misplaced))?;
        // An address would end there, or lose it.
        if let Some(sign) = rest.chars().find(|sign| matches!(sign, '#' | '?' | '\\') || sign.is_ascii_control()) {
            let (shown, code) = (sign.escape_default(), u32::from(sign));
            return wrong(&format!("it has the character {shown}"), &format!("in an address, write it as %{code:02X}"));
        }
        if !rest.starts_with('/') {
            return wrong("it is a relative path, and a scheduler starts anywhere", "write file:///dir");
        }
        let path = url::Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
        let has_host = rest.starts_with("//") && !rest.starts_with("///");
        return match path {
            None if has_host => {
                wrong("what follows two slashes is the name of a host", "write file:///dir, with three slashes")
            }
            Some(path) if path.as_os_str().as_bytes().contains(&0) => {
                wrong("it has the character %00, which no path can have", "write file:///dir")
            }
            Some(path) if path.parent().is_some() => Ok(Target::Directory(path)),
            Some(_) | None => wrong("it is not a directory", "write file:///dir"),
        };
    }
    wrong("it is neither a folder in Drive nor a directory", "write gdrive://FOLDER_ID or file:///dir")
}

fn web_address(typed: Typed<'_>) -> Result<String> {
    match http::web_address(typed.text) {
        Some(_) => Ok(typed.text.trim_end_matches('/').to_owned()),
        None => Err(typed.refused("it is not an address that begins with https://")),
    }
}

/// The proxy variables, by the usual rules of HTTP clients: upper-case names win over lower-case ones, and under a web
/// server (CGI) none is used, because there `HTTP_PROXY` is a header that anybody can send.
fn proxies() -> ProxyVariables {
    if environment::raw("REQUEST_METHOD").is_some() {
        return ProxyVariables::default();
    }
    let value = |name: &str| {
        let value = environment::text(name).or_else(|| environment::text(&name.to_lowercase())).unwrap_or_default();
        // Cut by hand, because `user:password@proxy:3128` without a scheme is allowed too.
        if let Some((user, _)) = value.rsplit_once('@') {
            conceal_user(user.split_once("://").map_or(user, |(_, rest)| rest));
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

/// A code of the chart of accounts. It is stored with the batch and written into the file.
fn account(typed: Typed<'_>) -> Result<String> {
    let plain = |c: char| c.is_alphanumeric() || " -_./()*".contains(c);
    match typed.text.len() <= NAME_BYTES && typed.text.chars().all(plain) {
        true => Ok(typed.text.to_owned()),
        false => Err(typed.refused("it is not a code of letters, digits, blanks and -_./()*")),
    }
}

/// A text with the form of an email address.
fn subject(typed: Typed<'_>) -> Result<String> {
    let parts: Vec<&str> = typed.text.split('@').collect();
    let plain = |part: &&str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || ":/?#\"'".contains(c));
    match parts.len() == 2 && parts.iter().all(plain) {
        true => Ok(typed.text.to_owned()),
        false => Err(typed.wrong("it is not an email address", "write one like ann@example.com")),
    }
}

fn lease(typed: Typed<'_>) -> Result<Duration> {
    match typed.duration()? {
        lease if lease >= LEASE_MIN => Ok(lease),
        _ => {
            let message = format!("{} is shorter than a second", shown_time(typed.text));
            Err(typed.wrong(message, "write at least 1s"))
        }
    }
}
