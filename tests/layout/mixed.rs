//! Mixed entries without end, the same on every machine: all that the two built-in layouts have ever had to write.
//!
//! Everything follows from the entry's number. Only entries that are valid in every version: what one of them refuses has no bytes.

use batch_export::entry::StoredValue;
use batch_export::id::Id;
use batch_export::money::Number;

use super::fields::TestEntry;

/// 1 January 2026, midnight in Bangkok.
const FIRST_DAY_MS: i64 = 1_767_200_400_000;

const THAI_AND_ENGLISH: [&str; 14] = [
    "ค่าเช่าสำนักงาน เดือนมกราคม 2569",
    "Office supplies, paper and toner",
    "รับชำระค่าสินค้า INV-2569/001",
    "Bank fee \"SWIFT\" transfer",
    "ค่าไฟฟ้า, ค่าน้ำประปา",
    " leading and trailing ",
    "first line\r\nsecond line",
    "tab\there; semicolon | bar",
    "=SUM(A1:A9)",
    "+66 2 123 4567",
    "-5 % ส่วนลด",
    "@channel",
    "\tindented",
    "€5 – “quoted” … ‘as Word does’",
];
/// What windows-874 lacks.
const OTHER_SCRIPTS: [&str; 4] = ["café × 2 ½", "日本語の説明", "😀 paid", "a\u{200b}b"];
const ACCOUNTS: [&str; 6] = ["1101-00", "2101-00", "4101-01", "5302.10", "-7", "12 34"];
const VOUCHERS: [&str; 4] = ["PV-7", "ใบสำคัญ 12/2569", "JV-26011-0001", "a,b"];

/// The entry of a number; `any_script`: with characters that windows-874 lacks.
pub fn mixed(number: u32, any_script: bool) -> Mixed {
    let mut random = Random(u64::from(number) * 2 + 1);
    let mut id = [0x69, 0x6c, 0x2e, 0x10, 1, 0, 0, 0, 0, 0, 0, 0];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let satang = match random.below(4) {
        0 => 1 + random.below(99) as i64,
        1 => 100 * (1 + random.below(1_000_000) as i64),
        2 => 1 + random.below(10_000_000) as i64,
        _ => 1 + random.below(1 << 53) as i64,
    };
    let amount = match random.below(3) {
        0 => Number::Int(satang),
        1 => Number::Double(satang as f64),
        // The ordinary form of Decimal128, exponent zero.
        _ => Number::Decimal((6176_u128 << 113 | satang as u128).to_le_bytes()),
    };
    let date_ms = FIRST_DAY_MS + random.below(31 * 86_400_000) as i64 - 86_400_000 * random.below(400) as i64;
    let text = |text: Option<&'static str>| text.map_or(StoredValue::Missing, StoredValue::Text);
    let mut entry = TestEntry::good("");
    entry.id = Id(id);
    let entry = entry
        .with("amount", StoredValue::Number(amount))
        .with("date", StoredValue::Date(date_ms))
        .text("accountCode", ACCOUNTS[random.below(6) as usize]);
    let description = description(&mut random, any_script);
    let entry = entry
        .text("type", ["debit", "credit"][random.below(2) as usize])
        .with("metadata.crAccount", text([Some("2001-01"), Some("2001-02"), Some(" "), None][random.below(4) as usize]))
        .with("metadata.drAccount", text([Some("1000-00"), Some("1000-01"), Some(""), None][random.below(4) as usize]))
        .with("metadata.voucherNo", text(random.some_of(&VOUCHERS)));
    Mixed { entry, description }
}

/// An entry, and its description, which it cannot own.
pub struct Mixed {
    entry: TestEntry<'static>,
    description: Option<String>,
}

impl Mixed {
    pub fn entry(&self) -> TestEntry<'_> {
        let description = self.description.as_deref().map_or(StoredValue::Missing, StoredValue::Text);
        self.entry.clone().with("description", description)
    }
}

fn description(random: &mut Random, any_script: bool) -> Option<String> {
    match random.below(20) {
        0 => None,
        1 if any_script => random.some_of(&OTHER_SCRIPTS).map(str::to_owned),
        2 => Some(THAI_AND_ENGLISH[random.below(14) as usize].repeat(20)),
        _ => Some(format!("{} {}", THAI_AND_ENGLISH[random.below(14) as usize], random.below(1000))),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }

    /// One of them, or none.
    fn some_of(&mut self, all: &[&'static str]) -> Option<&'static str> {
        all.get(self.below(all.len() as u64 + 1) as usize).copied()
    }
}
