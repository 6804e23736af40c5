//! `layout` through the real binary, and layouts in the settings: errors before anything is locked, and a batch that keeps its own.

use std::time::Duration;

use mongodb::bson::{Bson, doc};
use sha2::{Digest, Sha256};

use crate::support::command::{BatchExport, said, told};
use crate::support::day::{BATCHES, Day, LOG};
use crate::support::fake_drive::{Operation, Point};
use crate::support::seed::{DATE, ENTRIES, Entry, seed, seed_day};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// As the README shows it.
const OWN: &str = "name = \"own\"\ndelimiter = \";\"\ndecimal_mark = \",\"\ndate_format = \"dd/mm/bbbb\"\nending = \"txt\"\n\
    [[columns]]\nheader = \"No\"\nvalue = \"batch-number\"\n\
    [[columns]]\nheader = \"Line\"\nvalue = \"line\"\n\
    [[columns]]\nheader = \"Date\"\nvalue = \"date\"\n\
    [[columns]]\nheader = \"Account\"\nvalue = \"account\"\n\
    [[columns]]\nheader = \"Amount\"\nvalue = \"signed-amount\"\n\
    [[columns]]\nheader = \"Department\"\nfield = \"metadata.department\"\nkind = \"code\"\nempty = \"-\"\n";

fn layout(arguments: &[&str]) -> BatchExport {
    BatchExport::command("layout").args(arguments)
}

fn written(text: impl AsRef<[u8]>) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn list_names_the_built_in_layouts_and_show_prints_one_that_check_takes() {
    let list = layout(&[]).run().expect_code(0).stdout;
    assert!(list.contains("journal") && list.contains("express") && list.contains("Voucher No"), "{list}");
    for name in ["journal", "express"] {
        let shown = layout(&["show", name]).run().expect_code(0).stdout;
        assert!(shown.starts_with("# ") && shown.contains(&format!("name = \"{name}\"")), "{shown}");
        let (_folder, path) = written(&shown);
        let checked = layout(&["check", &path]).run().expect_code(0).stdout;
        assert!(checked.contains("1234.50,0.00") && checked.contains("ค่าเช่าสำนักงาน"), "{checked}");
    }
    let misspelt = layout(&["show", "jurnal", "--output", "json"]).run().expect_code(30).json();
    assert_eq!(misspelt["error"]["next"], "did you mean journal?");
    let unknown = layout(&["show", "xlsx", "--output", "json"]).run().expect_code(30).json();
    assert!(told(&unknown["error"]).contains("journal and express"), "{unknown}");
}

#[test]
fn check_shows_three_entries_as_the_file_would_have_them() {
    let (_folder, path) = written(OWN);
    let result = layout(&["check", &path, "--output", "json"]).run().expect_code(0).json();
    assert_eq!(result["outcome"], "completed");
    assert_eq!(
        result["sample"],
        "No;Line;Date;Account;Amount;Department\r\n\
         1;2;18/01/2569;5101-00;1234,50;A1\r\n\
         1;3;18/01/2569;4101-01;-1234,50;A1\r\n\
         1;4;18/01/2569;5302-10;1234,50;A1\r\n"
    );
}

#[test]
fn check_says_when_samples_cannot_be_written() {
    let column = |keys: &str| format!("name = \"own\"\n[[columns]]\nheader = \"A\"\n{keys}\n");
    for (keys, says) in [
        (
            "value = \"account\"\nmax_chars = 5",
            "It refuses each of the three sample entries:\nthe debit entry \"ค่าเช่าสำนักงาน เดือนมกราคม 2569\" is not written: accountCode has 7 characters",
        ),
        ("value = \"description\"\nmax_chars = 32", "2 of three sample entries as the file would have them:\n\nA\n"),
        ("value = \"account\"", "Three sample entries as the file would have them:\n\nA\n5101-00\n"),
    ] {
        let (_folder, path) = written(column(keys));
        let text = layout(&["check", &path]).run().expect_code(0).stdout;
        assert!(text.starts_with(&format!("{path} is the layout own. ")) && text.contains(says), "{text}");
    }
}

