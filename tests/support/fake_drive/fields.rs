//! Google's partial responses: `fields=id,files(id,name),capabilities/canAddChildren`.
//!
//! Only what was asked for comes back, so that a client which forgot to ask for a checksum fails here too.

use super::answer::Answer;
use serde_json::{Map, Value};

/// Every field of a file that a selection may name.
const FILE_FIELDS: &[&str] = &[
    "kind",
    "id",
    "name",
    "mimeType",
    "description",
    "starred",
    "trashed",
    "explicitlyTrashed",
    "trashedTime",
    "parents",
    "properties",
    "appProperties",
    "contentRestrictions",
    "spaces",
    "version",
    "webContentLink",
    "webViewLink",
    "iconLink",
    "createdTime",
    "modifiedTime",
    "size",
    "quotaBytesUsed",
    "md5Checksum",
    "sha1Checksum",
    "sha256Checksum",
    "driveId",
    "owners",
    "ownedByMe",
    "shared",
    "permissions",
    "capabilities",
    "headRevisionId",
    "originalFilename",
    "fileExtension",
    "fullFileExtension",
    "lastModifyingUser",
];

const DEFAULT_FILE: &str = "kind,id,name,mimeType";
const DEFAULT_LIST: &str = "kind,incompleteSearch,nextPageToken,files(kind,id,name,mimeType)";

/// Which fields to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Vec<(String, Option<Selection>)>);

impl Selection {
    /// The `fields` of a request about one file.
    pub fn of_file(fields: Option<&str>) -> Result<Self, Answer> {
        let selection = Selection::parse(fields.unwrap_or(DEFAULT_FILE))?;
        selection.check(FILE_FIELDS)?;
        Ok(selection)
    }

    /// The `fields` of a request for a list of files.
    pub fn of_list(fields: Option<&str>) -> Result<Self, Answer> {
        let selection = Selection::parse(fields.unwrap_or(DEFAULT_LIST))?;
        selection.check(&["kind", "incompleteSearch", "nextPageToken", "files"])?;
        for (_, inner) in selection.0.iter().filter(|(name, _)| name == "files") {
            inner.iter().try_for_each(|inner| inner.check(FILE_FIELDS))?;
        }
        Ok(selection)
    }

    /// A selection of any shape.
    pub fn parse(fields: &str) -> Result<Self, Answer> {
        let mut rest = fields;
        let selection = parse_list(&mut rest).filter(|_| rest.is_empty());
        selection.ok_or_else(|| refuse(fields))
    }

    fn check(&self, known: &[&str]) -> Result<(), Answer> {
        let unknown = self.0.iter().find(|(name, _)| name != "*" && !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| Err(refuse(name)))
    }

    /// What the selection leaves of a value.
    pub fn apply(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.apply(item)).collect(),
            Value::Object(fields) => {
                let mut kept = Map::new();
                for (name, value) in fields {
                    let Some((_, inner)) = self.0.iter().find(|(wanted, _)| wanted == name || wanted == "*") else {
                        continue;
                    };
                    kept.insert(name.clone(), inner.as_ref().map_or_else(|| value.clone(), |inner| inner.apply(value)));
                }
                Value::Object(kept)
            }
            other => other.clone(),
        }
    }
}

fn parse_list(rest: &mut &str) -> Option<Selection> {
    let mut items = Vec::new();
    loop {
        items.push(parse_item(rest)?);
        match rest.strip_prefix(',') {
            Some(after) => *rest = after.trim_start(),
            None => return Some(Selection(items)),
        }
    }
}

fn parse_item(rest: &mut &str) -> Option<(String, Option<Selection>)> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '*').unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    *rest = after;
    if name.is_empty() {
        return None;
    }
    let inner = if let Some(after) = rest.strip_prefix('/') {
        *rest = after;
        Some(Selection(vec![parse_item(rest)?]))
    } else if let Some(after) = rest.strip_prefix('(') {
        *rest = after;
        let list = parse_list(rest)?;
        *rest = rest.strip_prefix(')')?;
        Some(list)
    } else {
        None
    };
    Some((name.to_owned(), inner))
}

fn refuse(fields: &str) -> Answer {
    Answer::error_saying(400, "invalidParameter", &format!("Invalid field selection {fields}"))
}
