//! The next step after a refusal by Drive, for the person on call.
//!
//! Google's messages say what was refused, but seldom what to do, and the same reason needs different steps for
//! different kinds of credentials. So the advice is chosen by the documented reason and the identity together.

use super::credentials::Identity;

/// A service account outside a shared drive.
pub(super) const SERVICE_ACCOUNT_STORAGE: &str = "a service account has no storage of its own: use a folder in a shared drive, act as a \
    user (--drive-subject), or give a person's consent (`batch-export auth --client FILE`)";

/// A 4xx that is neither about permission nor about load: a wrong setting, or a bug.
pub(super) const SETTINGS: &str = "check --destination and --drive-url; if they are right, this is a bug: report it";

/// An upload session that answered 4xx, also after it was started again several times.
pub(super) const SESSION_REFUSED: &str = "wait for `batch-export retry`; if Drive repeats this, check \
    https://www.google.com/appsstatus/dashboard, and the proxy or firewall between this machine and Google";

/// A file id that Drive issued to these credentials a moment ago, and refuses now.
pub(super) const FRESH_ID_REFUSED: &str = "Drive issued this id to the same credentials a moment ago: `batch-export retry` takes \
    another one; if that is refused too, check that --drive-url and the field \"token_uri\" of the credentials belong to the same service";

/// A limit on requests or bytes.
pub(super) const RATE_LIMIT: &str = "wait for `batch-export retry`. If it lasts for hours, the account has \
    uploaded its 750 GB of the day (other programs that use it count too): wait until the next day, or use another account";

/// After a 403 with an unknown reason.
pub(super) fn after_unknown_refusal(identity: &Identity) -> String {
    format!("check what {identity} may do in this folder, and which Google Workspace policies apply")
}

/// After a 403 with one of Drive's reasons; `None` for a reason that is not known.
pub(super) fn after_refusal(reason: &str, message: &str, identity: &Identity) -> Option<String> {
    let fixed = match reason {
        "storageQuotaExceeded" | "quotaExceeded" => return Some(after_full_storage(message, identity)),
        "insufficientPermissions" if matches!(identity, Identity::Consent) => after_small_scope(identity),
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => after_small_scope(identity),
        "insufficientFilePermissions"
        | "insufficientParentPermissions"
        | "insufficientPermissions"
        | "cannotAddParent" => {
            return Some(format!(
                "share the folder with {identity} as Editor, or in a shared drive as Content manager"
            ));
        }
        "teamDriveMembershipRequired" => return Some(format!("add {identity} to the shared drive as Content manager")),
        "dailyLimitExceeded" => {
            "the daily limit of the Drive API for this project is used up: raise it in the Google Cloud console, or wait \
             until midnight Pacific time"
        }
        "appNotAuthorizedToFile" => {
            "with the scope drive.file this application sees only files that it created itself: run `batch-export auth --client FILE` again and \
             grant access to all of Drive"
        }
        "domainPolicy" => {
            "a policy of the Google Workspace domain forbids this: ask its administrator to allow Drive for this \
             application, or sharing outside the domain"
        }
        "parentNotAFolder" => {
            "the id in --destination belongs to a shortcut or a file: open the folder itself, and take the last part of its address"
        }
        "myDriveHierarchyDepthLimitExceeded" | "teamDriveHierarchyTooDeep" => {
            "the folder lies below more folders than Drive allows (100): move it up, or use another one"
        }
        "activeItemCreationLimitExceeded" => {
            "the account owns as many items as Drive allows: remove files that nobody needs, empty the trash, or use \
             another account"
        }
        "teamDriveFileLimitExceeded" | "numChildrenInNonRootLimitExceeded" => {
            "the shared drive or folder has reached its limit of items: remove old files and empty the trash, or use \
             another folder"
        }
        "accessNotConfigured" | "SERVICE_DISABLED" if after_lost_project(message).is_none() => {
            "enable the Google Drive API in the Google Cloud console, in the project that these credentials belong to, and \
             wait some minutes"
        }
        "CONSUMER_SUSPENDED" => SUSPENDED_PROJECT,
        "CONSUMER_INVALID" | "USER_PROJECT_DENIED" => DELETED_PROJECT,
        _ => return after_lost_project(message).map(str::to_owned),
    };
    Some(fixed.to_owned())
}

const DELETED_PROJECT: &str = "the Google Cloud project of these credentials was deleted: restore it in the console (possible for 30 \
    days), or make credentials in another project";

