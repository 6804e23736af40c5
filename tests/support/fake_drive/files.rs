//! `files.*`, `about` and `drives`: who may see and do what, in Google's order of refusals.

use super::answer::Answer;
use super::fields::Selection;
use super::query::Query;
use super::state::{Content, FOLDER_MIME, File, Role, State, now};
use super::token::{Identity, SCOPE_DRIVE, SCOPE_DRIVE_FILE};
use super::wire::Head;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const MAX_APP_PROPERTIES: usize = 30;
const MAX_APP_PROPERTY_BYTES: usize = 124;
const NO_SERVICE_QUOTA: &str = "Service Accounts do not have storage quota. Leverage shared drives \
    (https://developers.google.com/workspace/drive/api/guides/about-shareddrives), or use OAuth delegation \
    (http://support.google.com/a/answer/7281227) instead.";

type Result<T> = std::result::Result<T, Answer>;

pub fn all_drives(head: &Head) -> bool {
    head.param("supportsAllDrives") == Some("true")
}

pub fn require_writer(who: &Identity) -> Result<()> {
    let allowed = who.has(SCOPE_DRIVE) || who.has(SCOPE_DRIVE_FILE);
    if allowed { Ok(()) } else { Err(Answer::error(403, "insufficientPermissions")) }
}

fn require_reader(who: &Identity) -> Result<()> {
    let allowed = who.scopes.iter().any(|scope| scope.starts_with(SCOPE_DRIVE));
    if allowed { Ok(()) } else { Err(Answer::error(403, "insufficientPermissions")) }
}

pub fn generate_ids(state: &mut State, who: &Identity, head: &Head) -> Result<Answer> {
    require_writer(who)?;
    let invalid = |name: &str| Answer::error_saying(400, "invalidParameter", &format!("Invalid value for: {name}"));
    let count: usize = head.param("count").unwrap_or("10").parse().map_err(|_| invalid("count"))?;
    if !(1..=1000).contains(&count) {
        return Err(invalid("count"));
    }
    if !matches!(head.param("space"), None | Some("drive")) {
        return Err(invalid("space"));
    }
    if !matches!(head.param("type"), None | Some("files")) {
        return Err(invalid("type"));
    }
    let ids: Vec<String> = (0..count).map(|_| state.issue_id(&who.email)).collect();
    let body = json!({"kind": "drive#generatedIds", "space": "drive", "ids": ids});
    let selection = Selection::parse(head.param("fields").unwrap_or("*"))?;
    Ok(Answer::json(200, &selection.apply(&body)))
}

pub fn get(state: &State, who: &Identity, head: &Head, id: &str) -> Result<Answer> {
    require_reader(who)?;
    let selection = Selection::of_file(head.param("fields"))?;
    let file = state.visible(who, id, all_drives(head))?;
    Ok(Answer::json(200, &selection.apply(&state.describe(who, file))))
}

pub fn download(state: &State, who: &Identity, head: &Head, id: &str) -> Result<Answer> {
    require_reader(who)?;
    let file = state.visible(who, id, all_drives(head))?;
    if file.is_folder() {
        let why = "Only files with binary content can be downloaded. Use Export with Docs Editors files.";
        return Err(Answer::error_saying(403, "fileNotDownloadable", why));
    }
    let mut answer = Answer::empty(200).header("Content-Type", &file.mime_type);
    answer.0.body = file.content.bytes.clone();
    Ok(answer)
}

pub fn list(state: &State, who: &Identity, head: &Head) -> Result<Answer> {
    require_reader(who)?;
    let selection = Selection::of_list(head.param("fields"))?;
    let query = head.param("q").map(Query::parse).transpose()?;
    let shared_too = head.param("includeItemsFromAllDrives") == Some("true");
    if shared_too && !all_drives(head) {
        let why = "The includeItemsFromAllDrives parameter requires the supportsAllDrives parameter to be true.";
        return Err(Answer::error_saying(403, "teamDrivesSupportRequired", why));
    }
    let only_drive = match head.param("corpora") {
        None | Some("user" | "allDrives") => None,
        Some("drive") if head.param("driveId").is_some() && shared_too => head.param("driveId"),
        Some(_) => return Err(Answer::error_saying(400, "invalid", "Invalid Value")),
    };
    let invalid = || Answer::error_saying(400, "invalid", "Invalid Value");
    let page_size: usize = head.param("pageSize").unwrap_or("100").parse().map_err(|_| invalid())?;
    let start: usize = head.param("pageToken").unwrap_or("0").parse().map_err(|_| invalid())?;
    let mut found: Vec<&File> = state
        .files
        .iter()
        .filter(|file| state.is_visible(who, file) && (shared_too || file.drive_id.is_none()))
        .filter(|file| only_drive.is_none_or(|id| file.drive_id.as_deref() == Some(id)))
        .filter(|file| !state.lists_lag || file.fixture)
        .filter(|file| query.as_ref().is_none_or(|query| query.matches(file, state.is_trashed(file), &who.app)))
        .collect();
    match head.param("orderBy") {
        // Drive promises no order; the oldest last keeps clients honest that take the first.
        None | Some("createdTime desc") => found.reverse(),
        Some("createdTime") => {}
        Some("name") => found.sort_by(|one, other| one.name.cmp(&other.name)),
        Some(_) => return Err(invalid()),
    }
    let page: Vec<Value> = found.iter().skip(start).take(page_size).map(|file| state.describe(who, file)).collect();
    let mut body = json!({"kind": "drive#fileList", "incompleteSearch": false, "files": page});
    if start + page_size < found.len() {
        body["nextPageToken"] = json!((start + page_size).to_string());
    }
    Ok(Answer::json(200, &selection.apply(&body)))
}

