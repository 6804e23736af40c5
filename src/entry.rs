//! A journal entry: its fields as the database has them, and the checks that it must pass before export.
//!
//! Risk: an entry is exported half filled or with an invisible character. So a layout names the fields that it needs
//! ([`FieldList`]), only these are read, and each of them is checked. All faults of an entry are reported at once
//! ([`Faults`]), so that a person can correct them in one go.

use crate::id::Id;
use crate::layout::{Layout, characters, is_padding, quoted};
use crate::money::{self, Number};

/// The fields that decide whether an entry may be exported at all; the first slots of every [`FieldList`].
const CORE: [&str; 5] = ["status", "type", "amount", "accountCode", "date"];
const STATUS: usize = 0;
const TYPE: usize = 1;
const AMOUNT: usize = 2;
const ACCOUNT: usize = 3;
const DATE: usize = 4;

/// The reason for a queue row whose `entryId` names no entry.
pub const NO_SUCH_ENTRY: &str = "no such journal entry";

/// A field as the database has it, borrowed from its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Hash)]
pub enum StoredValue<'a> {
    /// Absent or null.
    #[default]
    Missing,
    /// A string.
    Text(&'a str),
    /// A string that is not UTF-8.
    NotUtf8,
    /// A number of any type.
    Number(Number),
    /// A Date: milliseconds since 1970 UTC.
    Date(i64),
    /// An ObjectId.
    Id(Id),
    /// Any other type, as a noun: `list`.
    Other(&'static str),
}

impl StoredValue<'_> {
    /// The type, in words for people.
    fn noun(&self) -> &'static str {
        match self {
            StoredValue::Missing => "missing",
            StoredValue::Text(_) | StoredValue::NotUtf8 => "text",
            StoredValue::Number(_) => "a number",
            StoredValue::Date(_) => "a date",
            StoredValue::Id(_) => "an ObjectId",
            StoredValue::Other(noun) => noun,
        }
    }
}

/// The fields that are read of each entry, by path. Each has a slot, its place in [`EntryFields::values`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldList {
    paths: Vec<String>,
    tree: Vec<PathNode>,
}

/// One name of the paths, and the names below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathNode {
    /// The name of a field.
    pub name: String,
    /// The slot of the path that ends here.
    pub slot: Option<usize>,
    /// The fields of the document that is stored here.
    pub below: Vec<PathNode>,
}

impl FieldList {
    /// The fields that every check needs, and the fields that a layout needs.
    pub fn of(layout: &Layout) -> FieldList {
        let mut list = FieldList { paths: Vec::new(), tree: Vec::new() };
        for path in CORE.into_iter().chain(layout.paths()) {
            if list.slot(path).is_none() {
                insert(&mut list.tree, path, list.paths.len());
                list.paths.push(path.to_owned());
            }
        }
        list
    }

    /// The slot of a path.
    pub fn slot(&self, path: &str) -> Option<usize> {
        self.paths.iter().position(|known| known == path)
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.paths.len()
    }

    /// The paths as a tree.
    pub fn tree(&self) -> &[PathNode] {
        &self.tree
    }

    /// The paths for a projection: paths below another path are left out.
    pub fn outermost(&self) -> impl Iterator<Item = &str> {
        let below = |path: &str, other: &str| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
        let paths = self.paths.iter();
        paths.filter(move |path| !self.paths.iter().any(|other| below(path, other))).map(String::as_str)
    }
}

fn insert(tree: &mut Vec<PathNode>, path: &str, slot: usize) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let index = tree.iter().position(|node| node.name == name).unwrap_or_else(|| {
        tree.push(PathNode { name: name.to_owned(), ..PathNode::default() });
        tree.len() - 1
    });
    match rest {
        Some(rest) => insert(&mut tree[index].below, rest, slot),
        None => tree[index].slot = Some(slot),
    }
}

/// An entry as the database has it.
#[derive(Clone, Debug, Default)]
pub struct EntryFields<'a> {
    /// `_id`.
    pub id: Id,
    /// By the slots of the [`FieldList`].
    pub values: Vec<StoredValue<'a>>,
}

impl EntryFields<'_> {
    /// The status as part of a sentence when the entry is not approved: `status is "draft"`.
    pub fn cancellation(&self) -> Option<String> {
        let status = self.values[STATUS];
        (status != StoredValue::Text("approved")).then(|| format!("status {}", found(status)))
    }

    /// `type`.
    pub(crate) fn kind(&self) -> StoredValue<'_> {
        self.values[TYPE]
    }

    /// Treats the entry as approved, so that a check reports its other faults.
    pub fn approve(&mut self) {
        self.values[STATUS] = StoredValue::Text("approved");
    }
}

/// The side of the ledger that an entry's own account takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `type: "debit"`.
    Debit,
    /// `type: "credit"`.
    Credit,
}

/// All faults of one entry. [`Faults::clear`] keeps the memory for the next entry.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Adds a reason, once.
    pub fn add(&mut self, reason: String) {
        if !self.0.contains(&reason) {
            self.0.push(reason);
        }
    }

    /// What was found; the reason is added when it is wrong.
    fn note<T>(&mut self, found: Result<T, String>) -> Option<T> {
        found.map_err(|reason| self.add(reason)).ok()
    }

    /// Forgets the last entry.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For a person: each part names a field and its value, joined with `; `.
    pub fn joined(&self) -> String {
        self.0.join("; ")
    }
}

