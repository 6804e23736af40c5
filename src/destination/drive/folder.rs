//! The folder and the account that uses it: what is wrong, and what to do.
//!
//! Drive answers the same 404 for a folder that does not exist, a folder that was not shared with this account, and a
//! folder outside the token's scope. The folder, the account and the scope together tell these apart. `doctor` asks for
//! them before the first run, and a refused upload afterwards.

use serde_json::Value;

use super::advice::{SERVICE_ACCOUNT_STORAGE, after_refused_folder, after_small_scope};
use super::api::Api;
use super::auth::SCOPE;
use super::client::Drive;
use super::credentials::Identity;
use super::fault::Fault;
use crate::destination::{DestinationError, Result};
use crate::failure::Explanation;
use crate::layout::quoted;

const FOLDER_TYPE: &str = "application/vnd.google-apps.folder";

/// The folder as this identity sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// Not there, or not visible.
    Missing,
    /// Another kind of item has this id.
    NotAFolder {
        /// What it is.
        mime_type: String,
    },
    /// In the trash.
    Trashed {
        /// Its name.
        name: String,
    },
    /// There.
    Found {
        /// Its name.
        name: String,
        /// The shared drive that it is in; `None` for somebody's own Drive.
        shared_drive: Option<String>,
        /// Whether files may be created in it.
        can_add: bool,
        /// Whether files in it may be put into the trash; `None` outside of shared drives, where Drive does not say.
        can_trash: Option<bool>,
    },
}

/// The facts that decide whether uploads to a folder will work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFacts {
    /// The folder's id.
    pub folder: String,
    /// The account that requests are made as.
    pub identity: Identity,
    /// The account's address, as Drive knows it.
    pub email: Option<String>,
    /// The scopes of the token, separated by spaces, where known.
    pub scopes: Option<String>,
    /// Storage of the account in bytes; `None` when it is unlimited or pooled.
    pub quota_limit_bytes: Option<u64>,
    /// Used storage of the account, in bytes.
    pub quota_used_bytes: Option<u64>,
    /// The folder.
    pub state: FolderState,
}

async fn facts(api: &Api, folder: &str) -> Result<FolderFacts, Fault> {
    let identity = api.auth.identity().clone();
    let query = [("fields", "user(emailAddress),storageQuota(limit,usage)")];
    let about: Option<Value> =
        api.get("asking about the account", api.address(&["drive", "v3", "about"], &query)).await?;
    let about = about.unwrap_or_default();
    let scopes = api.auth.scopes().await?;
    let bytes = |key: &str| about["storageQuota"][key].as_str().and_then(|text| text.parse().ok());
    Ok(FolderFacts {
        folder: folder.to_owned(),
        state: state(api, folder).await?,
        email: about["user"]["emailAddress"].as_str().map(str::to_owned),
        quota_limit_bytes: bytes("limit"),
        quota_used_bytes: bytes("usage"),
        identity,
        scopes,
    })
}

async fn state(api: &Api, folder: &str) -> Result<FolderState, Fault> {
    let fields = "id,name,mimeType,trashed,driveId,capabilities(canAddChildren,canTrashChildren)";
    let found: Option<Value> = api.get("looking at the folder", api.file(folder, &[("fields", fields)])).await?;
    let Some(found) = found else { return Ok(FolderState::Missing) };
    let text = |key: &str| found[key].as_str().map(str::to_owned);
    let (name, mime_type) = (text("name").unwrap_or_default(), text("mimeType").unwrap_or_default());
    let capability = |key: &str| found["capabilities"][key].as_bool();
    Ok(match found["trashed"].as_bool() {
        _ if mime_type != FOLDER_TYPE => FolderState::NotAFolder { mime_type },
        Some(true) => FolderState::Trashed { name },
        Some(false) | None => FolderState::Found {
            name,
            shared_drive: text("driveId"),
            can_add: capability("canAddChildren").unwrap_or(false),
            can_trash: capability("canTrashChildren"),
        },
    })
}

impl FolderFacts {
    /// Refuses a folder that an upload cannot use.
    pub fn check(&self) -> Result<()> {
        self.obstacle().map_or(Ok(()), |why| Err(DestinationError { is_refusal: true, why }))
    }

