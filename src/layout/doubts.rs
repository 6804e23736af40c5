//! Paths in a layout that are probably mistakes, although any name is allowed.

use super::text::{characters, is_hidden, quoted};
use super::{Layout, Value};

/// Signs of expressions and of paths in other languages.
const SIGNS: &str = "[]{}()<>/\\*+=%&|,;:?!\"'`";

impl Layout {
    /// The columns whose path is probably none, a sentence for each.
    pub fn doubts(&self) -> Vec<String> {
        let doubt = |(number, column): (usize, &super::Column)| match &column.value {
            Value::Field(path, _) => Some(format!("column {}: {}", self.column_name(number), doubt(path)?)),
            _ => None,
        };
        self.columns.iter().enumerate().filter_map(doubt).collect()
    }

    /// A column in messages: its header in quotes, else its number.
    pub fn column_name(&self, number: usize) -> String {
        match &*self.columns[number].header {
            "" => (number + 1).to_string(),
            header => quoted(header),
        }
    }
}

fn doubt(path: &str) -> Option<String> {
    let (shown, hidden) = (quoted(path), characters(path, is_hidden));
    if !hidden.is_empty() {
        return Some(format!("the path {shown} has {hidden}, which nobody sees"));
    }
    if let Some(number) = path.split('.').find(|part| part.bytes().all(|byte| byte.is_ascii_digit())) {
        return Some(format!(
            "{number} in the path {shown} can only be the name of a field, because the elements of a list cannot be read"
        ));
    }
    let sign = path.chars().find(|character| SIGNS.contains(*character))?;
    Some(format!(
        "the path {shown} has {sign}; a path is field names joined by points, and nothing in it is calculated"
    ))
}
