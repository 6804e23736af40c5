//! Tables of a text result, and the line for what a list leaves out.

use std::fmt::Write as _;

/// Lines of columns, each as wide as its longest cell; the columns from `right` on are figures. The first line is the head.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], right: usize) -> Vec<String> {
    let lines = || std::iter::once(head).chain(rows.iter().map(|row| row.each_ref().map(String::as_str)));
    let widths: [usize; N] = std::array::from_fn(|at| lines().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let line = |row: [&str; N]| {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let between = if at == 0 { "" } else { "  " };
            let _ = match at < right {
                true => write!(line, "{between}{cell:width$}"),
                false => write!(line, "{between}{cell:>width$}"),
            };
        }
        line
    };
    lines().map(line).collect()
}

/// Says how many more there are than a list shows, and what lists them.
pub(super) fn more(all: u64, shown: usize, margin: &str, way: &str) -> String {
    match all.saturating_sub(shown as u64) {
        0 => String::new(),
        more => format!("{margin}... and {more} more{way}\n"),
    }
}
