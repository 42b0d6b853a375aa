//! What people read: colours, tables, findings.

pub(crate) mod findings;
pub(crate) mod plan;

use std::fmt;

use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

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

/// A table as text, without blanks at the ends of lines. No word is broken: where the longest words do not fit beside each
/// other, the cells of a row stand below each other.
pub(crate) fn lines_of(mut table: Table) -> String {
    /// A blank on each side of a cell, and one between cells.
    const AROUND: usize = 3;
    let cells = |row: &comfy_table::Row| -> Vec<String> {
        row.cell_iter().map(comfy_table::Cell::content).collect()
    };
    let header = table.header().map_or_else(Vec::new, cells);
    let rows: Vec<Vec<String>> = table.row_iter().map(cells).collect();
    let longest = |cell: &String| cell.split_whitespace().map(|it| it.chars().count()).max();
    let column = |index: usize| {
        let cells = std::iter::once(&header).chain(&rows).filter_map(|row| row.get(index));
        AROUND + cells.filter_map(longest).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(column).collect();
    if table.width().is_none_or(|width| widths.iter().sum::<usize>() <= usize::from(width)) {
        let bound = |width: &usize| {
            let width = u16::try_from(width.saturating_sub(1)).unwrap_or(u16::MAX);
            ColumnConstraint::LowerBoundary(Width::Fixed(width))
        };
        table.set_constraints(widths.iter().map(bound));
        let lines = table.lines().map(|line| line.trim_end().to_owned());
        return lines.collect::<Vec<_>>().join("\n");
    }
    let title = header.iter().map(|title| title.chars().count()).max().unwrap_or(0);
    let row = |row: &Vec<String>| -> String {
        let cells = header.iter().zip(row).flat_map(|(title_of, cell)| {
            let titles = std::iter::once(title_of.as_str()).chain(std::iter::repeat(""));
            titles.zip(cell.lines()).map(|(name, line)| format!(" {name:title$}  {line}\n"))
        });
        cells.collect()
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// What others wrote is shown, never obeyed: control characters could say anything to a terminal.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Lines in columns, under a header, as `kubectl` prints them.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    let lines = || std::iter::once(&header).chain(rows);
    let length = |cell: &String| cell.chars().count();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| lines().filter_map(|line| line.get(column)).map(length).max().unwrap_or(0))
        .collect();
    let text = lines().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        visible(cells.collect::<Vec<_>>().join("   ").trim_end()) + "\n"
    });
    text.collect()
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
