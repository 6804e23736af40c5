//! A file's metadata on Drive, and its comparison with the spool file.
//!
//! Drive computes its checksums from the stored bytes, so they prove what is stored; the bytes that were sent prove
//! nothing. Without a checksum nothing is decided.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::destination::Stored;
use crate::spool::Digests;

/// The fields asked for, in every answer that describes a file.
pub(super) const FIELDS: &str = "id,name,size,md5Checksum,sha256Checksum,trashed,parents,appProperties,properties,contentRestrictions,webViewLink,createdTime";

/// A file's metadata; every field may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    /// Decimal digits: Drive writes 64-bit numbers as strings.
    pub(super) size: Option<String>,
    pub(super) md5_checksum: Option<String>,
    pub(super) sha256_checksum: Option<String>,
    pub(super) trashed: bool,
    /// Its folder, where this account may see it.
    pub(super) parents: Vec<String>,
    pub(super) web_view_link: Option<String>,
    /// RFC 3339.
    pub(super) created_time: Option<String>,
    /// Properties that only our OAuth client sees.
    pub(super) app_properties: Properties,
    /// Properties that every app sees.
    pub(super) properties: Properties,
    pub(super) content_restrictions: Vec<Restriction>,
}

/// The `properties` and `appProperties` that this program writes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Properties {
    pub(super) batch_id: Option<String>,
    pub(super) installation: Option<String>,
    pub(super) number: Option<String>,
}

/// A lock on the content.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Restriction {
    pub(super) read_only: bool,
}

/// A page of a list of files.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Page {
    pub(super) files: Vec<Metadata>,
    pub(super) next_page_token: Option<String>,
    /// Drive searched only a part of the folder.
    pub(super) incomplete_search: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Live, with the same size and checksum.
    Same(Stored),
    /// Another content, or a file in the trash.
    Different { reason: String, sha256: Option<String> },
    /// Drive reports too little to compare.
    Unverified(String),
}

impl Metadata {
    /// The checksum by which files are known, in lower case.
    pub(super) fn sha256(&self) -> Option<String> {
        filled(&self.sha256_checksum).map(str::to_ascii_lowercase)
    }

    pub(super) fn bytes(&self) -> Option<u64> {
        self.size.as_deref()?.parse().ok()
    }

    /// When it was stored, by Drive's clock.
    pub(super) fn created(&self) -> Option<DateTime<Utc>> {
        self.created_time.as_deref()?.parse().ok()
    }

    /// Compares with the spool file: sha256 where present, else md5, and always the size.
    pub(super) fn compare(&self, digests: &Digests) -> Comparison {
        let different = |reason: String| Comparison::Different { reason, sha256: self.sha256() };
        if self.trashed {
            return different("it is in the trash".to_owned());
        }
        let (kind, theirs, ours) = match (filled(&self.sha256_checksum), filled(&self.md5_checksum)) {
            (Some(sha256), _) => ("sha256", Some(sha256), &digests.sha256),
            (None, md5) => ("md5", md5, &digests.md5),
        };
        match (self.bytes(), theirs) {
            (Some(bytes), _) if bytes != digests.bytes => {
                different(format!("it has {bytes} bytes, expected {}", digests.bytes))
            }
            (_, Some(theirs)) if !theirs.eq_ignore_ascii_case(ours) => {
                different(format!("its {kind} is {}, expected {ours}", theirs.to_ascii_lowercase()))
            }
            (Some(_), Some(_)) => Comparison::Same(Stored { link: self.web_view_link.clone() }),
            (None, _) => Comparison::Unverified("Drive reports no size".to_owned()),
            (_, None) => Comparison::Unverified("Drive reports no checksum".to_owned()),
        }
    }
}

fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}
