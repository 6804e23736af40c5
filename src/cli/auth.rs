//! `batch-export auth`: a person's consent for a Google account, given once in a browser, kept in a file for every run after it.
//!
//! Risk: a credentials file is lost. So an existing file is replaced only when it is a consent as well (never a service
//! account's key), atomically, and this is checked before the person is asked. The port is open to every program of
//! this machine: an answer without our `state` is refused, and the wait continues.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::args::{AuthArgs, OutputFormat};
use super::render::{self, Head, Render};
use crate::command::CommandName;
use crate::config::Config;
use crate::destination::drive::consent::ConsentClient;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::files::{folder_of, open_folder, read_named};
use crate::outcome::Done;
use crate::plausible::{check_path, shown_word};
use crate::secret::Secret;
use crate::stop::Stop;
use crate::streams;

/// The credentials file when no setting names one.
const DEFAULT_FILE: &str = "credentials.json";
/// How long the person may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long one connection may take to send its request. Short, because browsers also open connections that they do not
/// use.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The head of a request that is read: Google's answer takes some hundred bytes.
const HEAD_MAX_BYTES: usize = 16 * 1024;
const TESTING: &str = "if the consent screen of this OAuth client is in \"Testing\", Google ends the consent after 7 days: \
    publish it (\"In production\") in the Google Cloud console, then run `batch-export auth` again";

/// What `auth` did.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AuthResult {
    #[serde(flatten)]
    head: Head,
    /// The file that was written.
    credentials: PathBuf,
    warning: &'static str,
}

impl Render for AuthResult {
    fn text(&self) -> String {
        let file = self.credentials.display();
        format!(
            "the consent is in {file} (0600)\n  next     set GOOGLE_APPLICATION_CREDENTIALS to that file, then run `batch-export doctor`\n  warning  {}\n",
            self.warning
        )
    }
}

/// Asks, waits, exchanges, and writes the file.
///
/// # Errors
/// `configuration`: the client's file, the port, or the file to write; `drive_rejected`: no consent, or a scope that is
/// too small.
pub async fn execute(args: &AuthArgs, config: &Config, stop: &Stop, output: OutputFormat) -> Result<Exit> {
    let path = config.credentials.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    check_path(&args.client.to_string_lossy()).map_err(|misplaced| misplaced.failure("--client"))?;
    let client = ConsentClient::read(&args.client)?;
    refuse_other_file(&path)?;
    stop.until_signal(consent(args, config, &client, &path)).await?;
    let head = Head::new(CommandName::Auth, Done::Completed, Exit::Ok);
    render::print(&AuthResult { head, credentials: path, warning: TESTING }, output);
    Ok(Exit::Ok)
}

async fn consent(args: &AuthArgs, config: &Config, client: &ConsentClient, path: &Path) -> Result<()> {
    let bound = async {
        let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
        Ok::<_, io::Error>((listener.local_addr()?.port(), listener))
    };
    let (port, listener) = bound.await.map_err(|error| {
        Failure::configuration(format!("cannot listen on port {} of 127.0.0.1: {error}", args.port))
            .next("give --port another one, or leave it out")
    })?;
    let question = client.question(port);
    // Not through the log, because `--quiet` would hide it.
    streams::write_stderr(format!(
        "Open this address in a browser, and allow access to Google Drive:\n\n{}\n\n",
        question.address
    ));
    if !args.no_browser {
        open_browser(&question.address);
    }
    let Ok(answer) = tokio::time::timeout(PATIENCE, wait_for_answer(&listener, &question.state)).await else {
        return Err(Failure::new(
            Exit::DriveRejected,
            format!("no consent within {} minutes", PATIENCE.as_secs() / 60),
        )
        .next("run `batch-export auth` again"));
    };
    let consent = client.exchange(&question, &answer?, &config.proxies).await?;
    write_private(path, &client.credentials(&consent)).map_err(|error| {
        Failure::configuration(format!("cannot write {}: {error}", path.display()))
            .next("give --credentials a file in a folder that you may write to")
    })
}

/// Refuses to replace a file that is not a consent: a service account's key cannot be downloaded again.
fn refuse_other_file(path: &Path) -> Result<()> {
    let bytes = match read_named(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // It is there, whatever it is.
        Err(_) => Vec::new(),
    };
    let found = serde_json::from_slice::<Value>(&bytes).unwrap_or(Value::Null);
    if found.get("type").and_then(Value::as_str) == Some("authorized_user") {
        return Ok(());
    }
    Err(Failure::configuration(format!("{} exists and is not a person's consent", path.display()))
        .next("give --credentials another file, or move that one away"))
}

fn open_browser(address: &Url) {
    let quiet = || Stdio::null();
    let opened = Command::new("xdg-open").arg(address.as_str()).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    if opened.is_err() {
        tracing::debug!("no browser could be opened");
    }
}

/// Waits for the code, or the refusal, with our `state`. Other requests are refused.
async fn wait_for_answer(listener: &TcpListener, state: &str) -> Result<Secret> {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(Some(asked)) = tokio::time::timeout(REQUEST_TIMEOUT, read_address(&mut stream)).await else { continue };
        let field = |name: &str| asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        if field("state").as_deref() != Some(state) {
            say(&mut stream, "400 Bad Request", "This is not the expected answer.").await;
            continue;
        }
        if let Some(code) = field("code") {
            say(&mut stream, "200 OK", "Thank you. You may close this window; the result is in the terminal.").await;
            return Ok(Secret::new(code));
        }
        say(&mut stream, "200 OK", "No consent was given. You may close this window.").await;
        let why = field("error").map_or_else(|| "no reason was given".to_owned(), |code| shown_word(&code).to_string());
        return Err(Failure::new(Exit::DriveRejected, format!("no consent was given: {why}"))
            .next("run `batch-export auth` again, and allow access"));
    }
}

/// The address in the first line of a browser's request.
async fn read_address(stream: &mut TcpStream) -> Option<Url> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 2048];
        let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
        head.extend_from_slice(&part[..length]);
        if head.len() > HEAD_MAX_BYTES {
            return None;
        }
    }
    let text = String::from_utf8_lossy(&head);
    let path = text.strip_prefix("GET ")?.split(' ').next()?;
    Url::parse("http://127.0.0.1").ok()?.join(path).ok()
}

async fn say(stream: &mut TcpStream, status: &str, text: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // The answer counts even when the browser has closed the connection.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Writes a private file completely before it gets its name.
fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    open_folder(folder)?.sync_all()
}
