//! What the fake Drive holds: a shared drive, a user's My Drive, folders with each kind of fault, files, ids, sessions.
//!
//! A file appears only when it is complete, and its checksums are computed from the bytes that were stored, never from what a client
//! said about them.

use super::answer::Answer;
use super::session::Session;
use super::token::{Identity, SCOPE_DRIVE, SCOPE_DRIVE_FILE, Tokens, USER, random_text};
use md5::Md5;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

pub const FOLDER_MIME: &str = "application/vnd.google-apps.folder";
/// The app of planted files: every client may call them its own.
pub const ANY_APP: &str = "*";

/// What the account may do in the shared drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Adds files, can neither trash nor delete.
    Contributor,
    /// Adds and trashes files, cannot delete them for good.
    ContentManager,
    /// Everything.
    Manager,
}

/// Bytes as they were stored, and their checksums in lower-case hexadecimal.
#[derive(Debug, Default)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub sha256: String,
    pub md5: String,
}

impl Content {
    pub fn of(bytes: Vec<u8>) -> Arc<Self> {
        let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Arc::new(Content { sha256: hex(&Sha256::digest(&bytes)), md5: hex(&Md5::digest(&bytes)), bytes })
    }
}

#[derive(Clone, Debug)]
pub struct File {
    pub id: String,
    pub name: String,
    pub mime_type: String,
    pub parents: Vec<String>,
    pub drive_id: Option<String>,
    /// The OAuth client that made it; `None`: a person did, in the browser.
    pub app: Option<String>,
    pub app_properties: BTreeMap<String, String>,
    /// Seen by every app.
    pub properties: BTreeMap<String, String>,
    /// Why its content and name are locked; `None`: they are not.
    pub locked: Option<String>,
    pub content: Arc<Content>,
    pub trashed: bool,
    pub readable: bool,
    pub can_add_children: bool,
    /// Part of the model, not of what clients did.
    pub fixture: bool,
    pub created_at: String,
}

impl File {
    pub fn is_folder(&self) -> bool {
        self.mime_type == FOLDER_MIME
    }

    pub fn is_of_app(&self, app: &str) -> bool {
        self.app.as_deref().is_some_and(|own| own == app || own == ANY_APP)
    }
}

/// A folder that exists before any client comes.
struct Fixture<'a> {
    id: &'a str,
    name: &'a str,
    parent: Option<&'a str>,
    trashed: bool,
    can_add_children: bool,
}

pub struct State {
    pub files: Vec<File>,
    pub drive_id: String,
    pub my_drive_root: String,
    pub folder: String,
    pub my_drive_folder: String,
    pub read_only_folder: String,
    pub trashed_folder: String,
    pub role: Role,
    pub quota_full: bool,
    /// Whether the account may not lock content.
    pub locks_refused: bool,
    /// `files.list` does not know the newest files yet.
    pub lists_lag: bool,
    /// Whether an id that is taken is noticed when the session starts, or only when the file is complete.
    pub late_conflicts: bool,
    /// Ids by the account they were issued to.
    pub issued_ids: HashMap<String, String>,
    /// Ids that had a file once: Drive never gives them out again.
    pub spent_ids: HashSet<String>,
    pub sessions: HashMap<String, Session>,
    /// What a session answers that exists no more: 404 or 410.
    pub gone_status: u16,
    pub tokens: Tokens,
}

impl State {
    pub fn new() -> Self {
        let new_id = || format!("1{}", random_text(24));
        let mut state = State {
            files: Vec::new(),
            drive_id: format!("0A{}PVA", random_text(10)),
            my_drive_root: format!("0A{}root", random_text(10)),
            folder: new_id(),
            my_drive_folder: new_id(),
            read_only_folder: new_id(),
            trashed_folder: new_id(),
            role: Role::ContentManager,
            quota_full: false,
            locks_refused: false,
            lists_lag: false,
            late_conflicts: false,
            issued_ids: HashMap::new(),
            spent_ids: HashSet::new(),
            sessions: HashMap::new(),
            gone_status: 404,
            tokens: Tokens::default(),
        };
        let drive = Some(state.drive_id.clone());
        let plain = Fixture { id: "", name: "", parent: None, trashed: false, can_add_children: true };
        let (folder, mine) = (state.folder.clone(), state.my_drive_folder.clone());
        let (read_only, trashed) = (state.read_only_folder.clone(), state.trashed_folder.clone());
        let (drive_id, root) = (state.drive_id.clone(), state.my_drive_root.clone());
        state.add_fixture(&drive, Fixture { id: &drive_id, name: "Drive", ..plain });
        state.add_fixture(&None, Fixture { id: &root, name: "My Drive", ..plain });
        let below = |parent| Fixture { parent: Some(parent), ..plain };
        state.add_fixture(&drive, Fixture { id: &folder, name: "Exports", ..below(&drive_id) });
        state.add_fixture(&None, Fixture { id: &mine, name: "Exports of a person", ..below(&root) });
        state.add_fixture(
            &drive,
            Fixture { id: &read_only, name: "Archive", can_add_children: false, ..below(&drive_id) },
        );
        state.add_fixture(&drive, Fixture { id: &trashed, name: "Old exports", trashed: true, ..below(&drive_id) });
        state
    }

