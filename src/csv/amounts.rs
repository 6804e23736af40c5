//! What an amount in a copy means, with whatever marks a spreadsheet writes it.
//!
//! Risk: `1.234`, which is twelve hundred thirty-four baht in one country and one baht and a little in another. Only the rest of the copy shows
//! which mark it uses for decimals, so that is learned from all of its amounts first ([`Marks::learn`]).

use super::dates::arabic;

/// Digits of a fraction that are looked at.
const DECIMALS: usize = 6;

/// Which marks a copy uses for decimals, as far as its amounts show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    point: bool,
    comma: bool,
    /// The mark of the official file, for a copy that shows none.
    official: u8,
}

impl Marks {
    /// Of a copy that was not read yet.
    pub(super) const fn new(official: u8) -> Marks {
        Marks { point: false, comma: false, official }
    }

    /// Notes what a cell of the copy shows.
    pub(super) fn learn(&mut self, cell: &str) {
        match read(cell) {
            Some(Amount { decimal: Some('.'), .. }) => self.point = true,
            Some(Amount { decimal: Some(_), .. }) => self.comma = true,
            Some(_) | None => {}
        }
    }

    fn may_be_decimal(self, mark: char) -> bool {
        match (self.point || self.comma, mark) {
            (false, mark) => mark == char::from(self.official),
            (true, '.') => self.point,
            (true, _) => self.comma,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amount {
    /// In millionths of a baht; thousands are taken as grouped where that is possible.
    micro: i128,
    /// The mark that certainly stands before decimals wherever amounts are written in this way.
    decimal: Option<char>,
    /// The only mark, where three digits follow it: it stands before thousands or before decimals.
    open: Option<char>,
}

/// Whether the cell of a copy certainly is the official amount; `None` when one of them is no amount.
pub(super) fn is_same(official: &str, copy: &str, marks: Marks) -> Option<bool> {
    let (official, copy) = (read(official)?, read(copy)?);
    let is_certain = copy.open.is_none_or(|mark| !marks.may_be_decimal(mark));
    Some(official.micro == copy.micro && is_certain)
}

/// The amount in millionths of a baht, with thousands where a mark may stand before them.
pub(super) fn micro(text: &str) -> Option<i128> {
    read(text).map(|amount| amount.micro)
}

/// Without the currency, wherever it stands.
fn without_currency(text: &str) -> &str {
    let text = ["฿", "THB"].iter().find_map(|name| text.strip_prefix(name)).unwrap_or(text);
    ["฿", "THB", "บาท"].iter().find_map(|name| text.strip_suffix(name)).unwrap_or(text)
}

/// Nothing and a dash are zero.
fn read(text: &str) -> Option<Amount> {
    let kept: String = text.chars().map(arabic).filter(|c| !c.is_whitespace() && !matches!(c, '\'' | '’')).collect();
    let kept = without_currency(&kept);
    let bracketed = kept.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let (sign, digits) = match (bracketed, kept.strip_prefix(['-', '−'])) {
        (Some(digits), _) | (None, Some(digits)) => (-1, digits),
        (None, None) => (1, kept),
    };
    let digits = without_currency(digits);
    let mark = digits.char_indices().rfind(|(_, c)| matches!(c, ',' | '.'));
    let Some((at, mark)) = mark else {
        return Some(Amount { micro: sign * number(digits, "")?, decimal: None, open: None });
    };
    let (before, after) = (&digits[..at], &digits[at + 1..]);
    let (is_grouping, other) = (after.len() == 3, if mark == '.' { ',' } else { '.' });
    let amount = match before.find([',', '.']) {
        // The same mark twice groups thousands.
        Some(first) if before[first..].starts_with(mark) => {
            Amount { micro: number(&ungrouped(digits, mark)?, "")?, decimal: Some(other), open: None }
        }
        Some(_) => Amount { micro: number(&ungrouped(before, other)?, after)?, decimal: Some(mark), open: None },
        None if is_grouping && (1..=3).contains(&before.len()) && !before.starts_with('0') => {
            Amount { micro: number(&format!("{before}{after}"), "")?, decimal: None, open: Some(mark) }
        }
        None => Amount { micro: number(before, after)?, decimal: Some(mark), open: None },
    };
    Some(Amount { micro: sign * amount.micro, ..amount })
}

/// The digits of a number that this mark separates into groups of three.
fn ungrouped(text: &str, mark: char) -> Option<String> {
    let groups: Vec<&str> = text.split(mark).collect();
    let is_first = (1..=3).contains(&groups[0].len());
    (is_first && groups[1..].iter().all(|group| group.len() == 3)).then(|| groups.concat())
}

fn number(whole: &str, fraction: &str) -> Option<i128> {
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > DECIMALS {
        return None;
    }
    let all = format!("{whole}{fraction:0<DECIMALS$}");
    if all.bytes().all(|byte| byte.is_ascii_digit()) { all.parse().ok() } else { None }
}
