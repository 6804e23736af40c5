//! `files.*`, `about` and `drives`: who sees what, what is refused, and with which words.

use super::client::{Client, send};
use crate::support::fake_drive::{
    FakeDrive, Fault, On, Operation, Planted, Role, SCOPE_DRIVE, SCOPE_DRIVE_FILE, StoredFile, Tamper, USER,
};
use serde_json::{Value, json};

fn file(client: &Client, id: &str, query: &str) -> super::client::Reply {
    client.get(&format!("/drive/v3/files/{id}?{query}"))
}

/// The ids that a `q` finds, with what else the request needs.
fn found(client: &Client, q: &str, rest: &str) -> Vec<String> {
    let q: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
    let reply = client.get(&format!("/drive/v3/files?q={q}&{rest}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let files = reply.json()["files"].as_array().cloned().unwrap_or_default();
    files.iter().map(|file| file["id"].as_str().expect("an id").to_owned()).collect()
}

const ALL: &str = "supportsAllDrives=true&includeItemsFromAllDrives=true";

#[test]
fn only_the_requested_fields_come_back() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    client.upload(&id, b"abc");
    let get = |fields: &str| file(&client, &id, &format!("supportsAllDrives=true{fields}"));
    let names = |json: Value| json.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(get("").json()).len(), 4, "kind, id, name, mimeType");
    assert_eq!(get("&fields=size,trashed").json(), json!({"trashed": false, "size": "3"}));
    assert_eq!(get("&fields=capabilities(canTrash)").json(), json!({"capabilities": {"canTrash": true}}));
    assert_eq!(
        get("&fields=capabilities/canAddChildren,id").json(),
        json!({"id": id, "capabilities": {"canAddChildren": false}})
    );
    assert!(names(get("&fields=*").json()).len() > 15);
    let link = format!("https://drive.google.com/file/d/{id}/view?usp=drivesdk");
    assert_eq!(get("&fields=webViewLink,driveId").json(), json!({"webViewLink": link, "driveId": drive.drive_id()}));
    for fields in ["sha256", "id,", "id(", "a b"] {
        assert_eq!(get(&format!("&fields={fields}")).status, 400, "{fields}");
    }
    let target = format!("/drive/v3/files/{id}?supportsAllDrives=true&alt=media");
    assert_eq!(client.get(&target).body, b"abc");
    assert_eq!(file(&client, &drive.folder(), "supportsAllDrives=true&alt=media").status, 403);
}

#[test]
fn a_shared_drive_is_404_without_supports_all_drives() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    client.upload(&id, b"abc");
    assert_eq!(file(&client, &id, "").reason(), "notFound");
    assert_eq!(file(&client, &id, "supportsAllDrives=true").status, 200);
    let metadata = json!({"name": "x", "parents": [drive.folder()]});
    assert_eq!(client.send_json("POST", "/upload/drive/v3/files?uploadType=resumable", &metadata).status, 404);
    assert_eq!(client.send_json("PATCH", &format!("/drive/v3/files/{id}"), &json!({"trashed": true})).status, 404);
    assert!(found(&client, "trashed = false", "supportsAllDrives=true").iter().all(|other| *other != id));
    assert!(found(&client, "trashed = false", ALL).contains(&id));
    assert_eq!(client.get("/drive/v3/files?includeItemsFromAllDrives=true").status, 403);
}

