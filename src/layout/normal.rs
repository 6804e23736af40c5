//! The normal form of a layout: the TOML text with every key, in one order. Two layouts that mean the same have the same normal form.

use std::fmt::{Display, Write};

use super::{Column, FieldKind, Layout, Value, Zero};

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
            Value::EntryId => self.text("value", "entry-id"),
            Value::Line => self.text("value", "line"),
            Value::Position => self.text("value", "position"),
            Value::Date(format) => {
                self.text("value", "date");
                self.text("date_format", &format.to_string());
            }
            Value::BusinessDate(format) => {
                self.text("value", "business-date");
                self.text("date_format", &format.to_string());
            }
            Value::BatchNumber => self.text("value", "batch-number"),
            Value::Voucher => self.text("value", "voucher"),
            Value::Account => self.text("value", "account"),
            Value::ContraAccount => self.text("value", "contra-account"),
            Value::Debit(zero) => self.side("debit", *zero),
            Value::Credit(zero) => self.side("credit", *zero),
            Value::Amount => self.text("value", "amount"),
            Value::SignedAmount => self.text("value", "signed-amount"),
            Value::Side([debit, credit]) => {
                self.text("value", "side");
                self.line("words", format!("[{}, {}]", toml_text(debit), toml_text(credit)));
            }
            Value::Description => self.text("value", "description"),
            Value::Category => self.text("value", "category"),
            Value::Client => self.text("value", "client"),
            Value::Constant(text) => {
                self.text("value", "constant");
                self.text("text", text);
            }
            Value::Field(path, kind) => self.field(path, *kind),
        }
        if let Some(empty) = &column.empty {
            self.text("empty", empty);
        }
        if let Some(max_chars) = column.max_chars {
            self.line("max_chars", max_chars);
        }
    }

    fn side(&mut self, value: &str, zero: Zero) {
        self.text("value", value);
        self.text("zero", zero.name());
    }

    fn field(&mut self, path: &str, kind: FieldKind) {
        self.text("field", path);
        let name = match kind {
            FieldKind::Text => "text",
            FieldKind::Code => "code",
            FieldKind::Integer => "integer",
            FieldKind::Money => "money",
            FieldKind::Date(_) => "date",
        };
        self.text("kind", name);
        if let FieldKind::Date(format) = kind {
            self.text("date_format", &format.to_string());
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
