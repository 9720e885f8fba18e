//! The table of everything that was compared.

use std::fmt::{self, Write as _};

use crate::known::Known;
use crate::verdict::Verdict;

/// One exchange.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) recording: String,
    /// Its place in the recording, from 0.
    pub(crate) exchange: usize,
    pub(crate) request: String,
    pub(crate) status: u16,
    pub(crate) verdict: Verdict,
}

impl Row {
    fn repeats(&self, other: &Row) -> bool {
        let what = |row: &Row| (row.recording.clone(), row.request.clone(), row.status);
        self.exchange + 1 == other.exchange && what(self) == what(other) && self.verdict == other.verdict
    }

    /// Its line in the table, where it stands for all rows up to exchange `last`.
    fn cells(&self, last: usize) -> [String; 6] {
        let Row { recording, exchange, request, status, verdict } = self;
        let number = if *exchange == last { last.to_string() } else { format!("{exchange}-{last}") };
        [recording.clone(), number, request.clone(), status.to_string(), verdict.compared(), verdict.to_string()]
    }
}

/// Something recorded that cannot be compared, and why.
#[derive(Debug)]
pub(crate) struct NotApplicable {
    pub(crate) what: &'static str,
    pub(crate) reason: &'static str,
}

/// Everything that was compared, and everything that was not.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) not_applicable: Vec<NotApplicable>,
}

impl Table {
    pub(crate) fn differences(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.verdict.differences.is_empty())
    }

    /// The known differences that explained something.
    pub(crate) fn explains(&self, known: Known) -> usize {
        self.rows.iter().filter(|row| row.verdict.known.contains(&known)).count()
    }

    /// The rows with those that repeat each other made one.
    fn folded(&self) -> Vec<[String; 6]> {
        let mut cells = vec![["recording", "exchange", "request", "status", "compared", "result"].map(str::to_owned)];
        let mut rows = self.rows.iter().peekable();
        while let Some(first) = rows.next() {
            let mut last = first;
            while let Some(next) = rows.next_if(|next| last.repeats(next)) {
                last = next;
            }
            cells.push(first.cells(last.exchange));
        }
        cells
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.folded();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &cells {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        let (all, differing) = (self.rows.len(), self.differences().count());
        writeln!(formatter, "\n{all} exchanges compared: {} the same, {differing} different", all - differing)?;
        writeln!(formatter, "\nKnown differences, where recordings differ from each other:")?;
        for known in Known::ALL {
            writeln!(formatter, "  {} (in {}): {}", known.letter(), self.explains(known), known.reason())?;
        }
        writeln!(formatter, "\nNot compared: {}", self.not_applicable.len())?;
        for NotApplicable { what, reason } in &self.not_applicable {
            writeln!(formatter, "  {what}: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_repeat_each_other_are_one_line_and_count_for_all() {
        let row = |index, status| Row {
            recording: "r".into(),
            exchange: index,
            request: "GET /secrets/db/".into(),
            status,
            verdict: Verdict { headers: 9, members: 3, ..Verdict::default() },
        };
        let table = Table { rows: vec![row(0, 404), row(1, 404), row(2, 200)], ..Table::default() };
        let text = table.to_string();
        assert!(
            text.contains("r          0-1       GET /secrets/db/  404     status, 9 headers, 3 members  same\n"),
            "{text}"
        );
        assert!(text.contains("r          2         GET /secrets/db/  200 "), "{text}");
        assert!(text.contains("3 exchanges compared: 3 the same, 0 different"), "{text}");
    }
}