#[test]
fn a_list_finds_by_name_parent_trash_and_app_property() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let plant = |name: &str, change: &dyn Fn(&mut Planted)| {
        let id = drive.issue_id();
        let mut planted = drive.planted(&id, name, name.as_bytes());
        change(&mut planted);
        drive.put_file(planted);
        id
    };
    let day = plant("day.csv", &|_| {});
    let trashed = plant("day.csv", &|file| file.trashed = true);
    let elsewhere = plant("day.csv", &|file| file.parent = drive.my_drive_folder());
    let quoted = plant("it's a \\ name", &|file| drop(file.app_properties.insert("batchId".into(), "batch_1".into())));
    let foreign = plant("foreign", &|file| {
        file.ours = false;
        file.app_properties.insert("batchId".into(), "batch_1".into());
    });

    let in_folder = format!("name = 'day.csv' and '{}' in parents", drive.folder());
    assert_eq!(
        found(&client, &in_folder, ALL),
        [trashed.as_str(), day.as_str()],
        "the newest first, the trash included"
    );
    assert_eq!(found(&client, &format!("{in_folder} and trashed=false"), ALL), [day.as_str()]);
    assert_eq!(found(&client, "name='day.csv' and trashed = true", ALL), [trashed.as_str()]);
    assert_eq!(found(&client, "name = 'day.csv'", ""), [elsewhere.as_str()], "only My Drive unless asked otherwise");
    assert_eq!(found(&client, r"name = 'it\'s a \\ name'", ALL), [quoted.as_str()]);
    assert_eq!(found(&client, "appProperties has { key='batchId' and value='batch_1' }", ALL), [quoted.as_str()]);
    assert_eq!(
        found(&client, "name contains 'for' and mimeType != 'application/vnd.google-apps.folder'", ALL),
        [foreign.as_str()]
    );
    assert_eq!(
        found(&client, "mimeType = 'application/vnd.google-apps.folder' and name = 'Exports'", ALL),
        [drive.folder()]
    );
    let either = format!(
        "'{}' in parents and (name='foreign' or appProperties has {{ key='batchId' and value='batch_1' }})",
        drive.folder()
    );
    assert_eq!(found(&client, &either, ALL), [foreign.as_str(), quoted.as_str()]);
    let chain = "name = 'foreign' or name = 'none' and name = 'none'";
    assert!(found(&client, chain, ALL).is_empty(), "from left to right, without precedence");
    assert_eq!(found(&client, "not (name = 'day.csv') and mimeType = 'text/csv'", ALL), [foreign, quoted]);
    let only_drive = format!("{ALL}&corpora=drive&driveId={}", drive.drive_id());
    assert_eq!(found(&client, "name = 'day.csv'", &format!("{only_drive}&orderBy=createdTime")), [day, trashed]);
    for q in [
        "",
        "name",
        "name = day",
        "name = 'x' xor trashed = false",
        "nametrashed = true",
        "'x' in owners",
        "name = 'x",
        "(name = 'x'",
    ] {
        let q: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
        assert_eq!(client.get(&format!("/drive/v3/files?q={q}")).status, 400, "{q}");
    }
}

#[test]
fn a_list_comes_in_pages_and_may_lag() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    drive.put_file(drive.planted(&drive.issue_id(), "day.csv", b"abc"));
    let page =
        client.get(&format!("/drive/v3/files?{ALL}&pageSize=2&fields=nextPageToken,files(name)&orderBy=name")).json();
    assert_eq!((page["nextPageToken"].as_str(), page["files"].as_array().map(Vec::len)), (Some("2"), Some(2)));
    assert_eq!(client.get(&format!("/drive/v3/files?{ALL}&fields=files(sha256)")).status, 400);
    drive.plan(drive.next(Operation::List), Fault::tamper(Tamper::ChecksumsMissing));
    assert!(!client.get(&format!("/drive/v3/files?{ALL}&fields=*")).text().contains("Checksum"));
    assert_eq!(found(&client, "name = 'day.csv'", ALL).len(), 1);
    drive.let_lists_lag();
    assert!(found(&client, "name = 'day.csv'", ALL).is_empty());
}

#[test]
fn folders_refuse_as_google_does() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let refusal = |client: &Client, metadata: Value| {
        let reply = client.start(&metadata);
        (reply.status, reply.reason())
    };
    let into = |folder: String| json!({"name": "x", "parents": [folder]});
    assert_eq!(refusal(&client, into(drive.missing_folder())), (404, "notFound".into()));
    assert_eq!(refusal(&client, into(drive.read_only_folder())), (403, "insufficientParentPermissions".into()));
    assert_eq!(refusal(&client, into(drive.my_drive_folder())), (403, "storageQuotaExceeded".into()));
    assert_eq!(refusal(&client, json!({"name": "x"})), (403, "storageQuotaExceeded".into()));
    assert_eq!(refusal(&client, json!({"name": "x", "parents": ["a", "b"]})), (403, "cannotAddParent".into()));
    let folder =
        json!({"name": "x", "mimeType": "application/vnd.google-apps.folder", "parents": [drive.my_drive_folder()]});
    assert_eq!(client.send_json("POST", "/drive/v3/files", &folder).status, 200, "a folder needs no storage");
    assert!(drive.live("x").iter().all(|file: &StoredFile| file.mime_type.ends_with("folder")));

    let person = Client::sign_in_with(&drive, SCOPE_DRIVE, Some(USER));
    assert_eq!(refusal(&person, into(drive.my_drive_folder())), (200, String::new()));
    drive.fill_quota();
    assert_eq!(refusal(&person, into(drive.my_drive_folder())), (403, "storageQuotaExceeded".into()));

    let metadata = json!({"id": client.generate_id(), "name": "lost.csv", "parents": [drive.trashed_folder()]});
    let session = client.start(&metadata).header("location").expect("a session").replace(drive.url(), "");
    let stored = client.chunk(&session, b"abc", 0, 3).expect("an answer");
    assert_eq!((stored.status, &stored.json()["trashed"]), (200, &json!(true)), "accepted, and in the trash at once");
    assert!(drive.live("lost.csv").is_empty());
}

