//! Makes the rows of an entry: checks its fields once, then fills the columns.
//!
//! Risk: a guessed contra account gives books that balance and are wrong. The other side of an entry is its own
//! `metadata.crAccount` (debit entries) or `metadata.drAccount` (credit entries), else `--contra-account`, else the entry is invalid.
//!
//! A generated voucher counts all entries, including those with a voucher of their own, so its number is the entry's
//! position in the file.

use chrono::{Datelike, Months, NaiveDate};

use super::cells::Cells;
use super::plan::{Content, Plan, PlannedColumn, PlannedVoucher};
use super::unmet::{Ask, Asks};
use crate::calendar::{Day, DayFinder};
use crate::entry::{Code, Core, EntryFields, Faults, Side, StoredValue, check, not_text, unlike};
use crate::layout::{BUDDHIST_OFFSET, CONTRA_PATHS, DateFormat, FieldKind, VOUCHER_PATH};
use crate::money;

/// A date before this year is a typing error.
const FIRST_YEAR: u16 = 1900;
/// Another date of an entry may be further ahead than its own: a loan runs for decades.
const FIELD_YEARS: u32 = 100;

/// Where the rows of one entry are made.
pub(super) struct EntryRows {
    pub(super) plan: Plan,
    /// With the rows of the last entry that was good.
    pub(super) cells: Cells,
    days: DayFinder,
    faults: Faults,
    pub(super) asks: Asks,
    voucher: String,
}

/// The checked fields of an entry; `None` where a field is wrong, which is then among the faults.
struct CheckedFields<'a> {
    core: Core<'a>,
    day: Option<Day>,
    contra: Contra<'a>,
    position: u64,
}

#[derive(Clone, Copy)]
enum Contra<'a> {
    Code(Code<'a>),
    /// Neither the entry nor the settings name one. With the entry's field.
    Missing(&'static str),
    /// Among the faults, or no column shows it.
    Unknown,
}

impl EntryRows {
    pub(super) fn new(plan: Plan) -> EntryRows {
        let (cells, days) = (Cells::new(&plan), DayFinder::new(plan.zone));
        let asks = Asks::of(plan.columns.len());
        EntryRows { plan, cells, days, faults: Faults::default(), asks, voucher: String::new() }
    }

    /// Makes the rows of an entry. `position` is the entry's place in the file, `row` the place of its first row, both
    /// from 1.
    pub(super) fn fill(&mut self, entry: &EntryFields<'_>, position: u64, row: u64) -> Result<(), String> {
        let EntryRows { plan, cells, days, faults, asks, voucher } = self;
        faults.clear();
        asks.next_entry();
        let core = check(entry, faults);
        let day = |date_ms| plausible_day(days, "date", date_ms, plan.business_date, (1, "a year"), faults);
        let day = core.date_ms.and_then(day);
        let own_voucher = match &plan.voucher {
            Some(planned) => own_voucher(planned, entry, faults),
            None => None,
        };
        if let (Some(planned), None) = (&plan.voucher, own_voucher) {
            generate(voucher, planned, position);
        }
        let mut fill = |core: Core<'_>| {
            cells.clear();
            let known = CheckedFields { core, day, contra: contra(plan, entry, core.side, faults), position };
            let sides = [Some(Side::Debit), Some(Side::Credit)];
            let sides = if plan.two_rows { &sides[..] } else { &[core.side][..] };
            for (line, side) in (row + plan.header_lines..).zip(sides) {
                let known = &known;
                let mut walk = Walk { plan, cells, days, faults, asks, entry, known, line, side: *side, column: 0 };
                walk.row(own_voucher, voucher);
            }
        };
        if core.side.is_none() {
            // First as if the side were known, which finds the faults of both accounts too.
            fill(Core { side: Some(likely_side(entry)), ..core });
        }
        fill(core);
        if faults.is_empty() { Ok(()) } else { Err(faults.joined()) }
    }
}

/// The side that was probably meant by a `type` that is neither.
fn likely_side(entry: &EntryFields<'_>) -> Side {
    match entry.kind() {
        StoredValue::Text(text) if text.trim().eq_ignore_ascii_case("credit") => Side::Credit,
        _ => Side::Debit,
    }
}

