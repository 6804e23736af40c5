//! Money, numbers and the chain through the real binary: exact from every number type, equal in every record, without a gap.

use batch_export::csv::recount;
use batch_export::layout::{BUILT_IN, Layout};
use mongodb::bson::{Bson, Decimal128, doc};

use crate::support::day::{BATCHES, Day, FILE};
use crate::support::fake_drive::{Answer, Fault, Operation};
use crate::support::seed::{DATE, Entry, seed, seed_day};

#[test]
fn every_number_type_of_the_database_gives_the_exact_amount() {
    let day = Day::in_directory();
    let decimal = |text: &str| text.parse::<Decimal128>().unwrap();
    let amounts: [(Bson, &str); 6] = [
        (Bson::Int32(1), "0.01"),
        (Bson::Int64(1 << 53), "90071992547409.92"),
        (Bson::Double(9_007_199_254_740_991.0), "90071992547409.91"),
        (Bson::Double(110.0), "1.10"),
        (Bson::Decimal128(decimal("2500")), "25.00"),
        (Bson::Decimal128(decimal("12E2")), "12.00"),
    ];
    let entries: Vec<Entry> =
        (0..6).map(|n| Entry::numbered(DATE, n).kind("debit").set("amount", amounts[n as usize].0.clone())).collect();
    seed(&day.db, &entries);
    let result = day.run().run().expect_code(0).json();
    let file = String::from_utf8(day.live_files().remove(0).bytes).unwrap();
    for (entry, (_, expected)) in entries.iter().zip(&amounts) {
        let line = file.lines().find(|line| line.starts_with(&entry.id().to_hex())).unwrap();
        assert!(line.contains(&format!(",{expected},0.00,")), "{line}");
    }
    assert_eq!(result["total_debit"], "180143985094857.94");
}

#[test]
fn amounts_that_are_not_exact_positive_satang_are_refused_by_name() {
    let day = Day::in_directory();
    let wrong: [Bson; 7] = [
        Bson::Double(10.5),
        Bson::Double(f64::NAN),
        Bson::Int32(0),
        Bson::Int64(-5),
        Bson::Int64((1 << 53) + 1),
        Bson::Decimal128("0.5".parse().unwrap()),
        Bson::String("100".to_owned()),
    ];
    let entries: Vec<Entry> =
        (0..7).map(|n| Entry::numbered(DATE, n).set("amount", wrong[n as usize].clone())).collect();
    seed(&day.db, &entries);
    let result = day.run().run().expect_code(32).json();
    let refused = result["invalid"].as_array().unwrap();
    assert_eq!(refused.len(), 7, "{result}");
    assert!(refused.iter().all(|entry| entry["reason"].as_str().unwrap().contains("amount")), "{result}");
}

#[test]
fn a_batch_that_must_balance_and_does_not_is_refused_with_the_difference() {
    let day = Day::in_directory();
    let (debit, credit) = (Entry::numbered(DATE, 0).kind("debit"), Entry::numbered(DATE, 1).kind("credit"));
    seed(&day.db, &[debit.amount(10_000), credit.amount(9_750)]);
    let strict = day.run().arg("--require-balanced");
    let result = strict.run().expect_code(32).json();
    let message = result["error"]["message"].as_str().unwrap();
    assert!(message.contains("100.00") && message.contains("97.50") && message.contains("2.50"), "{message}");
    assert!(day.live_files().is_empty());
    assert_eq!(day.rows_with_status("queued"), 2);
    seed(&day.db, &[Entry::numbered(DATE, 2).kind("credit").amount(250)]);
    strict.arg("--now").run().expect_code(0);
    day.check_converged();
}

#[test]
fn control_totals_are_equal_in_result_batch_log_and_a_recount_of_the_file() {
    for (name, _) in BUILT_IN {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 33);
        let result = day.run().env("BATCH_EXPORT_FORMAT", name).run().expect_code(0).json();
        let layout = Layout::built_in(name).unwrap();
        let file = std::fs::File::open(day.directory().join(FILE)).unwrap();
        let counted = recount(file, &layout, layout.encoding).unwrap().totals;
        let (debit, credit) = counted.as_int64().unwrap();
        let (batch, log) = (day.batch(), day.log().remove(0));
        let batch = batch.get_document("file").unwrap();
        let log = log.get_document("metadata").unwrap();
        for (in_batch, in_log, in_result, expected) in [
            ("entries", "entryCount", "entries", counted.entries as i64),
            ("rows", "rowCount", "rows", counted.rows as i64),
            ("totalDebit", "totalDebit", "total_debit", debit),
            ("totalCredit", "totalCredit", "total_credit", credit),
        ] {
            assert_eq!(batch.get_i64(in_batch).unwrap(), expected, "{in_batch}");
            assert_eq!(log.get_i64(in_log).unwrap(), expected, "{in_log}");
            // Baht with two decimals are satang with a point.
            let shown = result[in_result].as_str().map_or(result[in_result].to_string(), |text| text.replace('.', ""));
            assert_eq!(shown.parse::<i64>().unwrap(), expected, "{in_result}");
        }
        assert_eq!(batch.get_str("sha256").ok(), result["sha256"].as_str());
        assert_eq!(log.get_str("sha256").ok(), result["sha256"].as_str());
    }
}

#[test]
fn numbers_have_no_gap_and_the_chain_holds_whatever_fails_in_between() {
    let day = Day::on_drive();
    let on = |date: &str| day.command("run").date(date).now(&format!("{date}T18:00:05+07:00"));
    let mut numbers = Vec::new();
    for (n, date) in ["2026-01-18", "2026-01-19", "2026-01-20", "2026-01-21"].into_iter().enumerate() {
        seed_day(&day.db, date, 4);
        match n {
            1 => {
                let refused = Fault::answer(Answer::error(403, "storageQuotaExceeded"));
                day.drive().plan(day.drive().next(Operation::Start), refused);
                on(date).run().expect_code(31);
            }
            2 => {
                let data = doc! { "failCommands": ["commitTransaction"], "errorCode": 112, "errorLabels": ["TransientTransactionError"] };
                let _conflicts = day.db.fail_point("alwaysOn", data);
                assert_ne!(on(date).run().code, 0);
            }
            _ => {}
        }
        day.let_time_pass();
        numbers.push(on(date).arg("--now").run().expect_code(0).json()["number"].as_i64().unwrap());
        day.check_guarantees();
    }
    assert_eq!(numbers, [1, 2, 3, 4]);
    let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).unwrap();
    let last = day
        .log()
        .into_iter()
        .map(|log| log.get_document("metadata").unwrap().clone())
        .max_by_key(|log| log.get_i64("number").unwrap());
    assert_eq!(ledger.get_str("lastSha256").unwrap(), last.unwrap().get_str("sha256").unwrap());
    day.command("verify").run().expect_code(0);
    day.check_converged();
}
