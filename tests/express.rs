//! The `express` file through the real binary: windows-874, two rows per entry, no guessed contra account; the same
//! bytes on every machine.

use encoding_rs::WINDOWS_874;
use mongodb::bson::doc;

use crate::support::command::BatchExport;
use crate::support::day::{Day, FILE};
use crate::support::seed::{DATE, Entry, seed, seed_day};

fn express(day: &Day) -> BatchExport {
    day.run().env("BATCH_EXPORT_FORMAT", "express")
}

fn decoded(day: &Day) -> String {
    let bytes = std::fs::read(day.directory().join(FILE)).unwrap();
    let (text, malformed) = WINDOWS_874.decode_without_bom_handling(&bytes);
    assert!(!malformed);
    text.into_owned()
}

#[test]
fn each_entry_is_two_rows_in_windows_874_debit_first() {
    let day = Day::in_directory();
    let metadata = doc! { "crAccount": "2101-00", "drAccount": "1101-00", "voucherNo": "PV-7" };
    seed(
        &day.db,
        &[
            Entry::numbered(DATE, 0)
                .amount(123_450)
                .kind("debit")
                .set("description", "ค่าเช่า, \"สำนักงาน\"")
                .set("metadata", metadata),
            Entry::numbered(DATE, 1)
                .amount(5)
                .kind("credit")
                .set("accountCode", "4101-01")
                .set("description", "รับเงิน")
                .set("metadata", doc! {}),
        ],
    );
    let command = express(&day).env("BATCH_EXPORT_CONTRA_ACCOUNT", "1102-00");
    let result = command.run().expect_code(0).json();
    let expected = "Date,Voucher No,Account,Debit,Credit,Description\r\n\
                    18/01/2026,PV-7,1101-00,1234.50,0.00,\"ค่าเช่า, \"\"สำนักงาน\"\"\"\r\n\
                    18/01/2026,PV-7,2101-00,0.00,1234.50,\"ค่าเช่า, \"\"สำนักงาน\"\"\"\r\n\
                    18/01/2026,JV-260118-00002,1102-00,0.05,0.00,รับเงิน\r\n\
                    18/01/2026,JV-260118-00002,4101-01,0.00,0.05,รับเงิน\r\n";
    assert_eq!(decoded(&day), expected);
    assert_eq!((result["entries"].as_u64(), result["rows"].as_u64()), (Some(2), Some(4)));
    assert_eq!((result["total_debit"].as_str(), result["total_credit"].as_str()), (Some("1234.55"), Some("1234.55")));
}

#[test]
fn an_entry_without_a_contra_account_or_with_text_that_the_encoding_lacks_stops_the_batch() {
    let day = Day::in_directory();
    let bare = Entry::numbered(DATE, 0).set("metadata", doc! { "crAccount": " " });
    let smiling = Entry::numbered(DATE, 1).set("description", "ค่าเช่า 😀");
    let seeded = seed(&day.db, &[bare.clone(), smiling.clone(), Entry::numbered(DATE, 2)]);
    let result = express(&day).run().expect_code(32).json();
    let reason = |entry: &Entry| {
        let refused = result["invalid"].as_array().unwrap();
        let found = refused.iter().find(|found| found["entry_id"] == entry.id().to_hex());
        found.unwrap_or_else(|| panic!("{result}"))["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(result["invalid"].as_array().unwrap().len(), 2);
    assert!(reason(&bare).contains("--contra-account"), "{}", reason(&bare));
    assert!(reason(&smiling).contains("U+1F600"), "{}", reason(&smiling));
    assert!(day.live_files().is_empty());
    assert_eq!(day.rows_with_status("queued"), seeded.rows.len() as u64);
}

#[test]
fn an_account_that_is_stored_as_a_number_is_refused_and_never_replaced_by_the_general_one() {
    let day = Day::in_directory();
    let number = Entry::numbered(DATE, 0).set("metadata", doc! { "crAccount": 2100, "drAccount": 1100 });
    let voucher = Entry::numbered(DATE, 1).set("metadata", doc! { "crAccount": "2100", "voucherNo": 7 });
    let described = Entry::numbered(DATE, 2).set("description", 5);
    seed(&day.db, &[number, voucher, described]);
    let result = express(&day).env("BATCH_EXPORT_CONTRA_ACCOUNT", "9999").run().expect_code(32).json();
    let reasons: Vec<_> =
        result["invalid"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    let fields = ["metadata.crAccount", "metadata.voucherNo", "description"];
    assert_eq!(reasons, fields.map(|field| format!("{field} is not text but a number")));
    assert!(day.live_files().is_empty());
}

#[test]
fn the_bytes_depend_on_no_zone_language_or_locale_of_the_machine() {
    let mut files = Vec::new();
    let machines = [("UTC", "C"), ("America/New_York", "th_TH.UTF-8"), ("Pacific/Kiritimati", "tr_TR.ISO-8859-9")];
    for (zone, language) in machines {
        for format in ["journal", "express"] {
            let day = Day::in_directory();
            seed_day(&day.db, DATE, 40);
            let command = day.run().env("BATCH_EXPORT_FORMAT", format).env("TZ", zone);
            command.env("LANG", language).env("LC_ALL", language).run().expect_code(0);
            files.push((format, std::fs::read(day.directory().join(FILE)).unwrap()));
        }
    }
    for (format, bytes) in &files[2..] {
        let first = files.iter().find(|(first, _)| first == format).unwrap();
        assert_eq!(&first.1, bytes, "{format}");
    }
}
