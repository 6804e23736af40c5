//! The next step after a refusal, in words for the person who is woken by it.
//!
//! Google's own messages say what was refused, seldom what to do, and the same reason asks for different things depending on whose
//! credentials they are. So the advice is chosen by the documented reason and the identity together.

use super::credentials::Identity;

/// A service account outside a shared drive.
pub(super) const SERVICE_ACCOUNT_STORAGE: &str = "a service account has no storage of its own, not even in a folder that \
    somebody shared with it: use a folder in a shared drive, or act as a user with --drive-subject (domain-wide delegation), \
    or give a person's consent with `batch-export auth`";

/// A 4xx that is neither permission nor load: a setting, or a bug.
pub(super) const SETTINGS: &str = "check --destination and --drive-url; if they are right, this is a bug: report it";

/// After a 403 with one of Drive's reasons.
pub(super) fn after_refusal(reason: &str, message: &str, identity: &Identity) -> String {
    let fixed = match reason {
        "storageQuotaExceeded" | "quotaExceeded" => return after_full_storage(message, identity),
        "insufficientFilePermissions" | "insufficientParentPermissions" | "cannotAddParent" => {
            return format!("share the folder with {identity} as Editor, or in a shared drive as Content manager");
        }
        "insufficientPermissions" | "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => return after_small_scope(identity).to_owned(),
        "teamDriveMembershipRequired" => return format!("add {identity} to the shared drive as Content manager"),
        "dailyLimitExceeded" => {
            "the daily limit of the Drive API for this project is used up: raise it in the Google Cloud console, or wait \
             until midnight Pacific time"
        }
        "appNotAuthorizedToFile" => {
            "with the scope drive.file this application sees only what it made itself: run `batch-export auth` again and \
             grant access to all of Drive"
        }
        "domainPolicy" => {
            "a policy of the Google Workspace domain forbids this: ask its administrator to allow Drive for this \
             application, or sharing outside the domain"
        }
        "teamDriveFileLimitExceeded"
        | "teamDriveHierarchyTooDeep"
        | "numChildrenInNonRootLimitExceeded"
        | "activeItemCreationLimitExceeded" => {
            "the shared drive or folder has reached its limit of items: remove old files and empty the trash, or use \
             another folder"
        }
        "accessNotConfigured" | "SERVICE_DISABLED" => {
            "enable the Google Drive API in the Google Cloud console, in the project that these credentials belong to, and \
             wait some minutes"
        }
        _ => return format!("check what {identity} may do in this folder, and which Google Workspace policies apply"),
    };
    fixed.to_owned()
}

fn after_full_storage(message: &str, identity: &Identity) -> String {
    let said_so = message.to_ascii_lowercase().contains("service account");
    match identity {
        Identity::ServiceAccount { .. } if said_so => SERVICE_ACCOUNT_STORAGE.to_owned(),
        Identity::ServiceAccount { .. } => format!(
            "if the folder is in a shared drive, its organization's storage is full: free some; if not, {SERVICE_ACCOUNT_STORAGE}"
        ),
        Identity::Delegated { .. } | Identity::Consent => {
            format!(
                "the storage of {identity}, or of its organization, is full: free some (the trash counts), or buy more"
            )
        }
    }
}

/// After a token turned out to cover too little.
pub(super) fn after_small_scope(identity: &Identity) -> &'static str {
    match identity {
        Identity::Consent => {
            "the consent covers too little: run `batch-export auth` again and grant access to all of Drive (a folder made by \
             somebody else is invisible to the scope drive.file)"
        }
        Identity::ServiceAccount { .. } | Identity::Delegated { .. } => {
            "the token covers too little: allow the scope https://www.googleapis.com/auth/drive"
        }
    }
}

/// After Drive refused (401) a token that was issued a moment ago.
pub(super) fn after_unauthorized(identity: &Identity) -> &'static str {
    match identity {
        Identity::Consent => "the consent was probably withdrawn: run `batch-export auth` again",
        Identity::ServiceAccount { .. } | Identity::Delegated { .. } => {
            "check that the service account and its key are enabled, and that --drive-url is the API that issued the token"
        }
    }
}

/// After a token was refused with one of RFC 6749's (or Google's) error codes; `None` when the trouble may pass by itself.
pub(super) fn after_token_refusal(error: &str, description: &str, identity: &Identity) -> Option<String> {
    let about = description.to_ascii_lowercase();
    let consent = *identity == Identity::Consent;
    let fixed = match error {
        "invalid_grant" if about.contains("short-lived") || about.contains("iat and exp") => {
            "this machine's clock is probably wrong: check it, and its synchronization"
        }
        "invalid_grant" if consent => {
            "the consent has expired or was withdrawn: run `batch-export auth` again (while the consent screen is in \
             \"Testing\", every consent dies after 7 days: publish the app)"
        }
        "invalid_grant" if about.contains("signature") => {
            "the key was deleted or disabled: create a new JSON key for the service account"
        }
        "invalid_grant" => {
            return Some(match identity {
                Identity::Delegated { subject, .. } => {
                    format!("check that --drive-subject {subject} and the service account exist and are active")
                }
                Identity::ServiceAccount { .. } | Identity::Consent => {
                    "check that the service account exists and is enabled".to_owned()
                }
            });
        }
        "unauthorized_client" | "access_denied" if consent => {
            "the OAuth client may not use a refresh token: create one of the type \"Desktop app\" and run `batch-export auth` \
             with it"
        }
        "unauthorized_client" | "access_denied" => {
            "a Workspace administrator has to allow the service account's client id the scope \
             https://www.googleapis.com/auth/drive (Admin console > Security > API controls > Domain-wide delegation)"
        }
        "invalid_client" | "deleted_client" | "disabled_client" => {
            "the OAuth client was deleted or its secret replaced: create one in the Google Cloud console and run \
             `batch-export auth` with it"
        }
        "invalid_scope" => after_small_scope(identity),
        "admin_policy_enforced" | "org_internal" => {
            "a policy of the Google Workspace domain forbids this application: ask its administrator to trust it"
        }
        "invalid_request" | "unsupported_grant_type" => "check the field \"token_uri\" of the credentials file",
        _ => return None,
    };
    Some(fixed.to_owned())
}
