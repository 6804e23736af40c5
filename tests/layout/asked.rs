//! A layout that asks every due entry for something in vain: one failure that names the layout, and not one per entry.

use mongodb::bson::doc;

use batch_export::layout::parse;

use super::fields::TestEntry;
use super::{options, write};
use crate::support::command::{BatchExport, told};
use crate::support::day::Day;
use crate::support::seed::{DATE, Entry, seed};

/// A layout file with one column for departments.
fn own(column: &str) -> (tempfile::TempDir, String) {
    let text = format!(
        "name = \"own\"\n[[columns]]\nheader = \"Entry\"\nvalue = \"entry-id\"\n[[columns]]\nheader = \"Department\"\n{column}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// So many entries of a department.
fn seeded(count: u32) -> Day {
    let day = Day::in_directory();
    let of = |n| Entry::numbered(DATE, n).set("metadata", doc! { "department": "D-7" });
    seed(&day.db, &(0..count).map(of).collect::<Vec<_>>());
    day
}

#[test]
fn a_path_with_a_typing_error_is_told_as_the_fault_of_the_layout() {
    let day = seeded(3);
    let (_folder, path) = own("field = \"metadata.departmnt\"");
    let says = format!(
        "all 3 due entries lack what the layout own ({path}) asks for: column \"Department\": metadata.departmnt is missing"
    );
    let next =
        format!("check the path of the field, or give the column `empty = \"...\"` in {path}; or correct the entries");
    for dry in [&["--dry-run"][..], &[]] {
        let refused = day.run().args(&["--format", &path]).args(dry).run().expect_code(32).json();
        let error = &refused["error"];
        assert_eq!((error["message"].as_str(), error["next"].as_str()), (Some(&*says), Some(&*next)), "{refused}");
        assert_eq!(refused["invalid"].as_array().map(Vec::len), Some(3));
    }
    assert_eq!((day.rows_with_status("queued"), day.live_files().len()), (3, 0));
    let shown = day.run().args(&["--dry-run", "--format", &path, "--output", "text"]).run().expect_code(32).stdout;
    assert!(shown.contains(&says) && shown.contains(&next), "{shown}");
    assert_eq!(shown.matches("metadata.departmnt").count(), 1, "no complaint about each entry: {shown}");
    let (_folder, path) = own("field = \"metadata.department\"");
    let retried = day.retry().args(&["--format", &path]).run().expect_code(0);
    assert_eq!(retried.json()["batches"][0]["entries"], 3);
    assert!(retried.stderr.contains("the entries, the layout or the settings were corrected"), "{}", retried.stderr);
}

/// The other way, `--invalid hold`, would close the day with an empty file and fail every row.
#[test]
fn a_batch_that_is_exhausted_by_a_layout_waits_for_a_better_layout_and_for_nothing_else() {
    let day = seeded(2);
    let (_folder, path) = own("field = \"metadata.departmnt\"");
    day.run().args(&["--format", &path]).run().expect_code(32);
    let retry = || day.retry().args(&["--format", &path]).run().json()["batches"][0]["error"].clone();
    let mut told_last = String::new();
    for _ in 0..3 {
        day.let_time_pass();
        told_last = told(&retry());
    }
    let status = day.command("status").arg("--check").run().expect_code(34).stdout;
    for text in [told_last, told(&retry()), status] {
        assert!(text.contains("check the path of the field") && text.contains("`batch-export retry` then"), "{text}");
        assert!(!text.contains("unlock") && !text.contains("--invalid hold"), "{text}");
    }
    let (_folder, path) = own("field = \"metadata.department\"");
    day.retry().args(&["--format", &path]).run().expect_code(0);
    assert_eq!(day.rows_with_status("completed"), 2);
}

#[test]
fn held_entries_are_held_also_when_the_layout_is_at_fault_and_the_log_names_it() {
    let day = seeded(2);
    let (_folder, path) = own("field = \"metadata.departmnt\"");
    let run = day.run().args(&["--format", &path, "--invalid", "hold"]).run().expect_code(0);
    let held = run.json();
    assert_eq!((held["entries"].as_u64(), held["held"].as_array().map(Vec::len)), (Some(0), Some(2)), "{held}");
    assert!(run.stderr.contains("all 2 due entries lack what the layout own"), "{}", run.stderr);
}

/// Nothing is refused: the field may be one that is rarely filled.
#[test]
fn a_typing_error_in_the_path_of_a_column_with_an_empty_is_told_by_the_run_and_by_doctor() {
    let day = seeded(3);
    let (_one, wrong) = own("field = \"metadata.departmnet\"\nempty = \"-\"");
    let (_other, right) = own("field = \"metadata.department\"\nempty = \"-\"");
    let (_third, constant) = own("value = \"constant\"\ntext = \"\"");
    let told = format!(
        "all 3 due entries lack the field of a column of the layout own ({wrong}), so the column stays as its `empty` says: \
         column \"Department\": metadata.departmnet"
    );
    let next = format!(
        "check the path of the field in {wrong}; write a column that is always the same with `value = \"constant\"`"
    );
    let dry = |format: &str| day.run().args(&["--dry-run", "--format", format]).run().expect_code(0).stderr;
    let shown = dry(&wrong).replace("\\\"", "\"");
    assert!(shown.contains(&told) && shown.contains(&next), "{shown}");
    for fine in [&*right, &constant, "journal"] {
        assert!(!dry(fine).contains("due entries lack"), "{fine}");
    }
    let due = |format: &str| {
        let found =
            day.command("doctor").now(&chrono::Utc::now().to_rfc3339()).args(&["--format", format]).run().json();
        let due = |check: &&serde_json::Value| check["name"] == "due entries";
        found["checks"].as_array().unwrap().iter().find(due).unwrap().clone()
    };
    let warned = due(&wrong);
    assert_eq!((warned["verdict"].as_str(), warned["found"].as_str()), (Some("warning"), Some(&*told)), "{warned}");
    assert!(warned["fix"].as_str().unwrap().starts_with(&next), "{warned}");
    assert_eq!((&due(&right)["verdict"], &due(&constant)["verdict"]), (&"ok".into(), &"ok".into()));
    // One entry has it.
    let floor = doc! { "$set": { "metadata.departmnet": "D-8" } };
    day.db.update_one("journalentries", doc! { "_id": Entry::numbered(DATE, 1).id() }, floor);
    assert!(!dry(&wrong).contains("due entries lack"));
    let emptied = doc! { "$set": { "metadata.departmnet": " " } };
    day.db.update_one("journalentries", doc! { "_id": Entry::numbered(DATE, 1).id() }, emptied);
    let run = day.run().args(&["--format", &wrong]).run().expect_code(0);
    assert!(run.stderr.replace("\\\"", "\"").contains(&told), "{}", run.stderr);
    assert!(String::from_utf8_lossy(&day.live_files()[0].bytes).ends_with(",-\r\n"));
}

/// `retry` looks every few minutes whether the entries are corrected.
#[test]
fn a_field_that_no_entry_has_is_told_by_each_run_and_not_by_each_look_of_retry() {
    let day = seeded(2);
    let entry = doc! { "_id": Entry::numbered(DATE, 1).id() };
    day.db.update_one("journalentries", entry.clone(), doc! { "$set": { "amount": 0.5 } });
    let (_folder, file) = own("field = \"metadata.departmnet\"\nempty = \"\"");
    let told = |ended: &str| ended.matches("all 2 due entries lack the field").count();
    let run = day.run().args(&["--format", &file]).run().expect_code(32);
    let look = day.retry().args(&["--format", &file]).run();
    assert_eq!((told(&run.stderr), told(&look.stderr)), (1, 0), "{}", look.stderr);
    day.db.update_one("journalentries", entry, doc! { "$set": { "amount": 5 } });
    let retried = day.retry().args(&["--format", &file]).run().expect_code(0);
    assert_eq!(told(&retried.stderr), 1, "{}", retried.stderr);
}

#[test]
fn a_path_into_a_list_is_told_by_the_check_and_by_the_run() {
    let check = |path: &str| {
        let (_folder, file) = own(&format!("field = \"{path}\"\nempty = \"\""));
        let found =
            BatchExport::command("layout").args(&["check", &file, "--output", "json"]).run().expect_code(0).json();
        let text = BatchExport::command("layout").args(&["check", &file]).run().expect_code(0).stdout;
        let warnings: Vec<String> = serde_json::from_value(found["warnings"].clone()).unwrap();
        assert!(warnings.iter().all(|warning| text.contains(&format!("warning: {warning}\n"))), "{text}");
        warnings.join("\n")
    };
    for (path, says) in [
        (
            "metadata.items.0.sku",
            "column \"Department\": 0 in the path \"metadata.items.0.sku\" can only be the name of a field, because the elements of a \
             list cannot be read",
        ),
        (
            "metadata.items[0]",
            "the path \"metadata.items[0]\" has [; a path is field names joined by points, and nothing in it is calculated",
        ),
        ("amount / 100", "the path \"amount / 100\" has /"),
        ("{{department}}", "the path \"{{department}}\" has {"),
        ("metadata/department", "has /"),
        ("metadata.depart\u{200b}ment", "has U+200B ZERO WIDTH SPACE after \"adata.depart\", which nobody sees"),
    ] {
        assert!(check(path).contains(says), "{}", check(path));
    }
    for path in ["metadata.department", "metadata.cost centre", "metadata.แผนก-1", "metadata.q1_2026"] {
        assert_eq!(check(path), "");
    }
    let day = seeded(2);
    let entry = |n| doc! { "_id": Entry::numbered(DATE, n).id() };
    day.db.update_one("journalentries", entry(0), doc! { "$set": { "metadata": [{ "department": "D-7" }] } });
    day.db.update_one("journalentries", entry(1), doc! { "$set": { "metadata": [] } });
    let (_folder, file) = own("field = \"metadata.department\"");
    let refused = day.run().args(&["--format", &file]).run().expect_code(32).json();
    let reasons: Vec<&str> =
        refused["invalid"].as_array().unwrap().iter().map(|invalid| invalid["reason"].as_str().unwrap()).collect();
    assert_eq!(
        reasons,
        [
            "metadata.department is not text but something inside a list, and the elements of lists cannot be read",
            "metadata.department is missing"
        ]
    );
}

/// The application stores some departments as numbers.
#[test]
fn a_text_or_a_code_may_be_stored_as_a_whole_number() {
    let stored: [(mongodb::bson::Bson, &str); 4] = [
        ("D-7".into(), "D-7"),
        (100.into(), "100"),
        (mongodb::bson::Bson::Double(100.0), "100"),
        (mongodb::bson::Bson::Int64(-7), "-7"),
    ];
    for kind in ["code", "text"] {
        let day = Day::in_directory();
        let entry = |(n, (value, _)): (u32, &(mongodb::bson::Bson, &str))| {
            Entry::numbered(DATE, n).set("metadata", doc! { "department": value.clone() })
        };
        seed(&day.db, &(0..).zip(&stored).map(entry).collect::<Vec<_>>());
        let (_folder, file) = own(&format!("field = \"metadata.department\"\nkind = \"{kind}\""));
        day.run().args(&["--format", &file]).run().expect_code(0);
        let bytes = day.live_files().remove(0).bytes;
        let cells: Vec<String> = String::from_utf8(bytes)
            .unwrap()
            .lines()
            .skip(1)
            .map(|line| line.split_once(',').unwrap().1.to_owned())
            .collect();
        assert_eq!(cells, stored.each_ref().map(|(_, cell)| (*cell).to_owned()), "{kind}");
    }
    let day = Day::in_directory();
    seed(&day.db, &[Entry::numbered(DATE, 0).set("metadata", doc! { "department": 1.5 })]);
    let (_folder, file) = own("field = \"metadata.department\"\nkind = \"code\"");
    let refused = day.run().args(&["--format", &file]).run().expect_code(32).json();
    assert!(
        told(&refused["error"])
            .contains("metadata.department is a number; a text or a code takes a whole one up to 2^53, and text"),
        "{refused}"
    );
}

#[test]
fn characters_of_which_nothing_else_is_left_are_counted_as_dropped() {
    let text = "name = \"own\"\nencoding = \"windows-874\"\ninvisible = \"drop\"\n[[columns]]\nheader = \"A\"\nvalue = \"description\"\nempty = \"-\"\n";
    let entries = [TestEntry::good(" \u{200b}\u{200b}"), TestEntry::good("ค่า\u{200b}เช่า"), TestEntry::good("  ")];
    let (_, tally, refused) = write(&options(&parse(text).unwrap()), &entries);
    assert_eq!((tally.dropped_characters, refused.len()), (3, 0));
}

#[test]
fn what_else_is_wrong_with_an_entry_is_still_listed() {
    let day = seeded(2);
    day.db.update_one(
        "journalentries",
        doc! { "_id": Entry::numbered(DATE, 1).id() },
        doc! { "$set": { "amount": 0.5 } },
    );
    let (_folder, path) = own("field = \"metadata.departmnt\"");
    let shown = day.run().args(&["--dry-run", "--format", &path, "--output", "text"]).run().expect_code(32).stdout;
    assert!(shown.contains("all 2 due entries lack") && shown.contains("2 not to be exported:"), "{shown}");
    assert!(shown.contains("amount 0.5 is a fraction of a satang; metadata.departmnt is missing"), "{shown}");
}

#[test]
fn what_one_entry_has_is_lacking_in_the_others() {
    let day = seeded(3);
    let with = doc! { "department": "D-7", "floor": "2" };
    day.db.update_one(
        "journalentries",
        doc! { "_id": Entry::numbered(DATE, 1).id() },
        doc! { "$set": { "metadata": with } },
    );
    let (_folder, path) = own("field = \"metadata.floor\"");
    let refused = day.run().args(&["--format", &path]).run().expect_code(32).json();
    let message = told(&refused["error"]);
    assert!(message.contains("2 entries must not be exported") && !message.contains("the layout own"), "{message}");
    let held = day.run().args(&["--now", "--format", &path, "--invalid", "hold"]).run().expect_code(0).json();
    assert_eq!((held["entries"].as_u64(), held["held"].as_array().map(Vec::len)), (Some(1), Some(2)));
}

#[test]
fn each_thing_that_a_layout_asks_for_in_vain_has_its_next_step() {
    let without = |field: &str| Entry::numbered(DATE, 0).set(field, mongodb::bson::Bson::Null);
    let (_one, kind) = own("field = \"category\"\nkind = \"date\"");
    let (_other, client) = own("value = \"client\"");
    let (_third, baht) = own("field = \"vatAmount\"\nkind = \"money\"");
    let correct = |path: &str| format!("correct the column's kind or path in {path}; or correct the entries");
    for (entry, format, says, next) in [
        (Entry::numbered(DATE, 0), &*kind, "column \"Department\": category is not a date but text", correct(&kind)),
        (
            Entry::numbered(DATE, 0).set("vatAmount", 7.5),
            &*baht,
            "column \"Department\": vatAmount is not a whole number",
            correct(&baht),
        ),
        (
            without("clientId"),
            &*client,
            "column \"Department\": clientId is missing",
            "give the column `empty".to_owned(),
        ),
        (
            without("metadata"),
            "express",
            "the layout express asks for: column \"Account\": no contra account: metadata.crAccount is empty",
            "set --contra-account; or correct the entries".to_owned(),
        ),
        (
            without("description").set("description", 7),
            "journal",
            "the layout journal asks for: column \"Description\": description is not text but a number",
            "use a layout of your own: `batch-export layout show NAME` prints".to_owned(),
        ),
    ] {
        let day = Day::in_directory();
        seed(&day.db, &[entry.kind("debit")]);
        let refused = day.run().args(&["--format", format]).run().expect_code(32).json();
        let (message, found) =
            (refused["error"]["message"].as_str().unwrap(), refused["error"]["next"].as_str().unwrap());
        assert!(
            message.starts_with("the only due entry lacks what the layout ") && message.contains(says),
            "{message}"
        );
        assert!(found.starts_with(&next), "{found}");
    }
}

#[test]
fn doctor_compares_due_entries_with_the_layout_before_the_day() {
    let day = seeded(2);
    let (_one, wrong) = own("field = \"metadata.departmnt\"");
    let (_other, right) = own("field = \"metadata.department\"");
    let doctor = |format: &str| {
        let found =
            day.command("doctor").now(&chrono::Utc::now().to_rfc3339()).args(&["--format", format]).run().json();
        let due = |check: &&serde_json::Value| check["name"] == "due entries";
        found["checks"].as_array().unwrap().iter().find(due).unwrap().clone()
    };
    let bad = doctor(&wrong);
    assert_eq!(bad["verdict"], "bad", "{bad}");
    assert!(bad["found"].as_str().unwrap().starts_with("all 2 due entries lack what the layout own ("), "{bad}");
    assert!(bad["fix"].as_str().unwrap().contains(&wrong), "{bad}");
    let ok = doctor(&right);
    assert_eq!(
        (&ok["verdict"], &ok["found"]),
        (&"ok".into(), &"compared with the layout: 2; it asks for nothing that all of them lack".into())
    );
    day.run().args(&["--format", &right]).run().expect_code(0);
    assert_eq!(doctor(&wrong)["found"], "none so far, so the layout was compared with no entry");
    assert_eq!(doctor("/nowhere/own.toml")["verdict"], "skipped");
}