    /// Refuses a folder whose files cannot be trashed. Only a failed upload needs that, so an upload does not check it.
    pub fn check_trash(&self) -> Result<()> {
        let FolderState::Found { name, can_trash: Some(false), .. } = &self.state else { return Ok(()) };
        Err(DestinationError::rejected(
            format!("{} may add files to the folder {}, but put none into the trash", self.account(), quoted(name)),
            format!("make {} a Content manager of the shared drive", self.identity),
        ))
    }

    /// The account, with its address when the identity does not name it.
    fn account(&self) -> String {
        let named = self.identity.to_string();
        match self.email.as_ref().filter(|email| !named.contains(email.as_str())) {
            Some(email) => format!("{named} ({email})"),
            None => named,
        }
    }

    /// The first obstacle to an upload.
    fn obstacle(&self) -> Option<Explanation> {
        let (folder, identity) = (&self.folder, &self.identity);
        let account = self.account();
        let too_small = self.scopes.as_ref().is_some_and(|scopes| !scopes.split(' ').any(|scope| scope == SCOPE));
        let (message, next) = match &self.state {
            FolderState::Missing if too_small => {
                (format!("the folder {folder} is invisible to this consent"), after_small_scope(identity).to_owned())
            }
            FolderState::Missing => {
                // The commonest obstacle in companies, and the person who shares the folder meets it in the browser.
                let outsider = match identity {
                    Identity::ServiceAccount { .. } => {
                        "; if Google refuses to add it, your organization forbids sharing outside of its domain: ask its administrator for an exception for the service account's domain, or act as a user (--drive-subject), or give a person's consent (`batch-export auth --client FILE`)"
                    }
                    Identity::Delegated { .. } | Identity::Consent => "",
                };
                (
                    format!("the folder {folder} does not exist, or {account} has no access to it"),
                    format!(
                        "check the id in --destination (the last part of the folder's address), and share the folder with {account} as Editor, or add it to the shared drive as Content manager{outsider}"
                    ),
                )
            }
            FolderState::NotAFolder { mime_type } => (
                format!("{folder} is not a folder but {mime_type}"),
                "give --destination the id of a folder (of the folder itself, not of a shortcut to it)".to_owned(),
            ),
            FolderState::Trashed { name } => (
                format!("the folder {} ({folder}) is in the trash", quoted(name)),
                "restore it, or give --destination another folder".to_owned(),
            ),
            FolderState::Found { name, can_add: false, .. } => (
                format!("{account} may see the folder {} ({folder}) but not add files to it", quoted(name)),
                format!("share it with {account} as Editor, or in a shared drive as Content manager"),
            ),
            FolderState::Found { name, shared_drive: None, .. }
                if matches!(identity, Identity::ServiceAccount { .. }) =>
            {
                (
                    format!(
                        "the folder {} ({folder}) is not in a shared drive, and {identity} cannot store files elsewhere",
                        quoted(name)
                    ),
                    SERVICE_ACCOUNT_STORAGE.to_owned(),
                )
            }
            FolderState::Found { .. } => return None,
        };
        Some(Explanation::new(message, next))
    }
}

impl Drive {
    /// The facts about the folder and the account that uses it.
    pub async fn folder_facts(&self) -> Result<FolderFacts> {
        facts(&self.api, &self.folder).await.map_err(|fault| self.error(fault))
    }

    /// Explains a 404 by the state of the folder: `reason` stands when the folder is in order.
    pub(super) async fn explain_missing(&self, reason: String) -> Fault {
        match self.check_folder().await {
            Ok(()) => Fault::refused(reason, after_refused_folder(self.identity())),
            Err(fault) => fault,
        }
    }

    /// Refuses a folder that an upload cannot use.
    pub(super) async fn check_folder(&self) -> Result<(), Fault> {
        facts(&self.api, &self.folder).await?.obstacle().map_or(Ok(()), |why| Err(Fault::Refused(why)))
    }

    /// The shared drive that the folder is in, asked once.
    pub(super) async fn shared_drive(&self) -> Result<Option<&str>, Fault> {
        let ask = async || match state(&self.api, &self.folder).await? {
            FolderState::Found { shared_drive, .. } => Ok(shared_drive),
            FolderState::Missing | FolderState::NotAFolder { .. } | FolderState::Trashed { .. } => Ok(None),
        };
        Ok(self.shared_drive.get_or_try_init(ask).await?.as_deref())
    }
}
