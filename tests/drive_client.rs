//! The Drive client against the fake on the wire, without the rest of the program: every fault at every moment of an upload.
//!
//! Whatever happens, there is never a second file, never a file with wrong bytes that is called success, never a secret in a message,
//! and never more requests than a person would expect.

mod faults;
mod identities;
mod limits;
mod next_steps;

use std::path::Path;
use std::time::Duration;

use batch_export::config::{DriveSettings, ProxyVariables};
use batch_export::destination::drive::Drive;
use batch_export::destination::{Created, DestinationError, Look, Mark, NewFile, Stored};
use batch_export::failure::Failure;
use batch_export::progress::Progress;
use batch_export::spool::{Spool, SpoolWriter};
use std::io::Write;
use tempfile::TempDir;

use crate::support::block;
use crate::support::fake_drive::{FakeDrive, Operation};

pub const KIB_256: u64 = 256 * 1024;
pub const NAME: &str = "batch_2026-01-18.csv";

/// A fake, a client for it, and a file to upload.
pub struct Bench {
    pub fake: FakeDrive,
    pub drive: Drive,
    pub spool: Spool,
    folder: TempDir,
}

/// How an attempt to land the file ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Landed {
    Stored,
    Adopted,
    Different(String),
    Mismatch(String),
    Failed(String),
    Rejected(String),
}

impl Bench {
    /// A service account with a shared drive, and a file of so many bytes that is sent in chunks of 256 KiB.
    pub fn new(bytes: u64) -> Bench {
        let fake = FakeDrive::start();
        let credentials = fake.service_account();
        Bench::with(fake, bytes, &credentials, |_, _| {})
    }

    pub fn with(fake: FakeDrive, bytes: u64, credentials: &str, change: fn(&mut Settings, &FakeDrive)) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credentials.json");
        std::fs::write(&path, credentials).expect("the credentials file");
        let mut settings = Settings::of(&fake);
        change(&mut settings, &fake);
        let drive = settings.drive(&path).expect("a client");
        Bench { spool: spool(&folder, bytes), fake, drive, folder }
    }

    /// Another client with other settings, for the same fake and file.
    pub fn client(&self, change: impl Fn(&mut Settings)) -> Drive {
        let mut settings = Settings::of(&self.fake);
        change(&mut settings);
        settings.drive(&self.folder.path().join("credentials.json")).expect("a client")
    }

    pub fn file<'a>(&'a self, id: &'a str) -> NewFile<'a> {
        let mark = Mark { batch: "batch_2026-01-18".parse().ok(), installation: Some("an installation") };
        NewFile { id, name: NAME, mark, mime_type: "text/csv", spool: &self.spool }
    }

    pub fn content(&self) -> Vec<u8> {
        std::fs::read(self.spool.path()).expect("the spool file")
    }

    /// What a pass does: an id, a create, and a look where the id is taken.
    pub fn land(&self) -> Landed {
        block(async {
            match self.drive.new_id().await {
                Ok(id) => self.land_as(&id).await,
                Err(error) => failure(error),
            }
        })
    }

    pub async fn land_as(&self, id: &str) -> Landed {
        match self.drive.create(&self.file(id), &Progress::default()).await {
            Ok(Created::Stored(stored)) => {
                assert!(stored.link.is_some_and(|link| link.contains(id)), "the link leads to the file");
                Landed::Stored
            }
            Ok(Created::Mismatch { reason, .. }) => Landed::Mismatch(reason),
            Ok(Created::IdTaken) => match self.drive.look(id, self.spool.digests()).await {
                Ok(Look::Same(Stored { link }, _)) => {
                    assert!(link.is_some());
                    Landed::Adopted
                }
                Ok(Look::Different { reason, .. }) => Landed::Different(reason),
                Ok(Look::Absent) => Landed::Failed("taken, and absent".to_owned()),
                Err(error) => failure(error),
            },
            Ok(Created::IdRefused(error) | Created::NotSent(error)) | Err(error) => failure(error),
        }
    }

    /// Never two files, never wrong bytes called success, no secret told, and every planned fault happened.
    pub fn check(&self, landed: &Landed, what: &str) {
        let live = self.fake.live(NAME);
        assert!(live.len() <= 1, "{what}: {} live files", live.len());
        if matches!(landed, Landed::Stored | Landed::Adopted) {
            assert!(live.len() == 1 && live[0].bytes == self.content(), "{what}: success without the right file");
            assert_eq!(live[0].sha256, self.spool.digests().sha256);
        }
        let told = format!("{landed:?}");
        for secret in self.fake.secrets() {
            assert!(!told.contains(&secret), "{what}: a secret in {told}");
        }
        self.fake.assert_all_faults_fired();
    }

    pub fn counts<const N: usize>(&self, operations: [Operation; N]) -> [usize; N] {
        operations.map(|operation| self.fake.count(operation))
    }
}

/// A folder, and how it is used.
pub struct Settings {
    pub folder: String,
    pub how: DriveSettings,
}

impl Settings {
    pub fn of(fake: &FakeDrive) -> Settings {
        let how = DriveSettings {
            url: fake.url().to_owned(),
            subject: None,
            idle: Duration::from_secs(20),
            chunk_bytes: KIB_256,
            backoff_unit: Duration::from_millis(4),
            lock: true,
        };
        Settings { folder: fake.folder(), how }
    }

    pub fn drive(&self, credentials: &Path) -> Result<Drive, Failure> {
        Drive::new(&self.folder, credentials, &self.how, &ProxyVariables::default())
    }
}

fn failure(error: DestinationError) -> Landed {
    let DestinationError { is_refusal, why } = error;
    let next = why.next.map(|next| format!("; {next}")).unwrap_or_default();
    let told = why.message + &next;
    if is_refusal { Landed::Rejected(told) } else { Landed::Failed(told) }
}

/// A file of so many bytes, in which no two units are alike.
pub fn spool(folder: &TempDir, bytes: u64) -> Spool {
    let mut writer = SpoolWriter::create(folder.path()).expect("a spool file");
    let content: Vec<u8> = (0..bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    writer.write_all(&content).expect("room for the spool file");
    writer.into_spool().expect("the spool file")
}