/// A date from 1900 on that is not more than some years after the business date.
fn plausible_day(
    days: &mut DayFinder,
    field: &str,
    date_ms: i64,
    business_date: NaiveDate,
    (years, in_words): (u32, &str),
    faults: &mut Faults,
) -> Option<Day> {
    let Some(day) = days.day(date_ms) else {
        faults.add(format!("{field} is outside the years 1 to 9999"));
        return None;
    };
    let last = business_date.checked_add_months(Months::new(12 * years)).unwrap_or(NaiveDate::MAX);
    let later =
        (i32::from(day.year), u32::from(day.month), u32::from(day.day)) > (last.year(), last.month(), last.day());
    let wrong = match day.year {
        ..FIRST_YEAR => format!("is before {FIRST_YEAR}"),
        _ if later => format!("is more than {in_words} after the business date {business_date}"),
        _ => return Some(day),
    };
    let iso = |day: Day| String::from_utf8_lossy(DateFormat::ISO.write(day).as_bytes()).into_owned();
    let meant = match day.year {
        ..FIRST_YEAR => Day { year: day.year + BUDDHIST_OFFSET, ..day },
        _ => Day { year: day.year - BUDDHIST_OFFSET.min(day.year - 1), ..day },
    };
    let near = (i32::from(meant.year) - business_date.year()).abs() <= 100;
    let hint = if near { format!(" (a Buddhist year? {})", iso(meant)) } else { String::new() };
    faults.add(format!("{field} {} {wrong}{hint}", iso(day)));
    None
}

fn contra<'a>(plan: &'a Plan, entry: &EntryFields<'a>, side: Option<Side>, faults: &mut Faults) -> Contra<'a> {
    let (Some(slots), Some(side)) = (plan.contra, side) else { return Contra::Unknown };
    let index = usize::from(side == Side::Credit);
    let field = CONTRA_PATHS[index];
    let own = match entry.values[slots[index]] {
        StoredValue::Text(text) => Code::trim(field, text),
        StoredValue::Missing => None,
        other => {
            faults.add(not_text(field, other));
            return Contra::Unknown;
        }
    };
    let general = || plan.contra_account.as_deref().and_then(|text| Code::trim("--contra-account", text));
    match own.or_else(general) {
        None => Contra::Missing(field),
        Some(code) => Contra::Code(code.checked(faults)),
    }
}

/// `None` when the entry has no voucher of its own.
fn own_voucher<'a>(planned: &PlannedVoucher, entry: &EntryFields<'a>, faults: &mut Faults) -> Option<Code<'a>> {
    let code = match entry.values[planned.slot] {
        StoredValue::Text(text) => Code::trim(VOUCHER_PATH, text)?,
        StoredValue::Missing => return None,
        other => {
            faults.add(not_text(VOUCHER_PATH, other));
            return None;
        }
    };
    let code = code.checked(faults);
    if is_generated(&planned.prefix, code.text) {
        let reason = "has the form of a generated voucher, with which it could be taken for another entry's";
        faults.add(format!("{VOUCHER_PATH} {} {reason}", code.text));
    }
    Some(code)
}

/// Whether a voucher looks like `JV-260118-00001`.
fn is_generated(prefix: &str, voucher: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = voucher.strip_prefix(prefix).and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(date, number)| date.len() == 6 && digits(date) && number.len() >= 5 && digits(number))
}

/// `JV-260118-00001`; from 100,000 on the number has more digits.
fn generate(voucher: &mut String, planned: &PlannedVoucher, position: u64) {
    use std::fmt::Write;
    voucher.clear();
    voucher.push_str(&planned.stem);
    // Writing to a String cannot fail.
    let _ = write!(voucher, "{position:05}");
}

/// A walk over the columns of one row.
struct Walk<'s, 'e> {
    plan: &'s Plan,
    cells: &'s mut Cells,
    days: &'s mut DayFinder,
    faults: &'s mut Faults,
    asks: &'s mut Asks,
    entry: &'s EntryFields<'e>,
    known: &'s CheckedFields<'s>,
    line: u64,
    /// `None` when the entry's own is not known.
    side: Option<Side>,
    column: usize,
}

impl Walk<'_, '_> {
    fn row(&mut self, own_voucher: Option<Code<'_>>, generated: &str) {
        let amount = self.known.core.amount_satang.unwrap_or_default();
        let (debit, credit) = match self.side {
            Some(Side::Credit) => (0, amount),
            Some(Side::Debit) | None => (amount, 0),
        };
        self.cells.begin(debit, credit);
        let repeats = self.faults.is_empty() && self.cells.can_repeat();
        for (number, column) in self.plan.columns.iter().enumerate() {
            self.column = number;
            if repeats && !column.content.is_of_row() {
                self.cells.repeat(number);
                continue;
            }
            match (&column.content, own_voucher) {
                (Content::Voucher, Some(code)) => self.cells.code(column, code, self.faults),
                (Content::Voucher, None) => self.cells.plain(column, generated.as_bytes(), self.faults),
                _ => self.cell(column),
            }
            if !self.faults.is_empty() {
                self.cells.fill_up(number);
            }
        }
    }

