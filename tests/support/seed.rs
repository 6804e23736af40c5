//! Realistic data, as the application writes it: journal entries and their rows in the queue.
//!
//! Everything follows from the entry's number, so that a failing test fails again. The amounts rotate through the four types in
//! which JavaScript's numbers reach the database, the descriptions through Thai and English, with the characters that a CSV must quote.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Decimal128, Document, doc};

use super::db::TestDb;

/// The application's collections.
pub const QUEUE: &str = "exportqueues";
/// The entries that the queue's rows point to.
pub const ENTRIES: &str = "journalentries";

/// The business date that tests use unless they need several.
pub const DATE: &str = "2026-01-18";

const DESCRIPTIONS: [&str; 6] = [
    "ค่าเช่าสำนักงาน เดือนมกราคม 2569",
    "Office supplies, paper and toner",
    "รับชำระค่าสินค้า INV-2569/001",
    "Bank fee \"SWIFT\" transfer",
    "ค่าไฟฟ้า, ค่าน้ำประปา",
    "Consulting services January",
];
const ACCOUNTS: [&str; 5] = ["1101-00", "2101-00", "4101-01", "5101-00", "5302-10"];
const CONTRA_ACCOUNT: &str = "1102-00";

/// A journal entry before it is stored.
#[derive(Clone)]
pub struct Entry {
    fields: Document,
    amount_satang: i64,
}

/// What `seed_day` stored, in the order of the export: by `scheduledFor`, then `_id`.
pub struct Seeded {
    /// The `_id`s of the queue's rows.
    pub rows: Vec<ObjectId>,
    /// The `_id`s of the entries, one for each row.
    pub entries: Vec<ObjectId>,
    /// The control totals, in satang.
    pub total_debit: i64,
    /// The control totals, in satang.
    pub total_credit: i64,
}

impl Entry {
    /// The entry number `number` of a business date (as 2026-01-18), approved that day.
    pub fn numbered(date: &str, number: u32) -> Entry {
        let n = number as usize;
        let kind = if number.is_multiple_of(2) { "debit" } else { "credit" };
        let approved_at = instant(date, seconds_of_day(number));
        let entry = Entry {
            amount_satang: 0,
            fields: doc! {
                "_id": id(date, 1, number),
                "clientId": id(date, 3, number % 7),
                "date": instant(date, 0),
                "accountCode": ACCOUNTS[n % ACCOUNTS.len()],
                "description": DESCRIPTIONS[n % DESCRIPTIONS.len()],
                "amount": Bson::Null,
                "type": kind,
                "category": "general",
                "vatAmount": Bson::Int32(0),
                "metadata": {"crAccount": CONTRA_ACCOUNT, "drAccount": CONTRA_ACCOUNT, "voucherNo": format!("JV{number:06}")},
                "createdBy": "staff@example.com",
                "approvedBy": "owner@example.com",
                "status": "approved",
                "createdAt": approved_at,
                "updatedAt": approved_at,
            },
        };
        let satang = 100 + i64::from(number) * 7_919 % 10_000_000;
        let entry = match number / 2 % 4 {
            0 => entry.set("amount", i32::try_from(satang).expect("a small amount")),
            1 => entry.set("amount", satang),
            2 => entry.set("amount", satang as f64),
            _ => entry.set("amount", satang.to_string().parse::<Decimal128>().expect("an integer")),
        };
        Entry { amount_satang: satang, ..entry }
    }

    /// Its `_id`.
    pub fn id(&self) -> ObjectId {
        self.fields.get_object_id("_id").expect("an entry has an ObjectId")
    }

    /// Replaces a field, whatever its type should be; for amounts see `amount`.
    pub fn set(mut self, field: &str, value: impl Into<Bson>) -> Entry {
        self.fields.insert(field, value);
        self
    }

    /// Leaves a field out.
    pub fn without(mut self, field: &str) -> Entry {
        self.fields.remove(field);
        self
    }

