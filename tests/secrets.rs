//! No secret leaves, wherever it was put: every secret at every setting, argument and file, in every command, as text
//! and as JSON, at `-vv`.
//!
//! Risk: a value in the wrong place. Nobody expects a key where a path belongs, so nothing keeps it out of an error. Everything that leaves
//! is searched: stdout, stderr, what the webhook and the health check receive, the metrics, and the documents in the database.

mod files;
mod places;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::support::command::{BatchExport, Finished};
use crate::support::receiver::Receiver;

/// A secret as somebody pastes it, and the parts of it that may not be seen anywhere.
pub struct SecretValue {
    pub name: &'static str,
    pub value: String,
    pub needles: Vec<String>,
}

/// Letters and digits alone: any name may look so.
pub const A_SHORT_PASSWORD: &str = "a short password";

/// Lines of a private key; not one, but nothing here gets so far as to sign.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9wNeedleKeyLine1\\nAAOCAQ8AMIIBCgKCAQEANeedleKeyLine2\\n-----END PRIVATE KEY-----\\n";

fn service_account() -> String {
    format!(
        "{{\n  \"type\": \"service_account\",\n  \"client_email\": \"robot@example.com\",\n  \"private_key_id\": \"needlekeyid0123456789abcdef\",\n  \"private_key\": \"{PRIVATE_KEY}\"\n}}"
    )
}

fn authorized_user() -> String {
    r#"{"type":"authorized_user","client_id":"c","client_secret":"GOCSPX-NeedleClient01","refresh_token":"1//0gNeedleRefresh02"}"#
        .to_owned()
}

/// Every 16th part of an encoded text: what is cut or broken into lines is found too.
fn pieces(text: &str) -> Vec<String> {
    text.as_bytes()
        .chunks(16)
        .filter(|piece| piece.len() == 16)
        .map(|piece| String::from_utf8_lossy(piece).into())
        .collect()
}

/// The secrets that people put into wrong places.
pub fn secrets() -> Vec<SecretValue> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let secret = |name, value: &str, needles: &[&str]| SecretValue {
        name,
        value: value.to_owned(),
        needles: needles.iter().map(|&needle| needle.to_owned()).collect(),
    };
    let encoded = |name, text: &str| {
        let value = STANDARD.encode(text);
        SecretValue { name, needles: pieces(&value), value }
    };
    let consent_parts = ["NeedleClient01", "NeedleRefresh02"];
    let key_parts = ["NeedleKeyLine1", "NeedleKeyLine2", "needlekeyid0123"];
    vec![
        secret("a key file", &service_account(), &key_parts),
        secret("a key file on one line", &service_account().replace('\n', " "), &key_parts),
        encoded("a key file in base64", &service_account()),
        secret("a consent", &authorized_user(), &consent_parts),
        secret("a consent in quotes", &format!("'{}'", authorized_user()), &consent_parts),
        secret("a consent after a mark", &format!("\u{feff}{}", authorized_user()), &consent_parts),
        encoded("a consent in base64", &authorized_user()),
        secret(
            "a database with a raw password",
            "mongodb://clerk:Hunter2Needle?Rest3Needle@127.0.0.1:1,127.0.0.1:2/app",
            &["Hunter2Needle", "Rest3Needle"],
        ),
        secret(
            "a database with an encoded password",
            "mongodb://clerk:Pa%40ssNeedle4@127.0.0.1:1/app?replicaSet=x&serverSelectionTimeoutMS=30",
            &["ssNeedle4"],
        ),
        secret("a webhook", "http://127.0.0.1:1/api/webhooks/77/HookNeedle05-token", &["HookNeedle05"]),
        secret("a proxy", "http://clerk:S3cr3tNeedle6@WordNeedle7@127.0.0.1:1", &["S3cr3tNeedle6", "WordNeedle7"]),
        secret("an access token", "ya29.a0AfNeedleAccess08-x_y", &["NeedleAccess08"]),
        secret("a refresh token", "1//0gNeedleBare09abcdef", &["NeedleBare09"]),
        secret("a password", "Xk7#NeedleBare10!zz", &["NeedleBare10"]),
        secret("a password with quotes", "Hunter2'\"Needle11!x", &["Needle11"]),
        secret(A_SHORT_PASSWORD, "Hunter2Ndl", &["Hunter2Ndl"]),
        secret("a database without a scheme", "clerk:Hunter2Needle12@db1.example.com/app", &["Needle12"]),
        secret("a token after its name", "refresh_token=1//0gNeedleNamed13abcdef", &["NeedleNamed13"]),
        secret("a proxy without a host", "http://clerk:S3cr3tNeedle14", &["S3cr3tNeedle14"]),
        secret("a signed address", "http://127.0.0.1:1/workflows/x?sig=NeedleSig15", &["NeedleSig15"]),
    ]
}