/// `files.create` without content: a folder, or an empty file.
pub fn create(state: &mut State, who: &Identity, head: &Head, body: &[u8]) -> Result<Answer> {
    let selection = Selection::of_file(head.param("fields"))?;
    let file = check_new(state, who, head, body)?;
    let file = finish(state, file, Vec::new())?;
    Ok(Answer::json(200, &selection.apply(&state.describe(who, &file))))
}

pub fn update(state: &mut State, who: &Identity, head: &Head, id: &str, body: &[u8]) -> Result<Answer> {
    require_writer(who)?;
    let selection = Selection::of_file(head.param("fields"))?;
    let changes: Value = serde_json::from_slice(body).map_err(|_| Answer::error(400, "parseError"))?;
    let changes = changes.as_object().ok_or_else(|| Answer::error(400, "parseError"))?;
    let file = state.visible(who, id, all_drives(head))?;
    if changes.contains_key("trashed") && file.drive_id.is_some() && state.role == Role::Contributor {
        return Err(Answer::error(403, "insufficientFilePermissions"));
    }
    let mut changed = file.clone();
    for (name, value) in changes {
        match (name.as_str(), value) {
            ("trashed", Value::Bool(trashed)) => changed.trashed = *trashed,
            ("name", Value::String(_)) if file.locked.is_some() => {
                let why = "A content restriction keeps this file from being renamed.";
                return Err(Answer::error_saying(403, "fileContentRestricted", why));
            }
            ("name", Value::String(name)) => changed.name.clone_from(name),
            ("appProperties", value) => changed.app_properties.extend(app_properties(value)?),
            ("properties", value) => changed.properties.extend(app_properties(value)?),
            ("contentRestrictions", value) => changed.locked = restriction(state, value)?,
            _ => {
                return Err(Answer::error_saying(
                    403,
                    "fieldNotWritable",
                    "The resource body includes fields which are not directly writable.",
                ));
            }
        }
    }
    let answer = Answer::json(200, &selection.apply(&state.describe(who, &changed)));
    if let Some(file) = state.files.iter_mut().find(|file| file.id == id) {
        *file = changed;
    }
    Ok(answer)
}

pub fn delete(state: &mut State, who: &Identity, head: &Head, id: &str) -> Result<Answer> {
    require_writer(who)?;
    let file = state.visible(who, id, all_drives(head))?;
    if file.drive_id.is_some() && state.role != Role::Manager {
        return Err(Answer::error(403, "insufficientFilePermissions"));
    }
    state.files.retain(|file| file.id != id);
    Ok(Answer::empty(204))
}

pub fn about(who: &Identity, head: &Head) -> Result<Answer> {
    require_reader(who)?;
    let fields = head
        .param("fields")
        .ok_or_else(|| Answer::error_saying(400, "required", "The 'fields' parameter is required for this method."))?;
    let limit = if who.is_service_account() { "0" } else { "16106127360" };
    let body = json!({
        "kind": "drive#about",
        "user": {"kind": "drive#user", "displayName": who.email, "emailAddress": who.email, "me": true},
        "storageQuota": {"limit": limit, "usage": "0", "usageInDrive": "0", "usageInDriveTrash": "0"},
    });
    Ok(Answer::json(200, &Selection::parse(fields)?.apply(&body)))
}

pub fn shared_drive(state: &State, who: &Identity, head: &Head, id: &str) -> Result<Answer> {
    if !who.scopes.iter().any(|scope| scope == SCOPE_DRIVE || scope.ends_with("/drive.readonly")) {
        return Err(Answer::error(403, "insufficientPermissions"));
    }
    if id != state.drive_id {
        return Err(Answer::error_saying(404, "notFound", &format!("Shared drive not found: {id}")));
    }
    let body = json!({
        "kind": "drive#drive", "id": id, "name": "Finance",
        "capabilities": {
            "canAddChildren": true, "canDeleteChildren": state.role == Role::Manager, "canTrashChildren": state.role != Role::Contributor,
        },
    });
    let selection = Selection::parse(head.param("fields").unwrap_or("kind,id,name"))?;
    Ok(Answer::json(200, &selection.apply(&body)))
}

