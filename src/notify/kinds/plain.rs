//! A message as plain text, for services without a richer format.

use super::cut;
use crate::notify::message::Message;

/// Characters of the title, of one fact and of the next step.
const TITLE: usize = 256;
const FACT: usize = 500;
const NEXT: usize = 1024;

/// Title, facts and next step, without mentions, within `limit` UTF-16 code units (at least 2000). Facts that do not
/// fit are replaced by an ellipsis.
pub(super) fn text(message: &Message<'_>, limit: usize) -> String {
    let title = cut(&calm(&message.title), TITLE);
    let end = format!("\n\n{}", cut(&calm(&message.next), NEXT));
    let more = "\n…";
    let mut room = limit.saturating_sub(length(&title) + length(&end) + length(more));
    let mut text = title;
    for (name, value) in message.known_facts() {
        let line = format!("\n{name}: {}", cut(&calm(value), FACT));
        if length(&line) > room {
            text.push_str(more);
            break;
        }
        room -= length(&line);
        text.push_str(&line);
    }
    text + &end
}

/// The text without mentions: an entry's description may contain `@all` or `<users/all>`.
fn calm(text: &str) -> String {
    let mut calmed = String::with_capacity(text.len());
    let mut before = ' ';
    for character in text.chars() {
        calmed.push(character);
        // Not in the middle of a word: an email address mentions nobody.
        if character == '<' || (character == '@' && !before.is_alphanumeric()) {
            calmed.push('\u{200b}');
        }
        before = character;
    }
    calmed
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::{calm, length, text};
    use crate::batch::Event;
    use crate::notify::message::{Message, Origin, Topic};

    #[test]
    fn a_long_text_keeps_its_title_and_its_next_step_and_loses_facts() {
        let facts = (0..20).map(|_| ("What", "𠮷".repeat(2_000))).collect();
        let message = Message {
            topic: Topic::Event(Event::Failed),
            id: String::new(),
            origin: Origin { database: "books".into(), installation: None, trace: None },
            title: "T".into(),
            facts,
            next: "N".into(),
            result: None,
        };
        let text = text(&message, 4_000);
        assert!(length(&text) <= 4_000, "{}", length(&text));
        assert!(text.starts_with("T\nWhat: 𠮷") && text.ends_with("\n…\n\nN"), "{text}");
    }

    #[test]
    fn nobody_is_called_and_mail_addresses_stay() {
        assert_eq!(calm("@all <users/all> a@b.c"), "@\u{200b}all <\u{200b}users/all> a@b.c");
    }
}
