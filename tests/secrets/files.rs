//! Secrets in files that a setting names, and on the way to Drive: with a real database, so that the documents are searched too.

use batch_export::cli::settings::table::{
    self, CONTRA_ACCOUNT, CREDENTIALS, FORMAT, MONGODB_URI, NOTIFY_TOKEN, Setting,
};
use mongodb::bson::doc;

use super::places::{belongs, reads};
use super::{Scene, SecretValue, authorized_user, secrets, service_account};
use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::seed::{DATE, seed_day};

/// Every command that reads settings, and each way of it that reads a file by other code.
const COMMANDS: [&[&str]; 12] = [
    &["run", "--date", DATE, "--now"],
    &["run", "--date", DATE, "--dry-run"],
    &["retry"],
    &["backfill", "--from", DATE, "--to", DATE],
    &["doctor", "--send"],
    &["verify", "--date", DATE],
    &["corrections", "--date", DATE, "--tell"],
    &["init"],
    &["init", "--adopt"],
    &["status"],
    &["status", "--check"],
    &["unlock", "--date", DATE, "--reason", "search"],
];

/// The commands that read a setting.
fn that_read<'a>(day: &'a Day, setting: &'static Setting) -> impl Iterator<Item = BatchExport> + use<'a> {
    let words = COMMANDS.into_iter().filter(|words| reads(words[0], setting));
    words.map(|words| day.command(words[0]).args(&words[1..]))
}

/// Variables whose value a run takes as far as the database, the spool file or Drive.
const REACHED: [&str; 9] = [
    "TMPDIR",
    "BATCH_EXPORT_SPOOL_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "BATCH_EXPORT_METRICS_FILE",
    "BATCH_EXPORT_CONTRA_ACCOUNT",
];

fn utf16(text: &str) -> Vec<u8> {
    [vec![0xff, 0xfe], text.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat()
}

/// What people have in place of a credentials file.
fn broken_credentials(secret: &SecretValue) -> Vec<(&'static str, Vec<u8>)> {
    let value = &secret.value;
    let quoted = serde_json::Value::from(value.as_str()).to_string();
    let key = service_account();
    vec![
        ("the secret itself", value.clone().into_bytes()),
        ("the secret in UTF-16", utf16(value)),
        ("the secret as type", format!("{{\"type\": {quoted}}}").into_bytes()),
        (
            "the secret as field of the wrong kind",
            authorized_user().replace("\"c\"", &format!("[{quoted}]")).into_bytes(),
        ),
        (
            "the secret as token_uri",
            authorized_user().replace("\"c\"", &format!("\"c\",\"token_uri\":{quoted}")).into_bytes(),
        ),
        ("the secret as private key", key.replace("MIIEvQIBADANBgkqhkiG9wNeedleKeyLine1", value).into_bytes()),
        (
            "JSON that ends in the secret",
            format!("{{\"type\": \"service_account\", \"private_key\": \"{value}").into_bytes(),
        ),
    ]
}

fn telling(scene: &Scene, command: BatchExport, json: bool) -> BatchExport {
    let format = if json { "json" } else { "text" };
    command
        .in_spool_folder()
        .arg("-vv")
        .env("BATCH_EXPORT_OUTPUT", format)
        .env("BATCH_EXPORT_LOG_FORMAT", format)
        .env("BATCH_EXPORT_NOTIFY_URL", &scene.receiver.url("/hook"))
        .env("BATCH_EXPORT_PING_URL", &scene.receiver.url("/ping"))
        // So many that no attempt is the last one.
        .env("BATCH_EXPORT_RETRY_DELAYS", &["1s"; 50].join(","))
        .env("BATCH_EXPORT_METRICS_FILE", &scene.metrics().display().to_string())
}

fn search_documents(scene: &Scene, day: &Day, secret: &SecretValue, place: &str) {
    let collections = day.db.block(day.db.database().list_collection_names()).expect("the collections");
    assert!(collections.len() >= 4, "{collections:?}");
    for collection in &collections {
        let documents = day.db.find_all(collection, doc! {});
        scene.search_text(&format!("{documents:?}"), secret, &format!("{place}, {collection}"));
    }
}

#[test]
fn no_secret_leaves_from_a_file_or_on_the_way() {
    let scene = Scene::new();
    let secrets = secrets();
    std::thread::scope(|scope| {
        for share in secrets.chunks(secrets.len().div_ceil(8)) {
            let scene = &scene;
            scope.spawn(move || share.iter().enumerate().for_each(|(at, secret)| throw(scene, secret, at)));
        }
    });
    scene.finish(500);
}

fn throw(scene: &Scene, secret: &SecretValue, at: usize) {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    };
    let json = at.is_multiple_of(2);
    let search = |command: BatchExport, place: &str| {
        let ended = telling(scene, command, json).run();
        assert_ne!(ended.code, 1, "a bug at {place}: {}", secret.name);
        scene.search(&ended, secret, place);
    };
    for (what, content) in broken_credentials(secret) {
        let path = file("key.json", &content);
        for command in that_read(&day, &CREDENTIALS) {
            search(command.env(CREDENTIALS.variable, &path), what);
        }
        let auth = day.command("auth").args(&["--no-browser", "--client", &path]);
        search(auth.env("GOOGLE_APPLICATION_CREDENTIALS", &file("consent.json", b"")), what);
    }
    let named = format!("file:{}", file("value", secret.value.as_bytes()));
    let of_files = |value: &str| ["URI", "URL", "TOKEN"].contains(&value);
    for setting in table::all().filter(|setting| setting.value.is_some_and(of_files)) {
        if setting.flag == NOTIFY_TOKEN.flag && belongs(setting.flag, secret) {
            continue;
        }
        for command in that_read(&day, setting) {
            let ended = telling(scene, command, json).env(setting.variable, &named).run();
            scene.search(&ended, secret, &format!("the file of {}", setting.variable));
        }
    }
    let in_uri = format!("{}&tlsCAFile={}", day.db.uri(), file("ca.pem", secret.value.as_bytes()));
    for command in that_read(&day, &MONGODB_URI) {
        search(command.env(MONGODB_URI.variable, &in_uri), "the file of an option of the URI");
    }
    for layout in [secret.value.clone(), format!("name = {}", serde_json::Value::from(secret.value.as_str()))] {
        let layout = file("layout.toml", layout.as_bytes());
        for command in that_read(&day, &FORMAT) {
            search(command.env(FORMAT.variable, &layout), "the layout file");
        }
        search(day.command("layout").args(&["check", &layout]), "the checked layout file");
    }
    for variable in REACHED {
        // The account stands in the file.
        if variable != CONTRA_ACCOUNT.variable || !belongs(CONTRA_ACCOUNT.flag, secret) {
            search(day.run().arg("--now").env(variable, &secret.value), variable);
        }
    }
    search_documents(scene, &day, secret, "after failures");
    // What fails before the file is stored, a later run forgives.
    telling(scene, day.run().arg("--now"), json).run().expect_code(0);
    let copy = file("copy.csv", secret.value.as_bytes());
    // The lines of anything but a key are shown.
    if ["key", "consent"].iter().any(|word| secret.name.contains(word)) {
        search(day.command("verify").args(&["--file", &copy]), "the file that verify compares");
    }
    search_documents(scene, &day, secret, "the end");
}
