//! Rows in columns: as wide as their contents, numbers to the right, cut only where a terminal would wrap them.

use super::text::{clean, cut, width};

/// Between two columns.
const GAP: &str = "  ";

/// What a column is called, and to which side it is set.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Numbers and spans are set to the right.
    pub right: bool,
}

/// A column set to the left.
pub const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column set to the right.
pub const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// The lines of a table. Cells are cleaned here, so no caller can forget it. `columns_max` is the terminal's width, if
/// the reader is a terminal.
pub fn lines(columns: &[Column], rows: &[Vec<String>], headers: bool, columns_max: Option<usize>) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell).into_owned()).collect()).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let heading = if headers { width(column.title) } else { 0 };
            rows.iter().map(|row| width(&row[at])).chain([heading]).max().unwrap_or(0)
        })
        .collect();
    let heading: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let shown = headers.then_some(&heading).into_iter().chain(&rows);
    shown.map(|cells| line(columns, &widths, cells, columns_max)).collect()
}

fn line(columns: &[Column], widths: &[usize], cells: &[String], columns_max: Option<usize>) -> String {
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        let padding = " ".repeat(widths[at] - width(cell));
        if at > 0 {
            line.push_str(GAP);
        }
        if columns[at].right {
            line.push_str(&padding);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            line.push_str(&padding);
        }
    }
    let line = line.trim_end();
    match columns_max {
        Some(max) => cut(line, max).into_owned(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [left("ROOM"), right("USERS"), left("BUILDING")];

    fn rows() -> Vec<Vec<String>> {
        [["floor_1", "12", "hq"], ["🏢", "3", "a\u{1b}b"]].map(|row| row.map(str::to_owned).to_vec()).to_vec()
    }

    #[test]
    fn columns_line_up_whatever_their_letters() {
        assert_eq!(
            lines(&COLUMNS, &rows(), true, None),
            ["ROOM     USERS  BUILDING", "floor_1     12  hq", "🏢           3  a\\u{1b}b"]
        );
    }

    #[test]
    fn only_a_terminal_cuts() {
        let cut = lines(&COLUMNS, &rows(), true, Some(12));
        assert_eq!(cut[0], "ROOM     US…");
        assert!(cut.iter().all(|line| width(line) <= 12));
    }

    #[test]
    fn an_empty_table_is_its_heading_or_nothing() {
        assert_eq!(lines(&COLUMNS, &[], true, None), ["ROOM  USERS  BUILDING"]);
        assert!(lines(&COLUMNS, &[], false, None).is_empty());
    }
}