    fn add_fixture(&mut self, drive: &Option<String>, fixture: Fixture) {
        self.files.push(File {
            id: fixture.id.to_owned(),
            name: fixture.name.to_owned(),
            mime_type: FOLDER_MIME.to_owned(),
            parents: fixture.parent.map(str::to_owned).into_iter().collect(),
            drive_id: drive.clone(),
            app: None,
            app_properties: BTreeMap::new(),
            properties: BTreeMap::new(),
            locked: None,
            content: Arc::default(),
            trashed: fixture.trashed,
            readable: true,
            can_add_children: fixture.can_add_children,
            fixture: true,
            created_at: now(),
        });
    }

    /// Another folder for exports in the shared drive.
    pub fn add_folder(&mut self, name: &str) -> String {
        let (id, drive_id) = (format!("1{}", random_text(24)), self.drive_id.clone());
        let parent = Some(drive_id.as_str());
        self.add_fixture(
            &Some(drive_id.clone()),
            Fixture { id: &id, name, parent, trashed: false, can_add_children: true },
        );
        id
    }

    pub fn issue_id(&mut self, email: &str) -> String {
        let id = format!("1{}", random_text(24));
        self.issued_ids.insert(id.clone(), email.to_owned());
        id
    }

    pub fn file(&self, id: &str) -> Option<&File> {
        self.files.iter().find(|file| file.id == id)
    }

    /// In the trash itself, or in a folder that is.
    pub fn is_trashed(&self, file: &File) -> bool {
        file.trashed || file.parents.iter().filter_map(|id| self.file(id)).any(|parent| self.is_trashed(parent))
    }

    /// The file, if this caller may know that it exists.
    pub fn visible(&self, who: &Identity, id: &str, all_drives: bool) -> Result<&File, Answer> {
        let found = self.file(id).filter(|file| self.is_visible(who, file) && (all_drives || file.drive_id.is_none()));
        found.ok_or_else(|| Answer::error_saying(404, "notFound", &format!("File not found: {id}.")))
    }

    pub fn is_visible(&self, who: &Identity, file: &File) -> bool {
        let everything = who.scopes.iter().any(|scope| scope.starts_with(SCOPE_DRIVE) && scope != SCOPE_DRIVE_FILE);
        file.readable && (everything || (who.has(SCOPE_DRIVE_FILE) && file.is_of_app(&who.app)))
    }

    /// The whole metadata of a file, as this caller sees it.
    pub fn describe(&self, who: &Identity, file: &File) -> Value {
        let link = match file.is_folder() {
            true => format!("https://drive.google.com/drive/folders/{}", file.id),
            false => format!("https://drive.google.com/file/d/{}/view?usp=drivesdk", file.id),
        };
        let shared = file.drive_id.is_some();
        let mut json = json!({
            "kind": "drive#file", "id": file.id, "name": file.name, "mimeType": file.mime_type, "starred": false,
            "trashed": self.is_trashed(file), "explicitlyTrashed": file.trashed, "spaces": ["drive"], "version": "1",
            "webViewLink": link, "createdTime": file.created_at, "modifiedTime": file.created_at, "ownedByMe": !shared,
            "capabilities": {
                "canAddChildren": file.is_folder() && file.can_add_children,
                "canEdit": true, "canDownload": !file.is_folder(),
                "canTrash": !shared || self.role != Role::Contributor,
                "canDelete": !shared || self.role == Role::Manager,
            },
        });
        let map = json.as_object_mut().expect("an object");
        if !file.parents.is_empty() {
            map.insert("parents".into(), json!(file.parents));
        }
        if file.is_of_app(&who.app) && !file.app_properties.is_empty() {
            map.insert("appProperties".into(), json!(file.app_properties));
        }
        if !file.properties.is_empty() {
            map.insert("properties".into(), json!(file.properties));
        }
        if let Some(reason) = &file.locked {
            map.insert(
                "contentRestrictions".into(),
                json!([{"readOnly": true, "reason": reason, "type": "globalContentRestriction"}]),
            );
        }
        match &file.drive_id {
            Some(id) => {
                map["capabilities"]["canTrashChildren"] = json!(file.is_folder() && self.role != Role::Contributor);
                map.insert("driveId".into(), json!(id))
            }
            None => map.insert("owners".into(), json!([{"kind": "drive#user", "emailAddress": USER}])),
        };
        if !file.is_folder() {
            add_content(map, &file.content);
        }
        json
    }
}

fn add_content(map: &mut Map<String, Value>, content: &Content) {
    map.insert("size".into(), json!(content.bytes.len().to_string()));
    map.insert("quotaBytesUsed".into(), json!(content.bytes.len().to_string()));
    map.insert("md5Checksum".into(), json!(content.md5));
    map.insert("sha256Checksum".into(), json!(content.sha256));
}

pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