#[test]
fn check_shows_the_first_errors_of_very_many_to_a_person_and_all_of_them_to_a_program() {
    let (_folder, path) = written("name = \"own\"\n".to_owned() + &"[[columns]]\nvalue = \"date\"\n".repeat(53));
    let text = layout(&["check", &path]).run().expect_code(30).stdout;
    assert_eq!(text.matches("header is missing").count(), 50, "{text}");
    assert!(text.ends_with("header is missing; expected the column's name in the first line\nand 3 more; --output json has all of them\n"), "{text}");
    let result = layout(&["check", &path, "--output", "json"]).run().expect_code(30).json();
    assert_eq!(result["errors"].as_array().unwrap().len(), 53);
}

#[test]
fn check_names_what_it_was_given() {
    let result = layout(&["check", "journal", "--output", "json"]).run().expect_code(30).json();
    let said = result["error"].to_string();
    assert!(said.contains("FILE \\\"journal\\\" is not a layout file: "), "{said}");
    assert!(said.contains("`batch-export layout show NAME`") && !said.contains("--format"), "{said}");
    let key = "{\"type\": \"service_account\", \"private_key\": \"do-not-show\"}";
    let finished = layout(&["check", key, "--output", "json"]).run().expect_code(30);
    assert!(
        told(&finished.json()["error"]).starts_with("FILE is wrong: it holds the content of a key"),
        "{}",
        finished.stdout
    );
    let missing = layout(&["check", "/tmp/ไม่มีที่นี่.toml", "--output", "json"]).run().expect_code(30).json();
    assert!(told(&missing["error"]).starts_with("FILE \"/tmp/ไม่มีที่นี่.toml\" is not a layout file"), "{missing}");
}

#[test]
fn a_file_of_another_encoding_is_told_with_its_line_and_a_missing_one_as_missing() {
    let next = |ended: &serde_json::Value| ended["error"]["next"].as_str().unwrap().to_owned();
    let thai = b"name = \"own\"\n[[columns]]\nheader = \"\xc7\xd1\xb9\xb7\xd5\xe8\"\nvalue = \"date\"\n".to_vec();
    let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let save = "; save it as UTF-8: in the editor choose Save as, and UTF-8 as the encoding";
    let is_utf_16 = format!("UTF-16, not UTF-8{save}");
    let is_utf_16 = is_utf_16.as_str();
    let no_layout = "this is no layout: expected a TOML file with lines such as name = \"own\", [[columns]] and header = \"Date\"; \
                     `batch-export layout show journal` prints one to start from";
    for (bytes, line, message) in [
        (thai, 3, &*format!("not UTF-8{save}")),
        (utf_16("\u{feff}name = \"own\"\n", u16::to_le_bytes), 1, is_utf_16),
        (utf_16("name = \"own\"\n", u16::to_le_bytes), 1, is_utf_16),
        (utf_16("# ค่าเช่า\r\nname = \"own\"\r\n", u16::to_be_bytes), 1, is_utf_16),
        (b"\xff\xfe\0\0n\0\0\0".to_vec(), 1, &*format!("UTF-32, not UTF-8{save}")),
        (b"ID,Date\r\n1,\xc7\xd1\r\n".to_vec(), 1, no_layout),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec(), 1, no_layout),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), 1, "this is no layout: it is binary; expected a text, a TOML file"),
    ] {
        let (_folder, path) = written(bytes);
        let checked = layout(&["check", &path, "--output", "json"]).run().expect_code(30).json();
        assert_eq!(checked["errors"], serde_json::json!([{ "line": line, "message": message }]));
        let run = Day::in_directory().run().args(&["--format", &path]).run().expect_code(30).json();
        assert_eq!(run["error"]["message"], format!("the layout file {path} is malformed, line {line}: {message}"));
    }
    // The cut of a file that is too long splits a character.
    let (_folder, path) = written("#".to_owned() + &"ก".repeat(30_000));
    let long = layout(&["check", &path]).run().expect_code(30).stdout;
    assert!(long.contains("line 1: the file is too long; expected a layout of at most 65536 bytes"), "{long}");
    for command in [
        layout(&["check", "/nowhere/own.toml", "--output", "json"]),
        Day::in_directory().run().args(&["--format", "/nowhere/own.toml"]),
    ] {
        let ended = command.run().expect_code(30).json();
        assert!(next(&ended).starts_with("this file does not exist: check the path"), "{ended}");
        assert!(!next(&ended).contains("the path of a layout file"), "{ended}");
    }
    for (given, expected) in [
        ("jurnal", "did you mean the built-in layout journal?"),
        ("Express", "did you mean the built-in layout express?"),
        ("etc/own.toml", "and give it whole"),
    ] {
        let ended = Day::in_directory().run().args(&["--format", given]).run().expect_code(30).json();
        assert!(next(&ended).contains(expected), "{given}: {ended}");
    }
}

