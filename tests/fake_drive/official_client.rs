//! An independent witness: Google's own Python client uploads to the fake, over its own resumable protocol and its own sign-in.
//!
//! Our client and our fake could be wrong together; this one does not know us. It lives in a virtual environment under `target/`, which is
//! made once, under a lock, because test runs may overlap.

use super::client::content;
use crate::support::fake_drive::{Answer, FakeDrive, Fault, On, Operation};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGE: &str = "google-api-python-client==2.202.0";

const SCRIPT: &str = r#"
import json, sys
from google.oauth2 import service_account
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload

job = json.load(sys.stdin)
credentials = service_account.Credentials.from_service_account_info(
    job["credentials"], scopes=["https://www.googleapis.com/auth/drive"])
# The client option for the endpoint leaves uploads on https: the addresses of the discovery document itself are replaced.
document = json.loads(get_static_doc("drive", "v3"))
document["rootUrl"], document["baseUrl"] = job["url"] + "/", job["url"] + "/drive/v3/"
drive = build_from_document(document, credentials=credentials)
file_id = drive.files().generateIds(count=1, space="drive", type="files").execute()["ids"][0]
with open(job["path"], "rb") as content:
    media = MediaIoBaseUpload(content, mimetype="text/csv", chunksize=256 * 1024, resumable=True)
    upload = drive.files().create(
        body={"id": file_id, "name": "day.csv", "parents": [job["folder"]], "appProperties": {"batchId": "b"}},
        media_body=media, supportsAllDrives=True, fields="id,size,sha256Checksum")
    done, errors = None, []
    while done is None:
        try:
            _, done = upload.next_chunk()
        except HttpError as error:
            errors.append(error.resp.status)
            assert len(errors) < 5, errors
seen = drive.files().get(fileId=file_id, supportsAllDrives=True, fields="name,appProperties").execute()
found = drive.files().list(
    q="name = 'day.csv' and '%s' in parents and trashed = false" % job["folder"],
    supportsAllDrives=True, includeItemsFromAllDrives=True).execute()["files"]
content = drive.files().get_media(fileId=file_id, supportsAllDrives=True).execute()
assert content == open(job["path"], "rb").read()
json.dump({"done": done, "errors": errors, "seen": seen, "found": len(found)}, sys.stdout)
"#;

/// The interpreter of an environment that has Google's client.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(home.join("google-client.lock")).expect("a lock file under target/");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("the lock of the virtual environment");
    let environment = home.join("google-client");
    let (ready, python) = (environment.join(PACKAGE), environment.join("bin/python"));
    // Its interpreter is a link, and the one that it leads to may have gone.
    if !ready.exists() || !python.exists() {
        let _ = fs::remove_dir_all(&environment);
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]));
        // Last: an environment that was interrupted halfway is made again.
        fs::write(&ready, "").expect("the mark of a complete environment");
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn googles_python_client_uploads_in_chunks_and_resumes() {
    let drive = FakeDrive::start();
    let bytes = content(1_000_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("day.csv");
    fs::write(&path, &bytes).expect("a file to upload");
    // A part is stored, the client is told of trouble: it has to ask for the status, and to go on from there.
    drive.plan(On::nth(Operation::Chunk, 2), Fault::answer(Answer::error(503, "backendError")).after_storing(100_000));
    let credentials: Value = serde_json::from_str(&drive.service_account()).expect("a key file");
    let job = json!({"credentials": credentials, "url": drive.url(), "folder": drive.folder(), "path": path});

    let mut python = Command::new(python());
    python.args(["-c", SCRIPT]).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().expect("python started");
    child.stdin.take().expect("its input").write_all(job.to_string().as_bytes()).expect("the job handed over");
    let output = child.wait_with_output().expect("python's end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON from python");
    let [file] = &drive.live("day.csv")[..] else { panic!("one live file, not {:?}", drive.journal()) };
    assert!(file.bytes == bytes);
    assert_eq!(told["done"], json!({"id": file.id, "size": "1000000", "sha256Checksum": file.sha256}));
    assert_eq!(told["seen"], json!({"name": "day.csv", "appProperties": {"batchId": "b"}}));
    assert_eq!((&told["errors"], &told["found"]), (&json!([503]), &json!(1)));
    assert_eq!((drive.count(Operation::Status), drive.count(Operation::Token)), (1, 1));
    drive.assert_all_faults_fired();
}
