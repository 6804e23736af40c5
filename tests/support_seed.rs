//! The data that the other tests stand on: the same every time, as the application writes it, with totals that add up.

use std::collections::BTreeSet;

use mongodb::bson::{Bson, doc};

use crate::support::db::TestDb;
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, instant, seed, seed_day};

#[test]
fn a_day_is_the_same_every_time_and_due_at_its_cutoff() {
    let (one, other) = (TestDb::new(), TestDb::new());
    let seeded = seed_day(&one, DATE, 50);
    seed_day(&other, DATE, 20);
    seed_day(&other, DATE, 30);
    for collection in [QUEUE, ENTRIES] {
        assert_eq!(one.find_all(collection, doc! {}), other.find_all(collection, doc! {}));
    }
    let due = doc! {"exportPath": "scheduled", "status": "queued", "scheduledFor": {"$lte": instant(DATE, 18 * 3_600)}};
    assert_eq!(one.count(QUEUE, due), 50);
    assert_eq!(seeded.rows.iter().collect::<BTreeSet<_>>().len(), 50);
    let first = one.find_one(QUEUE, doc! {"_id": seeded.rows[0]}).unwrap();
    assert_eq!(first.get_object_id("entryId").unwrap(), seeded.entries[0]);
}

#[test]
fn amounts_come_in_every_type_of_number_and_add_up() {
    let db = TestDb::new();
    let seeded = seed_day(&db, DATE, 40);
    let (mut debit, mut credit, mut kinds) = (0, 0, BTreeSet::new());
    for entry in db.find_all(ENTRIES, doc! {}) {
        let (kind, satang) = match entry.get("amount").unwrap() {
            Bson::Int32(n) => ("int", i64::from(*n)),
            Bson::Int64(n) => ("long", *n),
            Bson::Double(n) => ("double", *n as i64),
            Bson::Decimal128(n) => ("decimal", n.to_string().parse().unwrap()),
            other => panic!("an amount of {other}"),
        };
        let side = entry.get_str("type").unwrap();
        kinds.insert((kind, side.to_owned()));
        *if side == "debit" { &mut debit } else { &mut credit } += satang;
    }
    assert_eq!((debit, credit), (seeded.total_debit, seeded.total_credit));
    assert_eq!(kinds.len(), 8, "each type of number on each side: {kinds:?}");
}

#[test]
fn entries_can_be_made_wrong_on_purpose() {
    let db = TestDb::new();
    let entries = [
        Entry::numbered(DATE, 0).amount(12_345).kind("credit"),
        Entry::numbered(DATE, 1).without("accountCode").set("status", "draft"),
    ];
    let seeded = seed(&db, &entries);
    assert_eq!(seeded.total_credit, 12_345 + 100 + 7_919);
    let wrong = db.find_one(ENTRIES, doc! {"_id": entries[1].id()}).unwrap();
    assert!(!wrong.contains_key("accountCode") && wrong.get_str("status").unwrap() == "draft");
}

#[test]
fn ten_thousand_rows_are_stored() {
    let db = TestDb::new();
    seed_day(&db, DATE, 10_000);
    assert_eq!((db.count(QUEUE, doc! {}), db.count(ENTRIES, doc! {})), (10_000, 10_000));
}
