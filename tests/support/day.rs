//! A day's work: a database of its own and a destination of its own, the commands that run on them, and what must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mongodb::bson::{Bson, Document, doc};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::command::BatchExport;
use super::db::TestDb;
use super::fake_drive::FakeDrive;
use super::mongod::Mongod;
use super::proxy::Proxy;
use super::seed::{DATE, QUEUE};

/// The batches.
pub const BATCHES: &str = "exportbatches";
/// The export log.
pub const LOG: &str = "exportlogs";
/// Which batch exported an entry.
pub const EXPORTED: &str = "exportbatchentries";
/// The batch of the date that `seed` fills.
pub const BATCH: &str = "batch_2026-01-18";
/// Its file.
pub const FILE: &str = "batch_2026-01-18.csv";

/// Where the files go.
pub enum Place {
    /// A directory.
    Directory(TempDir),
    /// The fake Drive, and the folder with the credentials for it.
    Drive(Box<FakeDrive>, TempDir),
}

/// A database and a destination.
pub struct Day {
    /// The database.
    pub db: TestDb<'static>,
    /// The destination.
    pub place: Place,
    /// The connection string that commands get.
    uri: String,
}

/// A file at the destination that is not in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFile {
    /// Its id on Drive; its name in a directory.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Day {
    /// With a directory as destination.
    pub fn in_directory() -> Day {
        Day::at(Place::Directory(temporary("out-")))
    }

    /// With a directory as destination, and an application that has queued nothing yet.
    pub fn with_empty_queue() -> Day {
        let day = Day::in_directory();
        day.db.command(doc! { "create": QUEUE });
        day
    }

    /// With a shared drive as destination, and a service account.
    pub fn on_drive() -> Day {
        Day::on(FakeDrive::start())
    }

    /// With this fake's shared drive as destination, and a service account.
    pub fn on(drive: FakeDrive) -> Day {
        let folder = temporary("credentials-");
        std::fs::write(folder.path().join("key.json"), drive.service_account()).expect("the credentials");
        Day::at(Place::Drive(Box::new(drive), folder))
    }

    /// With a shared drive as destination, and this database.
    pub fn on_drive_with(db: TestDb<'static>) -> Day {
        Day { uri: db.uri(), db, ..Day::on_drive() }
    }

    /// With a directory as destination, and this database.
    pub fn in_directory_with(db: TestDb<'static>) -> Day {
        Day { uri: db.uri(), db, ..Day::in_directory() }
    }

    /// With a directory as destination, on the server that asks for a login; the commands are an administrator's.
    pub fn on_secured_server() -> Day {
        let db = TestDb::on(Mongod::secured());
        let day = Day { uri: db.uri(), db, place: Place::Directory(temporary("out-")) };
        day.with_login("admin:admin", "admin")
    }

    /// Lets the commands log in: `user:password`, and the database that knows the user.
    pub fn with_login(mut self, login: &str, known_in: &str) -> Day {
        let uri = self.db.uri();
        let rest = uri.strip_prefix("mongodb://").expect("the scheme");
        self.uri = format!("mongodb://{login}@{rest}&authSource={known_in}");
        self
    }

    fn at(place: Place) -> Day {
        let db = TestDb::new();
        Day { uri: db.uri(), db, place }
    }

    /// Lets the commands reach the database through a proxy.
    pub fn through(mut self, proxy: &Proxy) -> Day {
        self.uri = proxy.uri(&self.db);
        self
    }

    /// The fake Drive.
    pub fn drive(&self) -> &FakeDrive {
        match &self.place {
            Place::Drive(drive, _) => drive,
            Place::Directory(_) => panic!("this day ends in a directory"),
        }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        match &self.place {
            Place::Directory(folder) => folder.path(),
            Place::Drive(..) => panic!("this day ends on Drive"),
        }
    }

    /// The credentials file.
    pub fn credentials(&self) -> PathBuf {
        match &self.place {
            Place::Drive(_, folder) => folder.path().join("key.json"),
            Place::Directory(_) => panic!("a directory needs no credentials"),
        }
    }

    /// A command on this database and destination, with its result as JSON.
    pub fn command(&self, name: &str) -> BatchExport {
        let command = BatchExport::command(name).mongodb(&self.uri).env("BATCH_EXPORT_OUTPUT", "json");
        match &self.place {
            Place::Directory(folder) => command.destination(&format!("file://{}", folder.path().display())),
            Place::Drive(drive, _) => command
                .destination(&format!("gdrive://{}", drive.folder()))
                .env("BATCH_EXPORT_DRIVE_URL", drive.url())
                .env("BATCH_EXPORT_DRIVE_BACKOFF", "10ms")
                .env("GOOGLE_APPLICATION_CREDENTIALS", &self.credentials().display().to_string()),
        }
    }

    /// `run` for the date that `seed` fills.
    pub fn run(&self) -> BatchExport {
        self.command("run").date(DATE)
    }

    /// `retry`.
    pub fn retry(&self) -> BatchExport {
        self.command("retry")
    }

    /// The batch document of the date that `seed` fills.
    pub fn batch(&self) -> Document {
        self.db.find_one(BATCHES, doc! { "_id": BATCH }).expect("the batch document")
    }

    /// The export log, oldest first.
    pub fn log(&self) -> Vec<Document> {
        self.db.find_all(LOG, doc! {})
    }

    /// How many rows have this status.
    pub fn rows_with_status(&self, status: &str) -> u64 {
        self.db.count(QUEUE, doc! { "status": status })
    }

    /// What a person sees at the destination.
    pub fn live_files(&self) -> Vec<LiveFile> {
        match &self.place {
            Place::Directory(folder) => std::fs::read_dir(folder.path())
                .expect("the destination")
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.is_file())
                .map(|path| {
                    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                    LiveFile { id: name.clone(), name, bytes: std::fs::read(&path).expect("the file") }
                })
                .collect(),
            Place::Drive(drive, _) => drive
                .files()
                .into_iter()
                .filter(|file| !file.trashed)
                .map(|file| LiveFile { id: file.id, name: file.name, bytes: file.bytes })
                .collect(),
        }
    }

    /// Lets every lease and back-off run out now.
    pub fn let_time_pass(&self) {
        let long_ago = mongodb::bson::DateTime::from_millis(0);
        let past = doc! { "$set": { "nextRetryAt": long_ago } };
        self.db.update_many(BATCHES, doc! { "state": "failed" }, past);
        let past = doc! { "$set": { "leaseExpiresAt": long_ago } };
        self.db.update_many(BATCHES, doc! { "state": { "$in": ["running", "marking"] } }, past);
        let past = doc! { "$set": { "untold.triedAt": long_ago } };
        self.db.update_many(BATCHES, doc! { "untold.triedAt": { "$exists": true } }, past);
    }

    /// Everything that must hold at any time, whatever was killed, paused or started twice.
    #[track_caller]
    pub fn check_guarantees(&self) {
        let find_batches = || self.db.find_all(BATCHES, doc! { "_id": { "$ne": "ledger" } });
        let find_marked = |batch: &Document| {
            self.db.find_all(QUEUE, doc! { "metadata.batchId": batch.get_str("_id").expect("an id") })
        };
        // The last command of a killed program may still be under way at the server: then it is looked at again.
        let (batches, logs, live, marked) = loop {
            let (batches, logs, live) = (find_batches(), self.log(), self.live_files());
            let marked: Vec<Vec<Document>> = batches.iter().map(find_marked).collect();
            if (find_batches(), self.log()) == (batches.clone(), logs.clone())
                && batches.iter().map(find_marked).eq(marked.iter().cloned())
            {
                break (batches, logs, live, marked);
            }
        };
        let mut exported: BTreeMap<String, String> = BTreeMap::new();
        let mut numbers: Vec<(i64, String)> = Vec::new();
        for (batch, marked) in batches.iter().zip(&marked) {
            let id = batch.get_str("_id").expect("an id");
            let own_logs: Vec<_> = logs.iter().filter(|log| in_metadata(log, "batchId") == Some(id)).collect();
            assert!(batch.get_i32("attempt").expect("an attempt") <= 4, "more than 1 + 3 attempts: {batch}");
            if !matches!(batch.get_str("state"), Ok("completed" | "marking")) {
                assert!(own_logs.is_empty(), "{id} is not committed and has a log: {own_logs:?}");
                assert!(marked.is_empty(), "{id} is not committed and has marked rows: {marked:?}");
                continue;
            }
            assert_eq!(own_logs.len(), 1, "{id} is committed and has not exactly one log");
            let file = self.check_file(batch, own_logs[0], &live);
            numbers.push((batch.get_i64("number").expect("a number"), own_sha256(batch)));
            for entry in entry_ids(&file.bytes) {
                if let Some(other) = exported.insert(entry.clone(), id.to_owned()) {
                    panic!("entry {entry} is in the files of {other} and {id}");
                }
            }
            self.check_rows(batch, marked, &file);
        }
        self.check_chain(numbers, &logs);
    }

    /// What must hold when nothing is left to be done: also that no file is left over and every voided one is in the trash.
    #[track_caller]
    pub fn check_converged(&self) {
        self.check_guarantees();
        let batches = self.db.find_all(BATCHES, doc! { "_id": { "$ne": "ledger" } });
        let mut official = BTreeSet::new();
        for batch in &batches {
            let state = batch.get_str("state").expect("a state");
            assert!(matches!(state, "completed" | "empty"), "not converged: {batch}");
            for voided in batch.get_array("voided").into_iter().flatten().filter_map(Bson::as_document) {
                assert_eq!(voided.get_bool("trashed").ok(), Some(true), "a voided file is not in the trash: {batch}");
            }
            if state == "completed" {
                self.check_seal(batch);
                official.insert(self.id_at_destination(batch));
            }
        }
        let live: Vec<String> = self.live_files().into_iter().map(|file| file.id).collect();
        assert_eq!(
            live.iter().cloned().collect::<BTreeSet<_>>(),
            official,
            "files that no batch knows of, or lost ones"
        );
        assert_eq!(live.len(), official.len(), "a file twice");
        let ledger = self.db.find_one(BATCHES, doc! { "_id": "ledger" });
        assert!(
            ledger.is_none_or(|ledger| ledger.get("marking") == Some(&Bson::Null)),
            "the ledger still waits for a marking"
        );
        assert_eq!(self.db.count("exportbatchrows", doc! {}), 0, "row lists are left over");
    }

    /// The official file carries its number, and nobody changes it.
    #[track_caller]
    fn check_seal(&self, batch: &Document) {
        let file = batch.get_document("file").expect("a file");
        assert_eq!(file.get_bool("sealed").ok(), Some(true), "not sealed: {batch}");
        let number = batch.get_i64("number").expect("a number").to_string();
        let ledger = self.db.find_one(BATCHES, doc! { "_id": "ledger" }).expect("the ledger");
        let installation = ledger.get_str("installation").expect("the installation");
        let id = self.id_at_destination(batch);
        match &self.place {
            Place::Directory(folder) => {
                let mode = std::fs::metadata(folder.path().join(id)).expect("the file").permissions().mode();
                assert_eq!(mode & 0o777, 0o444, "the mode of {batch}");
            }
            Place::Drive(drive, _) => {
                let file = drive.files().into_iter().find(|file| file.id == id).expect("the file");
                let property = |name: &str| file.properties.get(name).map(String::as_str);
                assert_eq!(
                    (property("number"), property("installation")),
                    (Some(&*number), Some(installation)),
                    "{file:?}"
                );
            }
        }
    }

    fn id_at_destination(&self, batch: &Document) -> String {
        let file = batch.get_document("file").expect("a file");
        match &self.place {
            Place::Directory(_) => file.get_str("name").expect("a name").to_owned(),
            Place::Drive(..) => file.get_str("id").expect("an id").to_owned(),
        }
    }

    #[track_caller]
    fn check_file(&self, batch: &Document, log: &Document, live: &[LiveFile]) -> LiveFile {
        let facts = batch.get_document("file").expect("a file");
        let id = self.id_at_destination(batch);
        let Some(file) = live.iter().find(|file| file.id == id) else {
            panic!("the official file {id} is not there: {batch}")
        };
        let sha256 = hex(&Sha256::digest(&file.bytes));
        assert_eq!(facts.get_str("sha256").ok(), Some(&*sha256), "the batch document does not know this content");
        assert_eq!(in_metadata(log, "sha256"), Some(&*sha256), "the log does not know this content");
        assert_eq!(in_metadata(log, "fileId"), facts.get_str("id").ok());
        assert_eq!(facts.get_i64("bytes").ok(), Some(file.bytes.len() as i64));
        let entries = entry_ids(&file.bytes).len() as i64;
        assert_eq!(facts.get_i64("entries").ok(), Some(entries));
        let metadata = log.get_document("metadata").expect("metadata");
        assert_eq!(metadata.get_i64("entryCount").ok(), Some(entries));
        assert_eq!(metadata.get_i64("totalDebit").ok(), facts.get_i64("totalDebit").ok());
        for voided in batch.get_array("voided").into_iter().flatten().filter_map(Bson::as_document) {
            assert_ne!(voided.get_str("id").ok(), facts.get_str("id").ok(), "a voided id is official: {batch}");
        }
        file.clone()
    }

    #[track_caller]
    fn check_rows(&self, batch: &Document, marked: &[Document], file: &LiveFile) {
        let id = batch.get_str("_id").expect("an id");
        let in_file: BTreeSet<String> = entry_ids(&file.bytes).into_iter().collect();
        let expected: BTreeSet<String> =
            marked.iter().map(|row| row.get_object_id("entryId").expect("an entry").to_hex()).collect();
        assert_eq!(expected.len(), marked.len(), "an entry is marked twice in {id}");
        let changed: Vec<&Bson> = batch.get_array("changedAfterCommit").into_iter().flatten().collect();
        for row in marked {
            if !changed.contains(&row.get("_id").expect("an id")) {
                assert_eq!(row.get_str("status").ok(), Some("completed"), "{row}");
                assert!(row.get_datetime("completedAt").is_ok(), "{row}");
            }
            let stored = batch.get_document("file").and_then(|file| file.get_str("id")).ok();
            assert_eq!(in_metadata(row, "googleDriveFileId"), stored, "{row}");
        }
        let number = batch.get_i64("number").expect("a number");
        let written_down = self.db.find_all(EXPORTED, doc! { "n": number });
        let written_down: BTreeSet<String> =
            written_down.iter().map(|entry| entry.get_object_id("_id").expect("an entry").to_hex()).collect();
        if batch.get_str("state").ok() == Some("completed") {
            assert_eq!(written_down, in_file, "{EXPORTED} does not have the file's entries for {id}");
            // Of rows that were pointed elsewhere, and only of them, the file has an entry that no row has.
            let lost = in_file.difference(&expected).count();
            assert!(lost <= changed.len(), "{lost} entries of the file have no marked row in {id}: {changed:?}");
            assert!(expected.is_subset(&in_file), "rows are marked that are not in the file of {id}");
        } else {
            assert_eq!(written_down, expected, "what is marked of {id} is not what is written down");
            assert!(expected.is_subset(&in_file), "rows are marked that are not in the file of {id}");
        }
    }

    #[track_caller]
    fn check_chain(&self, mut numbers: Vec<(i64, String)>, logs: &[Document]) {
        numbers.sort();
        let gapless: Vec<i64> = (1..=numbers.len() as i64).collect();
        assert_eq!(numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>(), gapless, "numbers have gaps");
        if let Some(ledger) = self.db.find_one(BATCHES, doc! { "_id": "ledger" }) {
            assert_eq!(ledger.get_i64("number").ok(), Some(numbers.len() as i64), "{ledger}");
        }
        let mut previous: Option<&str> = None;
        for (number, sha256) in &numbers {
            let log = logs.iter().find(|log| {
                log.get_document("metadata").is_ok_and(|metadata| metadata.get_i64("number").ok() == Some(*number))
            });
            assert_eq!(in_metadata(log.expect("a log"), "previousSha256"), previous, "the chain breaks at {number}");
            previous = Some(sha256);
        }
    }
}

fn own_sha256(batch: &Document) -> String {
    batch.get_document("file").and_then(|file| file.get_str("sha256")).expect("a checksum").to_owned()
}

fn in_metadata<'a>(document: &'a Document, key: &str) -> Option<&'a str> {
    document.get_document("metadata").ok()?.get_str(key).ok()
}

/// The first column of a `journal` file, without the header.
pub fn entry_ids(file: &[u8]) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().from_reader(file);
    reader.records().map(|record| record.expect("a row of the file")[0].to_owned()).collect()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn temporary(prefix: &str) -> TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}
