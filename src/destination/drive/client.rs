//! The client of one folder on Drive, and its simple requests.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use humantime::format_duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::api::Api;
use super::auth;
use super::credentials::{self, Identity};
use super::fault::Fault;
use super::metadata::Metadata;
use crate::config::{DriveSettings, ProxyVariables};
use crate::destination::{DestinationError, Listed, Result};
use crate::failure::Failure;
use crate::http::{Http, web_address};

/// Google requires chunks of a multiple of this many bytes.
const CHUNK_UNIT_BYTES: u64 = 256 * 1024;

/// Pages of a list that are read: the files of one batch fit on one.
const MAX_PAGES: usize = 20;

/// A folder on Google Drive.
///
/// Every method may be dropped at any await: nothing continues in the background, and nothing more is written.
#[derive(Clone)]
pub struct Drive {
    pub(super) api: Arc<Api>,
    pub(super) folder: String,
    /// The folder for the empty file that takes a voided id: the folder of the settings, where files may be added.
    pub(super) void_folder: String,
    pub(super) chunk_bytes: u64,
    pub(super) shared_drive: OnceCell<Option<String>>,
    pub(super) lock: bool,
}

impl Drive {
    /// Reads the credentials and prepares. Nothing is sent yet.
    ///
    /// # Errors
    /// A configuration failure: credentials that cannot be read or used, or a malformed address.
    pub fn new(
        folder: &str,
        credentials: &Path,
        settings: &DriveSettings,
        proxies: &ProxyVariables,
    ) -> Result<Drive, Failure> {
        let base = web_address(&settings.url).ok_or_else(|| {
            Failure::configuration("--drive-url is not the address of an API")
                .next("write it like https://www.googleapis.com, or leave it out")
        })?;
        let credentials = credentials::read(credentials)?;
        let http = Http::new(proxies)?;
        let auth = auth::Auth::new(credentials, settings.subject.clone(), http.clone(), settings.idle)?;
        Ok(Drive {
            api: Arc::new(Api { http, base, auth, idle: settings.idle, unit: settings.backoff_unit }),
            void_folder: folder.to_owned(),
            folder: folder.to_owned(),
            chunk_bytes: settings.chunk_bytes.max(1).next_multiple_of(CHUNK_UNIT_BYTES),
            shared_drive: OnceCell::new(),
            lock: settings.lock,
        })
    }

    /// A new id, to be stored in the database before a file is created under it.
    pub async fn new_id(&self) -> Result<String> {
        self.api.generate_id().await.map_err(|fault| self.error(fault))
    }

    /// Puts a file into the trash, and makes sure that nothing live comes under its id later.
    pub async fn trash(&self, id: &str) -> Result<()> {
        self.api.trash(&self.void_folder, id).await.map_err(|fault| self.error(fault))
    }

    /// Writes the content of a file into `sink` and returns its size in bytes; `None` when there is no such file.
    ///
    /// # Errors
    /// When Drive fails or refuses, or `sink` does; `sink` may then hold a part of the file.
    pub async fn download(&self, id: &str, sink: &mut (impl std::io::Write + Send)) -> Result<Option<u64>> {
        let opened = self.api.content(id).await.map_err(|fault| self.error(fault));
        let Some(mut content) = opened? else { return Ok(None) };
        let broken = |why: &str| DestinationError::failed(format!("reading the file {id} broke off: {why}"));
        let mut bytes = 0;
        loop {
            let part = timeout(self.api.idle, content.chunk()).await;
            let part = part.map_err(|_| broken(&format!("Drive was silent for {}", format_duration(self.api.idle))))?;
            let Some(part) = part.map_err(|error| broken(&self.api.http.failed("", error).message))? else {
                return Ok(Some(bytes));
            };
            sink.write_all(&part).map_err(|error| broken(&format!("cannot write it: {error}")))?;
            bytes += part.len() as u64;
        }
    }

    /// The files in the folder with this batch's mark or this name, including those in the trash. Only a hint: Drive's
    /// list may lag, and only the OAuth client that set the mark sees it.
    pub async fn list_batch(&self, batch: &str, name: &str) -> Result<Vec<Listed>> {
        let folder = quoted(&self.folder);
        let mark = format!("appProperties has {{ key='batchId' and value='{}' }}", quoted(batch));
        let mut found: Vec<Listed> = Vec::new();
        for condition in [format!("name = '{}'", quoted(name)), mark] {
            for listed in self.list(&format!("'{folder}' in parents and {condition}")).await? {
                if found.iter().all(|known| known.id != listed.id) {
                    found.push(listed);
                }
            }
        }
        Ok(found)
    }

    /// The files in the folder whose name has this beginning, without those in the trash. Only a hint, like
    /// [`Drive::list_batch`].
    pub async fn list_live(&self, beginning: &str) -> Result<Vec<Listed>> {
        let (folder, beginning) = (quoted(&self.folder), quoted(beginning));
        self.list(&format!("'{folder}' in parents and trashed = false and name contains '{beginning}'")).await
    }

    /// When a file was stored, by Drive's clock.
    pub async fn created(&self, id: &str) -> Result<Option<DateTime<Utc>>> {
        Ok(self.metadata(id).await?.and_then(|metadata| metadata.created()))
    }

    async fn list(&self, query: &str) -> Result<Vec<Listed>> {
        Ok(self.list_metadata(query).await?.into_iter().filter_map(Listed::from_metadata).collect())
    }

    pub(super) async fn list_metadata(&self, query: &str) -> Result<Vec<Metadata>> {
        match self.pages(query).await {
            Err(Fault::Missing { reason, .. }) => Err(self.error(self.explain_missing(reason).await)),
            pages => pages.map_err(|fault| self.error(fault)),
        }
    }

    async fn pages(&self, query: &str) -> Result<Vec<Metadata>, Fault> {
        let shared_drive = self.shared_drive().await?;
        let mut found = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let page = self.api.list(query, shared_drive, &token).await?;
            found.extend(page.files);
            match page.next_page_token {
                Some(next) => token = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// The error of a fault, for callers outside of this module.
    pub(super) fn error(&self, fault: Fault) -> DestinationError {
        fault.give_up(self.identity())
    }

    /// The account that requests are made as.
    pub fn identity(&self) -> &Identity {
        self.api.auth.identity()
    }
}

impl Listed {
    fn from_metadata(metadata: Metadata) -> Option<Listed> {
        Some(Listed {
            created: metadata.created(),
            owner: metadata.owner(),
            id: metadata.id?,
            name: metadata.name.unwrap_or_default(),
            trashed: metadata.trashed,
            irregular: false,
        })
    }
}

/// Escaped for a string of Drive's query language.
pub(super) fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
