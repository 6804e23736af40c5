//! The desk of the README's reader: the settings of its section "Configure", a shell, and a folder in the place of `/etc/batch-export`.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{README, sections};
use crate::support::browser::Browser;
use crate::support::command::BatchExport;
use crate::support::day::Day;

/// The folder that the README names.
const ETC: &str = "/etc/batch-export";

/// A reader with a database and a Drive of their own.
pub struct Desk {
    /// The database and the Drive.
    pub day: Day,
    /// What opens addresses.
    pub browser: Browser,
    folder: TempDir,
}

impl Desk {
    /// With the key of a service account in the place that the README names.
    pub fn new() -> Desk {
        let desk = Desk::without_credentials();
        desk.put_credentials(&desk.day.drive().service_account());
        desk
    }

    /// Before anybody gave consent.
    pub fn without_credentials() -> Desk {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the reader");
        let desk = Desk { day: Day::on_drive(), browser: Browser::new(), folder };
        fs::create_dir(desk.etc()).expect("the folder of the settings");
        fs::write(desk.etc().join("mongodb-uri"), desk.day.db.uri()).expect("the file of the URI");
        fs::write(desk.folder().join("client.json"), desk.day.drive().oauth_client()).expect("the client's file");
        desk
    }

    /// Where the shell is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn etc(&self) -> PathBuf {
        self.folder().join("etc")
    }

    /// The credentials file.
    pub fn credentials(&self) -> PathBuf {
        self.etc().join("google.json")
    }

    /// Puts other credentials in their place.
    pub fn put_credentials(&self, json: &str) {
        fs::write(self.credentials(), json).expect("the credentials");
    }

    /// A line of the README, for a shell that has read the settings of "Configure".
    pub fn line(&self, line: &str) -> BatchExport {
        let script = format!("cd '{}'\n{}{}", self.folder().display(), self.settings(), self.with_our_places(line));
        let command = BatchExport::standing_in("sh").args(&["-euc", &script]);
        self.variables().iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    /// The profile of a login shell that has the settings of "Configure", and gives results as JSON.
    pub fn profile(&self) -> String {
        let variables = self.variables().map(|(name, value)| format!("export {name}='{value}'\n"));
        format!("{}{}export BATCH_EXPORT_OUTPUT=json\n", self.settings(), variables.concat())
    }

    /// A line of the README with the places of this desk.
    pub fn with_our_places(&self, line: &str) -> String {
        line.replace(ETC, &self.etc().display().to_string()).replace("FOLDER_ID", &self.day.drive().folder())
    }

    fn settings(&self) -> String {
        let configured = sections(README).into_iter().find(|walk| walk.section == "Configure").expect("settings");
        let settings = configured.lines.into_iter().filter(|line| line.starts_with("export "));
        settings.map(|line| self.with_our_places(&line) + "\n").collect()
    }

    /// The program and the browser are found, and Drive is the fake one.
    fn variables(&self) -> [(&'static str, String); 3] {
        let binary = Path::new(env!("CARGO_BIN_EXE_batch-export")).parent().expect("its folder");
        let path = std::env::var("PATH").unwrap_or_default();
        [
            ("PATH", format!("{}:{}:{path}", self.browser.folder(), binary.display())),
            ("BATCH_EXPORT_DRIVE_URL", self.day.drive().url().to_owned()),
            ("BATCH_EXPORT_DRIVE_BACKOFF", "10ms".to_owned()),
        ]
    }

    /// The same, with its result as JSON.
    pub fn json(&self, line: &str) -> BatchExport {
        self.line(line).env("BATCH_EXPORT_OUTPUT", "json")
    }

    /// `doctor` compares the clocks: it gets the true one.
    pub fn now_truly(&self, line: &str) -> BatchExport {
        self.json(line).now(&chrono::Utc::now().to_rfc3339())
    }
}