#[test]
fn check_says_everything_that_is_wrong_with_its_line() {
    let (_folder, path) = written(
        "name = \"own\"\ndelimeter = \";\"\nquote = \"never\"\n[[columns]]\nheader = \"A\"\nvalue = \"acount\"\n",
    );
    let result = layout(&["check", &path, "--output", "json"]).run().expect_code(30).json();
    let lines: Vec<i64> =
        result["errors"].as_array().unwrap().iter().map(|wrong| wrong["line"].as_i64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 6], "{result}");
    let text = layout(&["check", &path]).run().expect_code(30).stdout;
    assert!(text.contains(&format!("{path}, line 2: unknown key \"delimeter\"; did you mean delimiter?")), "{text}");
}

#[test]
fn a_layout_that_is_malformed_or_missing_is_a_configuration_error_before_anything_is_locked() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 2);
    let (_folder, path) = written("name = \"own\"\nquote = \"never\"\n");
    let result = day.run().args(&["--format", &path]).run().expect_code(30).json();
    let message = told(&result["error"]);
    assert!(message.contains(&path) && message.contains("line 2") || message.contains("line 1"), "{message}");
    assert!(message.contains("expected"), "{message}");
    let result = day.run().args(&["--format", "/nowhere/own.toml"]).run().expect_code(30).json();
    assert!(told(&result["error"]).contains("neither a built-in layout (journal or express)"), "{result}");
    let folder = tempfile::tempdir().unwrap();
    day.run().args(&["--format", folder.path().to_str().unwrap()]).run().expect_code(30);
    let key = "{\"type\": \"service_account\", \"private_key\": \"do-not-show\"}";
    let shown = day.run().args(&["--format", key]).run().expect_code(30);
    assert!(!shown.stdout.contains("do-not-show") && !shown.stderr.contains("do-not-show"), "{}", shown.stdout);
    assert_eq!(day.db.count(BATCHES, doc! {}), 0);
}

#[test]
fn an_own_layout_shows_any_field_and_depends_on_no_other() {
    let day = Day::in_directory();
    let entries = [
        Entry::numbered(DATE, 0).kind("debit").amount(123_450).set("metadata", doc! { "department": "D-7" }),
        Entry::numbered(DATE, 1).kind("credit").amount(5).set("description", Entry::numbered(DATE, 2).id()),
    ];
    seed(&day.db, &entries);
    let (_folder, path) = written(OWN);
    let result = day.run().args(&["--format", &path]).run().expect_code(0).json();
    let file = String::from_utf8(day.live_files().remove(0).bytes).unwrap();
    assert_eq!(
        file,
        "No;Line;Date;Account;Amount;Department\r\n\
         1;2;18/01/2569;1101-00;1234,50;D-7\r\n\
         1;3;18/01/2569;2101-00;-0,05;-\r\n",
        "a description that is no text does not matter where no column shows it"
    );
    assert_eq!((result["total_debit"].as_str(), result["total_credit"].as_str()), (Some("1234.50"), Some("0.05")));
}

#[test]
fn an_edit_between_reading_and_commit_makes_a_new_file_only_where_the_layout_shows_it() {
    let whole = || Bson::from(doc! { "department": "D-7", "floor": 1 });
    for (metadata, field, files) in [
        (whole(), "metadata.department", 2),
        (whole(), "amount", 2),
        (whole(), "description", 1),
        (whole(), "metadata.floor", 1),
        (whole(), "category", 1),
        (Bson::Undefined, "metadata.department", 2),
        (Bson::Undefined, "metadata.floor", 1),
    ] {
        let day = Day::on_drive();
        let is_absent = metadata == Bson::Undefined;
        let seeded = seed(&day.db, &[Entry::numbered(DATE, 0).amount(5).set("metadata", metadata)]);
        if is_absent {
            day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[0] }, doc! { "$unset": { "metadata": 1 } });
        }
        let (_folder, path) = written(OWN);
        let hold = day.drive().hold(day.drive().next(Operation::Chunk), Point::After);
        let run = day.run().args(&["--format", &path]).spawn();
        hold.wait_until_reached(PATIENCE);
        let value: Bson = if field == "amount" { 6.into() } else { "D-8".into() };
        day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[0] }, doc! { "$set": { field: value } });
        hold.release();
        run.wait(PATIENCE).expect_code(0);
        assert_eq!((day.drive().count(Operation::Start), day.rows_with_status("completed")), (files, 1), "{field}");
    }
}