/// The values that every layout needs of an entry; `None` where a value is wrong, which is then among the faults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Core<'a> {
    pub(crate) side: Option<Side>,
    pub(crate) amount_satang: Option<i64>,
    pub(crate) account: Option<Code<'a>>,
    pub(crate) date_ms: Option<i64>,
}

/// Checks everything that does not depend on the file's layout.
pub(crate) fn check<'a>(fields: &EntryFields<'a>, faults: &mut Faults) -> Core<'a> {
    if let Some(status) = fields.cancellation() {
        faults.add(format!("{status}, not approved"));
    }
    let amount_satang = faults.note(amount(fields.values[AMOUNT]));
    let kind = fields.values[TYPE];
    let side = faults.note(match kind {
        StoredValue::Text("debit") => Ok(Side::Debit),
        StoredValue::Text("credit") => Ok(Side::Credit),
        _ => Err(format!("type {}, not debit or credit", found(kind))),
    });
    let account = faults.note(match fields.values[ACCOUNT] {
        StoredValue::Text(text) => Code::trim("accountCode", text).ok_or_else(|| "accountCode is empty".to_owned()),
        StoredValue::Missing => Err("accountCode is missing".to_owned()),
        other => Err(not_text("accountCode", other)),
    });
    let account = account.map(|code| code.checked(faults));
    let date_ms = faults.note(match fields.values[DATE] {
        StoredValue::Date(date_ms) => Ok(date_ms),
        _ => Err("date is missing or not a date".to_owned()),
    });
    Core { side, amount_satang, account, date_ms }
}

fn amount(value: StoredValue<'_>) -> Result<i64, String> {
    money::amount(match value {
        StoredValue::Missing => None,
        StoredValue::Number(number) => Some(number),
        StoredValue::Text(_) | StoredValue::NotUtf8 => Some(Number::Other("string")),
        StoredValue::Date(_) | StoredValue::Id(_) | StoredValue::Other(_) => {
            Some(Number::Other("value of another type"))
        }
    })
}

/// The reason for a field that should hold text.
pub(crate) fn not_text(field: &str, value: StoredValue<'_>) -> String {
    unlike(field, "text", value)
}

/// The reason for a field that should hold something else.
pub(crate) fn unlike(field: &str, expected: &str, value: StoredValue<'_>) -> String {
    match value {
        StoredValue::NotUtf8 => format!("{field} is not valid UTF-8"),
        _ => format!("{field} is not {expected} but {}", value.noun()),
    }
}

/// A code that the importing program looks up, without what nobody sees at its ends; never empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code<'a> {
    /// Where it comes from, for people.
    pub(crate) field: &'a str,
    pub(crate) text: &'a str,
    /// Whether something was removed from its ends.
    pub(crate) trimmed: bool,
    /// Whether it has a fault of its own, so that no cell may hold it.
    pub(crate) faulty: bool,
}

impl<'a> Code<'a> {
    /// `None` when nothing is left. Line ends and TAB are removed at the end only: a code that begins with one is
    /// refused, because a spreadsheet can take it for a formula.
    pub(crate) fn trim(field: &'a str, stored: &'a str) -> Option<Code<'a>> {
        let is_line_end = |character| matches!(character, '\t' | '\r' | '\n');
        let text = stored.trim_start_matches(is_padding);
        let text = text.trim_end_matches(|character| is_padding(character) || is_line_end(character));
        let trimmed = text.len() != stored.len();
        (!text.is_empty()).then_some(Code { field, text, trimmed, faulty: false })
    }

    /// Adds the faults of any code: control characters, and a beginning that a spreadsheet takes for a formula.
    /// Invisible characters inside depend on the layout.
    pub(crate) fn checked(self, faults: &mut Faults) -> Code<'a> {
        let Code { field, text, .. } = self;
        let begins_formula = text.starts_with(['=', '+', '@']);
        let has_control = text.contains(char::is_control);
        if text.starts_with(['\t', '\r', '\n']) {
            faults.add(format!("{field} is {}, which begins with a control character", quoted(text)));
        } else if has_control {
            faults.add(format!("{field} has {}", characters(text, char::is_control)));
        }
        if begins_formula {
            faults.add(format!("{field} is {}, which a spreadsheet takes for a formula", quoted(text)));
        }
        Code { faulty: begins_formula || has_control, ..self }
    }
}

/// Whether a text has no control character that a cell must not hold. Bytes are enough: no byte of a longer character
/// looks like one.
pub(crate) fn is_plain(text: &str) -> bool {
    let control = |byte: u8| (byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n')) || byte == 0x7f;
    // No early return, so that the compiler can check many bytes at a time.
    !text.bytes().fold(false, |found, byte| found | control(byte))
}

/// The content of a text field for a message: shortened, and safe to print on a terminal.
fn found(value: StoredValue<'_>) -> String {
    match value {
        StoredValue::Missing => "is missing".to_owned(),
        StoredValue::Text(text) if text.trim().is_empty() => "is empty".to_owned(),
        StoredValue::Text(text) => format!("is {}", quoted(text)),
        StoredValue::NotUtf8 => "is not valid UTF-8".to_owned(),
        other => format!("is {}", other.noun()),
    }
}