    fn cell(&mut self, column: &PlannedColumn) {
        let Walk { cells, faults, known, .. } = self;
        let is_debit = self.side != Some(Side::Credit);
        let amount = known.core.amount_satang.unwrap_or_default();
        match &column.content {
            // Among the faults.
            Content::Side(_) | Content::Debit(_) | Content::Credit(_) | Content::SignedAmount
                if self.side.is_none() => {}
            Content::Amount | Content::SignedAmount if known.core.amount_satang.is_none() => {}
            Content::Debit(_) if is_debit && known.core.amount_satang.is_none() => {}
            Content::Credit(_) if !is_debit && known.core.amount_satang.is_none() => {}
            Content::EntryId => cells.plain(column, &self.entry.id.hex(), faults),
            Content::Line => cells.number(column, self.line, faults),
            Content::Position => cells.number(column, known.position, faults),
            Content::Date(format) => {
                if let Some(day) = known.day {
                    cells.plain(column, format.write(day).as_bytes(), faults);
                }
            }
            Content::Ascii(bytes) => cells.plain(column, bytes, faults),
            Content::Fixed(bytes) => cells.own(bytes),
            Content::Side(words) => cells.own(&words[usize::from(!is_debit)]),
            Content::Voucher => {}
            Content::Account => self.account(column, true),
            Content::ContraAccount => self.account(column, false),
            Content::Debit(_) if is_debit => cells.money(column, amount, faults),
            Content::Credit(_) if !is_debit => cells.money(column, amount, faults),
            Content::Debit(unused) | Content::Credit(unused) => cells.own(unused),
            Content::Amount => cells.money(column, amount, faults),
            Content::SignedAmount => cells.money(column, if is_debit { amount } else { -amount }, faults),
            Content::Field(slot, kind) => self.field(column, *slot, *kind),
        }
    }

    /// The account of this row, or of the other side.
    fn account(&mut self, column: &PlannedColumn, of_this_row: bool) {
        let own_side = self.side == self.known.core.side;
        if of_this_row == own_side {
            if let Some(code) = self.known.core.account {
                self.cells.code(column, code, self.faults);
            }
            return;
        }
        match (self.known.contra, &column.empty) {
            (Contra::Code(code), _) => self.cells.code(column, code, self.faults),
            (Contra::Missing(_), Some(empty)) => self.cells.own(empty),
            (Contra::Missing(field), None) => {
                let reason = format!("no contra account: {field} is empty and --contra-account is not set");
                self.lacks(Ask::ContraAccount, reason);
            }
            (Contra::Unknown, _) => {}
        }
    }

    /// A cell of one of the entry's fields.
    fn field(&mut self, column: &PlannedColumn, slot: usize, kind: FieldKind) {
        let Walk { cells, days, faults, .. } = self;
        let name = &column.name;
        let stored = self.entry.values[slot];
        let whole = || format!("{name} is not a whole number up to 2^53");
        let number_as_text = || format!("{name} is a number; a text or a code takes a whole one up to 2^53, and text");
        let reason = match (kind, stored) {
            (_, StoredValue::Missing) => return self.missing(column),
            (_, StoredValue::Text(text)) if cells.is_blank(text) => {
                if kind == FieldKind::Text && column.empty.is_some() {
                    cells.count_dropped(text);
                }
                return self.missing(column);
            }
            (FieldKind::Text, StoredValue::Text(text)) => return cells.text(column, text, faults),
            (FieldKind::Code, StoredValue::Text(text)) => {
                return match Code::trim(name, text) {
                    Some(code) => cells.code(column, code.checked(faults), faults),
                    None => self.missing(column),
                };
            }
            (FieldKind::Text | FieldKind::Code, StoredValue::Id(id)) => {
                return cells.plain(column, &id.hex(), faults);
            }
            (FieldKind::Text | FieldKind::Code, StoredValue::Number(number)) if column.takes_numbers => {
                match money::whole_number(number) {
                    Some(number) => return cells.number(column, number, faults),
                    None => number_as_text(),
                }
            }
            (FieldKind::Date(format), StoredValue::Date(date_ms)) => {
                let latest = (FIELD_YEARS, "a hundred years");
                if let Some(day) = plausible_day(days, name, date_ms, self.plan.business_date, latest, faults) {
                    cells.plain(column, format.write(day).as_bytes(), faults);
                }
                return;
            }
            (FieldKind::Integer | FieldKind::Money, StoredValue::Number(number)) => match money::whole_number(number) {
                Some(satang) if kind == FieldKind::Money => return cells.money(column, satang, faults),
                Some(number) => return cells.number(column, number, faults),
                None => whole(),
            },
            (FieldKind::Date(_), other) => unlike(name, "a date", other),
            (FieldKind::Integer | FieldKind::Money, other) => unlike(name, "a number", other),
            (FieldKind::Text | FieldKind::Code, other) => unlike(name, "text", other),
        };
        self.lacks(Ask::Kind, reason);
    }

    fn missing(&mut self, column: &PlannedColumn) {
        match &column.empty {
            Some(empty) => {
                self.asks.go_without(self.column);
                self.cells.own(empty);
            }
            None => self.lacks(Ask::Field, format!("{} is missing", column.name)),
        }
    }

    /// A fault of the entry, or of the layout when every entry has it.
    fn lacks(&mut self, ask: Ask, reason: String) {
        self.asks.add(self.column, ask, &reason);
        self.faults.add(reason);
    }
}
