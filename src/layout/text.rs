//! Characters that a cell must not hold, and their names in messages.
//!
//! Risk: an invisible character. So a message names each by its number, its Unicode name and the text before it, and no
//! message carries a control character to a terminal.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::encoding::Encoder;

/// Characters of context before the one that is meant.
const CONTEXT_CHARS: usize = 12;
/// Characters that one message lists.
const LISTED_MAX: usize = 50;
/// Characters of a text that a message quotes.
const QUOTED_MAX: usize = 40;

/// Names of the control characters, which Unicode leaves without.
const CONTROLS: [&str; 32] = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "TAB", "LF", "VT", "FF", "CR", "SO", "SI", "DLE",
    "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
];

/// Whether a character is a control character that no cell may hold: C0 but TAB, CR and LF; DEL.
pub(crate) fn is_control(character: char) -> bool {
    matches!(character, '\0'..='\u{1f}' | '\u{7f}') && !matches!(character, '\t' | '\r' | '\n')
}

/// Whether a character is invisible: joiners, marks of direction, variation selectors, fillers, tags, the byte order
/// mark. These are Unicode's Default_Ignorable_Code_Point.
pub(crate) fn is_zero_width(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether a character is removed from both ends of a code: blanks of any width, and invisible characters.
pub(crate) fn is_padding(character: char) -> bool {
    (character.is_whitespace() && !character.is_control()) || is_zero_width(character)
}

/// Whether people do not see a character inside of a code, or take it for a blank.
pub(crate) fn is_hidden(character: char) -> bool {
    character != ' ' && is_padding(character)
}

/// Every distinct character of a text for which `is_meant`, with number, name and what stands before it; empty when there is none.
pub(crate) fn characters(text: &str, is_meant: impl Fn(char) -> bool) -> String {
    // A set: a long text in another script has thousands of them.
    let mut seen = BTreeSet::new();
    let mut list = String::new();
    let mut others = 0_usize;
    // An address may have a password in it, of which a part would be shown.
    let is_shown = !text.contains("://");
    for (at, character) in text.char_indices().filter(|(_, character)| is_meant(*character)) {
        if !seen.insert(character) {
            continue;
        }
        if seen.len() > LISTED_MAX {
            others += 1;
            continue;
        }
        let comma = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{comma}{}", named(character));
        if is_shown {
            let _ = write!(list, " {}", context(&text[..at]));
        }
    }
    if others > 0 {
        let _ = write!(list, " and {others} others");
    }
    list
}

/// Every distinct character that an encoding lacks.
pub(crate) fn lacking(encoder: &Encoder, text: &str) -> String {
    characters(text, |character| encoder.lacks(character))
}

/// `U+200B ZERO WIDTH SPACE`.
pub(super) fn named(character: char) -> String {
    let number = u32::from(character);
    let name = match number {
        0..32 => CONTROLS[number as usize].to_owned(),
        0x7f => "DEL".to_owned(),
        0x80..0xa0 => "control character".to_owned(),
        _ => unicode_names2::name(character).map_or("character without a name".to_owned(), |name| name.to_string()),
    };
    format!("U+{number:04X} {name}")
}

fn context(before: &str) -> String {
    if before.is_empty() {
        return "at its beginning".to_owned();
    }
    let start = before.char_indices().rev().nth(CONTEXT_CHARS - 1).map_or(0, |(at, _)| at);
    format!("after {}", quoted(&before[start..]))
}

/// A text in quotes, safe to print on a terminal, and cut when it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        if index == QUOTED_MAX {
            out.push_str("\"...");
            return out;
        }
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character.is_control() || is_zero_width(character) => out.extend(character.escape_default()),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// A text as [`quoted`], from a little before the place where it differs from another text, when that is far on.
pub(crate) fn quoted_against(text: &str, other: &str) -> String {
    let common = text.chars().zip(other.chars()).take_while(|(one, two)| one == two).count();
    if common + CONTEXT_CHARS <= QUOTED_MAX {
        return quoted(text);
    }
    let rest: String = text.chars().skip(common - CONTEXT_CHARS).collect();
    format!("...{}", quoted(&rest))
}

#[cfg(test)]
mod tests {
    use super::{characters, is_control, is_zero_width, quoted, quoted_against};

    #[test]
    fn each_distinct_character_is_told_with_name_and_place() {
        let meant = |character| is_control(character) || is_zero_width(character);
        assert_eq!(characters("ค่า\u{200b}ไฟ\u{200b}", meant), "U+200B ZERO WIDTH SPACE after \"ค่า\"");
        assert_eq!(
            characters("\0a\u{1b}\u{7f}", meant),
            "U+0000 NUL at its beginning, U+001B ESC after \"\\u{0}a\", U+007F DEL after \"\\u{0}a\\u{1b}\""
        );
        assert_eq!(characters("a\tb\r\nc", meant), "");
    }

    #[test]
    fn a_list_of_many_characters_ends() {
        let text: String = ('一'..).take(60).collect();
        let list = characters(&text, |_| true);
        assert!(list.ends_with("and 10 others") && list.matches("U+").count() == 50, "{list}");
    }

    #[test]
    fn a_quoted_text_is_short_and_harmless() {
        assert_eq!(quoted("a\"b\u{1b}[31m\u{200b}"), "\"a\\\"b\\u{1b}[31m\\u{200b}\"");
        assert_eq!(quoted(&"ก".repeat(50)), format!("\"{}\"...", "ก".repeat(40)));
    }

    #[test]
    fn two_long_texts_are_shown_where_they_differ() {
        let text = |end: &str| format!("{}{end}", "ค่าเช่า ".repeat(9));
        assert_eq!(quoted_against(&text("ม.ค."), &text("ก.พ.")), "...\"ช่า ค่าเช่า ม.ค.\"");
        assert_eq!(quoted_against("ค่าเช่า", "ค่าไฟ"), "\"ค่าเช่า\"");
        assert_eq!(quoted_against(&"a".repeat(41), &"a".repeat(40)), format!("...\"{}\"", "a".repeat(13)));
    }
}