/// A place where nothing works, so that everything fails and says so; with receivers of what is told.
pub struct Scene {
    receiver: Receiver,
    folder: TempDir,
    searched: AtomicUsize,
    found: Mutex<BTreeSet<String>>,
}

impl Scene {
    pub fn new() -> Scene {
        Scene {
            receiver: Receiver::start(Some(200)),
            folder: tempfile::tempdir().expect("a folder"),
            searched: AtomicUsize::new(0),
            found: Mutex::default(),
        }
    }

    fn metrics(&self) -> PathBuf {
        self.folder.path().join("batch-export.prom")
    }

    /// A command with every setting that it needs; its database and its Drive do not answer.
    pub fn command(&self, name: &str) -> BatchExport {
        let key = self.folder.path().join("key.json");
        if !key.exists() {
            std::fs::write(&key, authorized_user()).expect("a credentials file");
        }
        BatchExport::command(name)
            .in_spool_folder()
            .arg("-vv")
            .mongodb("mongodb://127.0.0.1:1/app?replicaSet=x&serverSelectionTimeoutMS=30")
            .destination("gdrive://1folder")
            .env("GOOGLE_APPLICATION_CREDENTIALS", &key.display().to_string())
            .env("BATCH_EXPORT_DRIVE_URL", "http://127.0.0.1:1")
            .env("BATCH_EXPORT_DRIVE_BACKOFF", "1ms")
            .env("BATCH_EXPORT_DRIVE_IDLE", "2s")
            .env("BATCH_EXPORT_NOTIFY_URL", &self.receiver.url("/hook"))
            .env("BATCH_EXPORT_PING_URL", &self.receiver.url("/ping"))
            .env("BATCH_EXPORT_METRICS_FILE", &self.metrics().display().to_string())
    }

    /// Searches what a command printed.
    pub fn search(&self, ended: &Finished, secret: &SecretValue, place: &str) {
        self.search_text(&ended.stdout, secret, &format!("{place}, stdout"));
        self.search_text(&ended.stderr, secret, &format!("{place}, stderr"));
    }

    /// Searches one text.
    pub fn search_text(&self, text: &str, secret: &SecretValue, place: &str) {
        self.searched.fetch_add(1, Ordering::Relaxed);
        for needle in secret.needles.iter().filter(|needle| text.contains(needle.as_str())) {
            let at = text.find(needle.as_str()).unwrap_or_default();
            let from = text[..at].char_indices().rev().nth(80).map_or(0, |(from, _)| from);
            let around: String = text[from..].chars().take(200).collect();
            let told = format!("{} at {place}: ...{around}...\n", secret.name);
            let _ = std::io::stderr().write_all(told.as_bytes());
            self.found.lock().expect("the findings").insert(told);
        }
    }

    /// Searches what was received and written, and reports.
    pub fn finish(self, least: usize) {
        let metrics = std::fs::read_to_string(self.metrics()).unwrap_or_default();
        let posted = self.receiver.posted();
        for secret in secrets() {
            self.search_text(&metrics, &secret, "the metrics");
            for posted in &posted {
                self.search_text(&format!("{posted:?}"), &secret, "a request");
            }
        }
        let (searched, found) = (self.searched.into_inner(), self.found.into_inner().expect("the findings"));
        // Not by a macro, whose words only a failed test shows.
        let told = format!("searched {searched} places, {} requests; secrets found: {}\n", posted.len(), found.len());
        let _ = std::io::stderr().write_all(told.as_bytes());
        assert!(searched >= least, "only {searched} places were searched");
        assert!(!posted.is_empty(), "nothing was told, so nothing of it was searched");
        let shown: Vec<_> = found.iter().take(30).collect();
        assert!(found.is_empty(), "{} secrets got out: {shown:#?}", found.len());
    }
}