#[test]
fn ids_and_app_properties_are_checked() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let person = Client::sign_in_with(&drive, SCOPE_DRIVE, Some(USER));
    let start = |client: &Client, id: &str, properties: Value| {
        client.start(&json!({"id": id, "name": "x", "parents": [drive.folder()], "appProperties": properties})).status
    };
    assert_eq!(start(&client, "1inventedByTheClientItself00000", Value::Null), 400);
    assert_eq!(start(&client, &person.generate_id(), Value::Null), 400, "issued to another account");
    let id = client.generate_id();
    assert_eq!(start(&client, &id, json!({"k": "v".repeat(124)})), 400);
    let many: serde_json::Map<String, Value> = (0..31).map(|n| (n.to_string(), json!("v"))).collect();
    assert_eq!(start(&client, &id, Value::Object(many)), 400);
    assert_eq!(start(&client, &id, json!({"k": "v".repeat(123)})), 200);
    for bad in ["count=0", "count=1001", "space=moon", "type=shortcuts"] {
        assert_eq!(client.get(&format!("/drive/v3/files/generateIds?{bad}")).status, 400, "{bad}");
    }
    let body = [("Content-Type", "text/csv")];
    let target = "/upload/drive/v3/files?uploadType=resumable";
    assert_eq!(client.send("POST", target, &body, Some(b"{}")).expect("an answer").status, 400);
    let json = [("Content-Type", "application/json")];
    assert_eq!(client.send("POST", target, &json, Some(b"{")).expect("an answer").reason(), "parseError");
}

#[test]
fn app_properties_are_private_to_the_app() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    let metadata = json!({"id": id, "name": "x", "parents": [drive.folder()], "appProperties": {"batchId": "b"}});
    let session = client.start(&metadata).header("location").expect("a session").replace(drive.url(), "");
    client.chunk(&session, b"abc", 0, 3);
    let query = "supportsAllDrives=true&fields=appProperties";
    assert_eq!(file(&client, &id, query).json(), json!({"appProperties": {"batchId": "b"}}));
    assert_eq!(drive.files()[0].app_properties["batchId"], "b");
    assert_eq!(
        drive.requests(Operation::Start)[0].json.as_ref().expect("JSON")["appProperties"]["batchId"],
        json!("b")
    );
    let bearer = super::credentials::refreshed(&drive, &drive.authorized_user());
    assert_eq!(file(&Client { drive: &drive, bearer }, &id, query).json(), json!({}));
}

#[test]
fn drive_file_sees_only_what_the_app_made() {
    let drive = FakeDrive::start();
    let client = Client::sign_in_with(&drive, SCOPE_DRIVE_FILE, None);
    assert_eq!(file(&client, &drive.folder(), "supportsAllDrives=true").status, 404);
    assert_eq!(client.start(&json!({"name": "x", "parents": [drive.folder()]})).status, 404);
    assert_eq!(client.get(&format!("/drive/v3/drives/{}", drive.drive_id())).reason(), "insufficientPermissions");
    let person = Client::sign_in_with(&drive, SCOPE_DRIVE_FILE, Some(USER));
    let folder = json!({"name": "mine", "mimeType": "application/vnd.google-apps.folder"});
    let made = person.send_json("POST", "/drive/v3/files?fields=id", &folder).json();
    let metadata = json!({"name": "x", "parents": [made["id"]]});
    assert_eq!(person.start(&metadata).status, 200);
    let foreign = drive.planted(&drive.issue_id(), "x", b"x");
    drive.put_file(Planted { ours: false, ..foreign.clone() });
    assert_eq!(file(&client, &foreign.id, "supportsAllDrives=true").status, 404);
    drive.put_file(foreign.clone());
    assert_eq!(file(&client, &foreign.id, "supportsAllDrives=true").status, 200);
    let reader = Client::sign_in_with(&drive, "https://www.googleapis.com/auth/drive.readonly", None);
    assert_eq!(reader.start(&metadata).reason(), "insufficientPermissions");
    assert_eq!(file(&reader, &foreign.id, "supportsAllDrives=true").status, 200);
    let stranger = Client::sign_in_with(&drive, "https://www.googleapis.com/auth/calendar", None);
    assert_eq!(file(&stranger, &foreign.id, "supportsAllDrives=true").reason(), "insufficientPermissions");
}