    /// A valid amount, as Int64.
    pub fn amount(mut self, satang: i64) -> Entry {
        self.amount_satang = satang;
        self.set("amount", satang)
    }

    /// `debit` or `credit`.
    pub fn kind(self, kind: &str) -> Entry {
        self.set("type", kind)
    }

    /// As stored in `journalentries`.
    pub fn document(&self) -> Document {
        self.fields.clone()
    }

    /// Its row in the queue, due when it was approved. Change the fields for other cases.
    pub fn row(&self) -> Document {
        let mut row_id = self.id().bytes();
        row_id[4] = 2;
        let approved_at = self.fields.get("createdAt").cloned().unwrap_or(Bson::Null);
        doc! {
            "_id": ObjectId::from_bytes(row_id),
            "entryId": self.id(),
            "exportPath": "scheduled",
            "status": "queued",
            "scheduledFor": approved_at.clone(),
            "attempts": Bson::Int32(0),
            "metadata": {"requestedBy": "owner@example.com", "source": "approval"},
            "createdAt": approved_at.clone(),
            "updatedAt": approved_at,
        }
    }
}

/// Stores `count` more entries of a business date, each with a row that is due at that date's cut-off. Also the application's index.
pub fn seed_day(db: &TestDb, date: &str, count: u32) -> Seeded {
    let first = u32::try_from(db.count(ENTRIES, doc! {})).expect("few entries");
    let entries: Vec<Entry> = (first..first + count).map(|number| Entry::numbered(date, number)).collect();
    seed(db, &entries)
}

/// Stores these entries, each with its row.
pub fn seed(db: &TestDb, entries: &[Entry]) -> Seeded {
    create_index(db);
    let mut rows: Vec<(Document, &Entry)> = entries.iter().map(|entry| (entry.row(), entry)).collect();
    rows.sort_by_key(|(row, _)| (row.get_datetime("scheduledFor").ok().copied(), row.get_object_id("_id").ok()));
    let total = |kind: &str| {
        entries
            .iter()
            .filter(|e| matches!(e.fields.get_str("type"), Ok(side) if side == kind))
            .map(|e| e.amount_satang)
            .sum::<i64>()
    };
    let seeded = Seeded {
        rows: rows.iter().map(|(row, _)| row.get_object_id("_id").expect("an ObjectId")).collect(),
        entries: rows.iter().map(|(_, entry)| entry.id()).collect(),
        total_debit: total("debit"),
        total_credit: total("credit"),
    };
    if !entries.is_empty() {
        db.insert_many(ENTRIES, entries.iter().map(Entry::document).collect());
        db.insert_many(QUEUE, rows.into_iter().map(|(row, _)| row).collect());
    }
    seeded
}

/// The index that the application has.
pub fn create_index(db: &TestDb) {
    let index = doc! {"key": {"status": 1, "scheduledFor": 1}, "name": "status_1_scheduledFor_1"};
    db.command(doc! {"createIndexes": QUEUE, "indexes": [index]});
}

/// Midnight in Bangkok of a date, plus seconds. Before 18:00 for every number below.
pub fn instant(date: &str, seconds: i64) -> DateTime {
    DateTime::parse_rfc3339_str(format!("{date}T00:00:00+07:00"))
        .map(|midnight| DateTime::from_millis(midnight.timestamp_millis() + seconds * 1_000))
        .expect("a date as 2026-01-18")
}

/// Between 08:00 and 17:50, not in the order of the numbers, and with rows that share their instant: people approve in bulk.
fn seconds_of_day(number: u32) -> i64 {
    8 * 3_600 + i64::from(number) * 7 % 60 * 600
}

/// The same on every machine: the date, what it identifies, the number.
fn id(date: &str, what: u8, number: u32) -> ObjectId {
    let day = u32::try_from(instant(date, 0).timestamp_millis() / 1_000).expect("a date after 1970");
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&day.to_be_bytes());
    bytes[4] = what;
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(bytes)
}
