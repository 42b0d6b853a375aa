//! What people read: colours, tables, findings.

pub(crate) mod findings;
pub(crate) mod plan;

use std::fmt;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use crate::Terminal;

/// One line under the header; the rest is white.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Colours what is painted, where colours are on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    pub(crate) on: bool,
}

impl Paint {
    pub(crate) fn red(self, text: impl fmt::Display) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn green(self, text: impl fmt::Display) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: impl fmt::Display) -> String {
        self.with("33", text)
    }

    pub(crate) fn blue(self, text: impl fmt::Display) -> String {
        self.with("34", text)
    }

    pub(crate) fn bold(self, text: impl fmt::Display) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: impl fmt::Display) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// An empty table, at most as wide as the terminal; where there is none, as wide as a page.
pub(crate) fn table<const N: usize>(terminal: Terminal, header: [&str; N]) -> Table {
    const PAGE: u16 = 120;
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_header(header)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(terminal.width.unwrap_or(PAGE));
    table
}

/// A table as text, without blanks at the ends of lines.
pub(crate) fn lines_of(table: &Table) -> String {
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// `1 rule`, `2 rules`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let mut digits = number.to_string();
    for place in (1..digits.len())
        .rev()
        .filter(|place| (digits.len() - place).is_multiple_of(3))
        .collect::<Vec<_>>()
    {
        digits.insert(place, ',');
    }
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("{digits} {noun}"),
        (_, Some(stem)) => format!("{digits} {stem}ies"),
        (_, None) => format!("{digits} {noun}s"),
    }
}

/// The first few of many, and how many more there are; `-` for none.
pub(crate) fn few<T: fmt::Display>(
    items: impl IntoIterator<Item = T>,
    limit: usize,
    separator: &str,
) -> String {
    let mut items = items.into_iter();
    let mut shown: Vec<String> = items.by_ref().take(limit).map(|item| item.to_string()).collect();
    match items.count() {
        0 if shown.is_empty() => "-".to_owned(),
        0 => shown.join(separator),
        more => {
            let last = shown.pop().unwrap_or_default();
            shown.push(format!("{last} and {more} more"));
            shown.join(separator)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_english() {
        assert_eq!(count(1, "policy"), "1 policy");
        assert_eq!(count(0, "rule"), "0 rules");
        assert_eq!(count(1_234_567, "policy"), "1,234,567 policies");
    }

    #[test]
    fn many_are_cut_to_a_few() {
        assert_eq!(few([""; 0], 2, ", "), "-");
        assert_eq!(few(["a", "b"], 2, ", "), "a, b");
        assert_eq!(few(["a", "b", "c"], 2, ", "), "a, b and 1 more");
    }
}
