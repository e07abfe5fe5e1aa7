// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables in Markdown that are readable as text.

/// The lines of a table; the first one is its head.
#[derive(Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// Creates a table with this head.
    pub fn new(head: &[&str]) -> Self {
        let mut table = Self::default();
        table.line(head);
        table
    }

    /// Adds a line.
    pub fn line(&mut self, cells: &[impl AsRef<str>]) {
        self.0
            .push(cells.iter().map(|cell| cell.as_ref().to_owned()).collect());
    }

    /// Returns the table as text.
    pub fn text(&self) -> String {
        let width = |column: usize| {
            self.0
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.0[0].len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let row = |line: &Vec<String>| {
            let cells = line.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let head = row(&self.0[0]) + &row(&rule);
        head + &self.0[1..].iter().map(row).collect::<String>()
    }
}
