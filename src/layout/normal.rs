//! The normal form of a layout: the TOML text with every key, in one order. Two layouts that mean the same have the same normal form.

use std::fmt::{Display, Write};

use super::{Column, FieldKind, Layout, Value, word_of};

impl Layout {
    /// The text of which the batch keeps a copy and a checksum. [`parse_stored`](super::parse_stored) reads it back.
    pub fn normal_form(&self) -> String {
        let mut out = Text(String::new());
        out.text("name", &self.name);
        out.text("encoding", self.encoding.name());
        out.text("delimiter", &char::from(self.delimiter).to_string());
        out.text("decimal_mark", &char::from(self.decimal_mark).to_string());
        out.text("quote", self.quote.name());
        out.text("line_end", self.line_end.name());
        out.line("header", self.header);
        out.text("date_format", &self.date_format.to_string());
        out.line("rows_per_entry", self.rows_per_entry());
        out.line("formula_guard", self.formula_guard);
        out.text("line_breaks", self.line_breaks.name());
        out.text("invisible", self.invisible.name());
        out.text("voucher_prefix", &self.voucher_prefix);
        out.text("ending", &self.ending);
        for column in &self.columns {
            out.column(column);
        }
        out.0
    }
}

struct Text(String);

impl Text {
    fn line(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.line(key, toml_text(value));
    }

    fn column(&mut self, column: &Column) {
        self.0.push_str("\n[[columns]]\n");
        self.text("header", &column.header);
        match &column.value {
            Value::Field(path, kind) => {
                self.text("field", path);
                self.text("kind", word_of(&FieldKind::WORDS, kind).unwrap_or_default());
            }
            value => self.text("value", word_of(&Value::WORDS, value).unwrap_or_default()),
        }
        match &column.value {
            Value::Date(format) | Value::BusinessDate(format) | Value::Field(_, FieldKind::Date(format)) => {
                self.text("date_format", &format.to_string());
            }
            Value::Debit(zero) | Value::Credit(zero) => self.text("zero", zero.name()),
            Value::Side([debit, credit]) => {
                self.line("words", format!("[{}, {}]", toml_text(debit), toml_text(credit)));
            }
            Value::Constant(text) => self.text("text", text),
            _ => {}
        }
        if let Some(empty) = &column.empty {
            self.text("empty", empty);
        }
        if let Some(max_chars) = column.max_chars {
            self.line("max_chars", max_chars);
        }
    }
}

/// A basic string of TOML.
fn toml_text(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\t' => out.push_str("\\t"),
            _ if character.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}
