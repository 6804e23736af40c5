//! A browser that opens nothing: it writes down the address that it was given, and the test answers for the person in front of it.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use url::Url;

/// How long the program may take to ask.
const PATIENCE: Duration = Duration::from_secs(30);
const XDG_OPEN: &str = "#!/bin/sh\nprintf %s \"$1\" > \"$0.part\" && mv \"$0.part\" \"$0.address\"\n";

/// An `xdg-open` in a folder of its own.
pub struct Browser {
    folder: TempDir,
}

impl Browser {
    /// Installs it.
    pub fn new() -> Browser {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the browser");
        let program = folder.path().join("xdg-open");
        fs::write(&program, XDG_OPEN).expect("the browser");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a browser that can be started");
        Browser { folder }
    }

    /// Its folder, to stand before all others in PATH.
    pub fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn note(&self) -> PathBuf {
        self.folder.path().join("xdg-open.address")
    }

    /// Whether it was told to open anything.
    pub fn was_opened(&self) -> bool {
        self.note().exists()
    }

    /// What it was told to open, as soon as it is, without the host: the fields of the question.
    pub fn question(&self) -> HashMap<String, String> {
        wait_until(|| self.was_opened());
        let address = fs::read_to_string(self.note()).expect("the address");
        fs::remove_file(self.note()).expect("our own note");
        fields(&address)
    }
}

/// The fields of a question, from the address that asks it.
pub fn fields(address: &str) -> HashMap<String, String> {
    let address = Url::parse(address).expect("an address");
    assert!(address.as_str().starts_with("https://accounts.google.com/o/oauth2/auth?"), "{address}");
    address.query_pairs().into_owned().collect()
}

/// Where Google sends the browser with the answer of the person (`code=...`, or `error=...`).
pub fn way_back(question: &HashMap<String, String>, query: &str) -> Url {
    let redirect = Url::parse(&question["redirect_uri"]).expect("an address to go back to");
    redirect.join(&format!("/?state={}&{query}", question["state"])).expect("an address")
}

/// The person answers; what the browser shows then.
pub fn answer(question: &HashMap<String, String>, query: &str) -> String {
    let address = way_back(question, query);
    get(&address, &format!("/?{}", address.query().unwrap_or_default()))
}

/// A browser's request and the whole answer.
pub fn get(base: &Url, path: &str) -> String {
    let (host, port) = (base.host_str().expect("a host"), base.port().expect("a port"));
    let mut stream = TcpStream::connect((host, port)).expect("the open port");
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer");
    answer
}

/// Waits until it is so.
#[track_caller]
pub fn wait_until(done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "it did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
