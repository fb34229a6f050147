//! Columns of text for people.

use std::fmt;

/// Rows below a heading. Each column is as wide as its widest cell, the last as wide as it likes.
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(heading: [&str; N]) -> Table<N> {
        Table { rows: vec![heading.map(str::to_owned)] }
    }

    pub(crate) fn row(&mut self, cells: [&str; N]) {
        // What comes from elsewhere must not move the cursor or begin a line.
        let plain = |cell: &str| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.rows.push(cells.map(plain));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            let cells: String =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
            writeln!(f, "{}", cells.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_cells_are_one_line() {
        let mut table = Table::new(["a", "long heading", "b"]);
        assert!(table.is_empty());
        table.row(["ääää", "x", "two\nlines\u{1b}[2J"]);
        assert_eq!(table.to_string(), "a     long heading  b\nääää  x             two lines [2J\n");
    }
}