#[test]
fn the_batch_keeps_what_decided_its_bytes_and_verify_needs_no_settings() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let (folder, path) = written(OWN);
    day.run().args(&["--format", &path, "--encoding", "utf-8-bom", "--contra-account", "9999"]).run().expect_code(0);
    let batch = day.batch();
    let settings = batch.get_document("settings").unwrap();
    let layout = settings.get_str("layout").unwrap();
    let digest: String = Sha256::digest(layout).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(settings.get_str("layoutSha256").ok(), Some(&*digest));
    assert!(layout.contains("quote = \"needed\"") && layout.contains("field = \"metadata.department\""), "{layout}");
    let text = |key: &str| settings.get_str(key).unwrap().to_owned();
    assert_eq!(
        (text("encoding"), text("timezone"), text("contraAccount"), text("invalid"), text("version")),
        ("utf-8-bom".into(), "Asia/Bangkok".into(), "9999".into(), "fail".into(), env!("CARGO_PKG_VERSION").into())
    );
    // The file of the layout is lost, and today's settings are others.
    drop(folder);
    let verify = day.command("verify").args(&["--format", "express", "--timezone", "America/New_York"]);
    let checked = verify.run().expect_code(0).json();
    assert_eq!(checked["checked"][0]["settings"], "stored", "{checked}");
    day.db.update_one(
        ENTRIES,
        doc! { "_id": Entry::numbered(DATE, 1).id() },
        doc! { "$set": { "metadata.department": "D-8" } },
    );
    let edited = day.command("verify").run().expect_code(34).json();
    assert_eq!(edited["problems"][0]["kind"], "edited", "{edited}");
}

#[test]
fn a_batch_of_an_earlier_version_goes_by_todays_settings_and_that_is_said() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let express = ["--format", "express"];
    day.run().args(&express).run().expect_code(0);
    day.db.update_one(BATCHES, doc! { "_id": "batch_2026-01-18" }, doc! { "$unset": { "settings": 1 } });
    let checked = day.command("verify").args(&express).run().expect_code(0).json();
    assert_eq!(checked["checked"][0]["settings"], "today", "{checked}");
    for command in ["verify", "corrections"] {
        let text = day.command(command).args(&express).args(&["--output", "text"]).run().expect_code(0).stdout;
        assert!(text.contains("today's were taken"), "{text}");
    }
    day.command("verify").run().expect_code(34);
    assert_eq!(day.db.count(LOG, doc! {}), 1);
}

#[test]
fn settings_that_were_touched_by_hand_are_found_by_verify() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let batch = doc! { "_id": "batch_2026-01-18" };
    let whole = day.batch().get_document("settings").unwrap().clone();
    for (damage, says) in [
        (doc! { "settings.layout": "name = 1" }, "the stored layout does not have the stored checksum"),
        (doc! { "settings.layout": 1 }, "settings.layout is missing, or not a text"),
        (doc! { "settings.contraAccount": 5 }, "settings.contraAccount is missing, or not a text"),
        (
            doc! { "settings.encoding": "utf-16" },
            "settings.encoding of the batch document is not an encoding; today's settings",
        ),
        (doc! { "settings.timezone": "Asia/Bangkog" }, "settings.timezone of the batch document is not a time zone"),
        (doc! { "settings": 7 }, "the stored settings are not a document"),
    ] {
        day.db.update_one(BATCHES, batch.clone(), doc! { "$set": { "settings": &whole } });
        day.command("verify").run().expect_code(0);
        day.db.update_one(BATCHES, batch.clone(), doc! { "$set": damage });
        let found = day.command("verify").run().expect_code(34).json();
        assert_eq!(found["problems"][0]["kind"], "settings", "{found}");
        assert!(said(&found["problems"][0]).contains(says), "{says}: {found}");
        let text = day.command("verify").args(&["--output", "text"]).run().expect_code(34).stdout;
        assert!(!text.contains("earlier version"), "{text}");
        let not_compared = day.command("corrections").run().expect_code(34).json();
        let told = said(&not_compared["problems"][0]);
        assert!(told.contains("; restore `settings` of the batch document from a backup"), "{told}");
    }
}