#[test]
fn trashing_and_deleting_need_the_role() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    client.upload(&id, b"abc");
    let target = format!("/drive/v3/files/{id}?supportsAllDrives=true&fields=trashed");
    let trash = |change: Value| client.send_json("PATCH", &target, &change);
    drive.set_role(Role::Contributor);
    assert_eq!(trash(json!({"trashed": true})).reason(), "insufficientFilePermissions");
    drive.set_role(Role::ContentManager);
    assert_eq!(trash(json!({"trashed": true})).json(), json!({"trashed": true}));
    assert!(drive.live("day.csv").is_empty());
    assert_eq!(trash(json!({"trashed": false, "name": "new", "appProperties": {"k": "v"}})).status, 200);
    assert_eq!(drive.live("new").len(), 1);
    assert_eq!(trash(json!({"size": "7"})).status, 403);
    let delete = || client.send("DELETE", &target, &[], None).expect("an answer");
    assert_eq!(delete().reason(), "insufficientFilePermissions", "a content manager may only trash");
    drive.set_role(Role::Manager);
    assert_eq!((delete().status, delete().status), (204, 404));
    let again = json!({"id": id, "name": "x", "parents": [drive.folder()]});
    assert_eq!(client.start(&again).status, 409, "an id is spent for ever");
}

#[test]
fn people_trash_remove_and_hide_files() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    drive.put_file(drive.planted(&id, "day.csv", b"other bytes"));
    assert_eq!(client.start(&json!({"id": id, "name": "x", "parents": [drive.folder()]})).status, 409);
    drive.trash(&id);
    assert_eq!(file(&client, &id, "supportsAllDrives=true&fields=trashed").json(), json!({"trashed": true}));
    drive.put_file(Planted { readable: false, ..drive.planted(&id, "day.csv", b"hidden") });
    assert_eq!(file(&client, &id, "supportsAllDrives=true").status, 404);
    assert_eq!(drive.live("day.csv").len(), 1);
    drive.remove(&id);
    assert!(drive.files().is_empty());
}

#[test]
fn about_and_drives_answer_what_was_asked() {
    let drive = FakeDrive::start();
    let client = Client::sign_in_with(&drive, SCOPE_DRIVE, Some(USER));
    assert_eq!(client.get("/drive/v3/about").reason(), "required");
    let about = client.get("/drive/v3/about?fields=user/emailAddress,storageQuota(limit)").json();
    assert_eq!(about, json!({"user": {"emailAddress": USER}, "storageQuota": {"limit": "16106127360"}}));
    let shared = client.get(&format!("/drive/v3/drives/{}?fields=name,capabilities/canAddChildren", drive.drive_id()));
    assert_eq!(shared.json(), json!({"name": "Finance", "capabilities": {"canAddChildren": true}}));
    assert_eq!(client.get("/drive/v3/drives/0Another").status, 404);
    let folder =
        file(&client, &drive.folder(), "supportsAllDrives=true&fields=driveId,capabilities(canAddChildren)").json();
    assert_eq!(folder, json!({"driveId": drive.drive_id(), "capabilities": {"canAddChildren": true}}));
    assert_eq!(client.get("/drive/v2/files").status, 404);
    assert_eq!(send(&drive, "GET", "/favicon.ico", &[], None).expect("an answer").status, 404);
    drive.plan(On::nth(Operation::Unknown, 3), Fault::reset());
    assert!(client.send("PUT", "/upload/drive/v3/files/x", &[], Some(b"x")).is_none());
    assert_eq!(drive.count(Operation::Unknown), 3);
}
