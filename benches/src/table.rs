//! A table of quell and its peers, the rows that quell loses first.

use std::fmt::Write;

/// Figures of which less is better. The first column is quell's.
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    /// An empty table with these columns, quell first.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; `None` for a runtime that does not take part.
    pub fn row(&mut self, name: &str, figures: Vec<Option<f64>>) {
        assert_eq!(figures.len(), self.columns.len(), "a figure a column");
        self.rows.push((name.to_owned(), figures));
    }

    /// Whether nothing has been added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text. A peer's figure is followed by how many times as much as quell's it is.
    /// Rows in which a peer is ahead come first, marked; in red if `colour`.
    pub fn render(&self, colour: bool) -> String {
        let (lost, won): (Vec<_>, Vec<_>) = self.rows.iter().partition(|(_, row)| is_lost(row));
        let mut text = format!("{}\n\n", self.title);
        let mut lines = vec![self.columns.clone()];
        lines[0].insert(0, String::new());
        for (name, row) in lost.iter().chain(&won) {
            let mark = if is_lost(row) { "LOST " } else { "" };
            let mut line = vec![format!("{mark}{name}")];
            line.extend(row.iter().map(|figure| cell(row[0], *figure)));
            // Without a ratio: it is the measure.
            line[1] = row[0].map_or("-".to_owned(), number);
            lines.push(line);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
        let widths: Vec<usize> = (0..=self.columns.len()).filter_map(width).collect();
        for (i, line) in lines.iter().enumerate() {
            let red = colour && (1..=lost.len()).contains(&i);
            text.push_str(if red { "\x1b[31m" } else { "" });
            let _ = write!(text, "{:<1$}", line[0], widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                let _ = write!(text, " | {cell:>width$}");
            }
            text.push_str(if red { "\x1b[0m\n" } else { "\n" });
        }
        let _ = writeln!(text, "\n{} of {} rows lost to a peer.", lost.len(), self.rows.len());
        text
    }
}

fn is_lost(row: &[Option<f64>]) -> bool {
    let Some(ours) = row[0] else {
        return false;
    };
    row[1..].iter().flatten().any(|theirs| *theirs < ours)
}

fn cell(ours: Option<f64>, figure: Option<f64>) -> String {
    match (ours, figure) {
        (Some(ours), Some(figure)) => format!("{} ({:.2}x)", number(figure), figure / ours),
        (None, Some(figure)) => number(figure),
        (_, None) => "-".to_owned(),
    }
}

fn number(figure: f64) -> String {
    match figure {
        ..9.995 => format!("{figure:.2}"),
        ..99.95 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("ns per operation", &["quell", "tokio", "smol"]);
        table.row("won", vec![Some(10.0), Some(25.0), None]);
        table.row("lost", vec![Some(200.0), Some(150.0), Some(400.0)]);
        table
    }

    #[test]
    fn lost_rows_come_first_and_are_marked() {
        assert_eq!(
            table().render(false),
            "ns per operation\n\n          \
             | quell |        tokio |        smol\n\
             LOST lost |   200 |  150 (0.75x) | 400 (2.00x)\n\
             won       |  10.0 | 25.0 (2.50x) |           -\n\
             \n1 of 2 rows lost to a peer.\n"
        );
    }

    #[test]
    fn only_lost_rows_are_red() {
        let text = table().render(true);
        let red: Vec<_> = text.lines().filter(|line| line.contains("\x1b[31m")).collect();
        assert_eq!(red.len(), 1, "{text}");
        assert!(red[0].contains("LOST"), "{text}");
    }
}