/// The file that a create request describes, if it may be made; nothing changes yet.
pub fn check_new(state: &mut State, who: &Identity, head: &Head, body: &[u8]) -> Result<File> {
    require_writer(who)?;
    if !head.header("content-type").is_some_and(|value| value.starts_with("application/json")) {
        return Err(Answer::error_saying(400, "badContent", "Unsupported content with type"));
    }
    let metadata: Value = serde_json::from_slice(body).map_err(|_| Answer::error(400, "parseError"))?;
    let text = |name: &str| metadata[name].as_str().map(str::to_owned);
    let is_folder = metadata["mimeType"] == FOLDER_MIME;
    let parents: Vec<String> = match &metadata["parents"] {
        Value::Null => vec![state.my_drive_root.clone()],
        value => serde_json::from_value(value.clone()).map_err(|_| Answer::error(400, "parseError"))?,
    };
    let [parent] = parents.as_slice() else {
        return Err(Answer::error_saying(403, "cannotAddParent", "A file cannot have multiple parents."));
    };
    let parent = match *parent == state.my_drive_root {
        true => state.file(parent).ok_or_else(|| Answer::error(404, "notFound"))?,
        false => state.visible(who, parent, all_drives(head))?,
    };
    if !parent.is_folder() || !parent.can_add_children {
        return Err(Answer::error(403, "insufficientParentPermissions"));
    }
    let drive_id = parent.drive_id.clone();
    let properties = app_properties(&metadata["properties"])?;
    let app_properties = app_properties(&metadata["appProperties"])?;
    let id = match text("id") {
        None => None,
        Some(id) if state.issued_ids.get(&id) == Some(&who.email) => Some(id),
        Some(_) => return Err(Answer::error_saying(400, "invalid", "The provided file ID is not usable.")),
    };
    if drive_id.is_none() && !is_folder && who.is_service_account() {
        return Err(Answer::error_saying(403, "storageQuotaExceeded", NO_SERVICE_QUOTA));
    }
    if drive_id.is_none() && state.quota_full {
        return Err(Answer::error(403, "storageQuotaExceeded"));
    }
    let id = id.unwrap_or_else(|| state.issue_id(&who.email));
    if state.spent_ids.contains(&id) && !state.late_conflicts {
        return Err(Answer::error(409, "fileIdInUse"));
    }
    Ok(File {
        id,
        name: text("name").unwrap_or_else(|| "Untitled".to_owned()),
        mime_type: text("mimeType").unwrap_or_else(|| "application/octet-stream".to_owned()),
        parents,
        drive_id,
        app: Some(who.app.clone()),
        app_properties,
        properties,
        locked: None,
        content: Arc::default(),
        trashed: false,
        readable: true,
        can_add_children: true,
        fixture: false,
        created_at: now(),
    })
}

/// The file becomes visible, with its content, or its id turns out to be taken.
pub fn finish(state: &mut State, mut file: File, bytes: Vec<u8>) -> Result<File> {
    if !state.spent_ids.insert(file.id.clone()) {
        return Err(Answer::error(409, "fileIdInUse"));
    }
    file.content = Content::of(bytes);
    file.created_at = now();
    state.files.push(file.clone());
    Ok(file)
}

/// The reason of a lock, from the list that Drive takes: one restriction at most, which is on or off.
fn restriction(state: &State, value: &Value) -> Result<Option<String>> {
    if state.locks_refused {
        return Err(Answer::error(403, "insufficientFilePermissions"));
    }
    let invalid = || Answer::error_saying(400, "invalid", "Invalid value for: contentRestrictions");
    let [Value::Object(restriction)] = value.as_array().ok_or_else(invalid)?.as_slice() else { return Err(invalid()) };
    if restriction.keys().any(|key| !["readOnly", "reason", "ownerRestricted"].contains(&key.as_str())) {
        return Err(invalid());
    }
    match (restriction.get("readOnly"), restriction.get("reason")) {
        (Some(Value::Bool(true)), Some(Value::String(reason))) => Ok(Some(reason.clone())),
        (Some(Value::Bool(true)), None) => Ok(Some(String::new())),
        (Some(Value::Bool(false)), None) => Ok(None),
        (_, _) => Err(invalid()),
    }
}

fn app_properties(value: &Value) -> Result<BTreeMap<String, String>> {
    if value.is_null() {
        return Ok(BTreeMap::new());
    }
    let properties: BTreeMap<String, String> =
        serde_json::from_value(value.clone()).map_err(|_| Answer::error(400, "parseError"))?;
    let too_large = properties.iter().any(|(key, value)| key.len() + value.len() > MAX_APP_PROPERTY_BYTES);
    if too_large || properties.len() > MAX_APP_PROPERTIES {
        return Err(Answer::error_saying(400, "invalid", "Properties and app properties exceed the limits."));
    }
    Ok(properties)
}