const SUSPENDED_PROJECT: &str = "the Google Cloud project of these credentials is suspended: its owner finds the cause in the console \
    (billing, terms of service) and appeals there, or makes credentials in another project";

/// After a message about the project of the credentials. Google has no reason of its own for `Project #123 has been
/// deleted.`, `Project 123 has been scheduled for deletion`, `Project not found or deleted` and `Consumer 'project_number:123'
/// has been suspended.`
pub(super) fn after_lost_project(message: &str) -> Option<&'static str> {
    let message = message.to_ascii_lowercase();
    let says = |word: &str| message.contains(word);
    match says("project") || says("consumer") {
        true if says("suspended") => Some(SUSPENDED_PROJECT),
        true if says("deleted") || says("deletion") => Some(DELETED_PROJECT),
        true | false => None,
    }
}

/// After a 404 to an upload into a folder that this account may see and add files to.
pub(super) fn after_refused_folder(identity: &Identity) -> String {
    format!(
        "wait for `batch-export retry`: somebody may be moving or sharing the folder just now; if Drive repeats this, check that \
         {identity} may add files there (Editor, or Content manager of the shared drive), or use another folder"
    )
}

fn after_full_storage(message: &str, identity: &Identity) -> String {
    let said_so = message.to_ascii_lowercase().contains("service account");
    match identity {
        Identity::ServiceAccount { .. } if said_so => SERVICE_ACCOUNT_STORAGE.to_owned(),
        Identity::ServiceAccount { .. } => {
            format!("in a shared drive, free storage of its organization; elsewhere {SERVICE_ACCOUNT_STORAGE}")
        }
        Identity::Delegated { .. } | Identity::Consent => {
            format!(
                "the storage of {identity}, or of its organization, is full: free some (the trash counts), or buy more"
            )
        }
    }
}

/// After Drive refused a token whose scope is too small.
pub(super) fn after_small_scope(identity: &Identity) -> &'static str {
    match identity {
        Identity::Consent => {
            "the consent covers too little: run `batch-export auth --client FILE` again and grant access to all of Drive (a folder made by \
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
        Identity::Consent => "the consent was probably withdrawn: run `batch-export auth --client FILE` again",
        Identity::ServiceAccount { .. } | Identity::Delegated { .. } => {
            "check that the service account and its key are enabled, and that --drive-url is the API that issued the token"
        }
    }
}

/// After a token was refused with an error code of RFC 6749 or of Google; `None` when the failure may be temporary.
pub(super) fn after_token_refusal(error: &str, description: &str, identity: &Identity) -> Option<String> {
    let about = description.to_ascii_lowercase();
    let consent = *identity == Identity::Consent;
    let fixed = match error {
        "invalid_grant" if about.contains("short-lived") || about.contains("iat and exp") => {
            "this machine's clock is probably wrong: check it, and its synchronization"
        }
        "invalid_grant" if about.contains("rapt") || about.contains("reauth") => {
            "the session control of this Google Workspace domain ended the consent, and will end every new one: ask its \
             administrator to trust this application (Admin console > Security > Access and data control > Google Cloud session \
             control), or use a service account"
        }
        "invalid_grant" if consent => {
            "the consent has expired or was withdrawn: run `batch-export auth --client FILE` again (while the consent screen is in \
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
            "the OAuth client may not use a refresh token: create one of the type \"Desktop app\" and run \
             `batch-export auth --client FILE` with its JSON file"
        }
        "unauthorized_client" | "access_denied" => {
            "a Workspace administrator has to allow the service account's client id the scope \
             https://www.googleapis.com/auth/drive (Admin console > Security > API controls > Domain-wide delegation)"
        }
        "invalid_client" | "deleted_client" | "disabled_client" if !consent => {
            "Google does not know the client of this key: check in the Google Cloud console that the service account and its \
             project exist and are enabled, and create a new JSON key"
        }
        "restricted_client" if !consent => {
            "a policy of the Google Workspace domain keeps this service account from the scope \
             https://www.googleapis.com/auth/drive: ask the domain's administrator to trust its client id (Admin console > \
             Security > Access and data control > API controls)"
        }
        "invalid_client" | "deleted_client" | "disabled_client" => {
            "the OAuth client was deleted or its secret replaced: create one in the Google Cloud console and run \
             `batch-export auth --client FILE` with its JSON file"
        }
        "restricted_client" => {
            "this OAuth client may not ask for all of Drive: add the scope https://www.googleapis.com/auth/drive to its consent \
             screen (Google Cloud console > Google Auth Platform > Data access), then run `batch-export auth --client FILE` again"
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
