//! The table: what was measured, beside what it is measured against, and whether that is what was wanted.

use std::fmt::Write as _;

/// A figure and its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    /// A time, in seconds.
    Time(f64),
    /// So many in a second.
    Rate(f64),
    /// Bytes.
    Bytes(f64),
    /// So many.
    Count(f64),
    /// A share of one.
    Share(f64),
}

/// What a row should come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At most so much of the unit.
    AtMost(Figure),
    /// At most so many times the reference.
    RatioAtMost(f64),
    /// At least so many times the reference.
    RatioAtLeast(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// Keyside's figure; none where it could not be measured here.
    pub(crate) figure: Option<Figure>,
    /// The same of what it is beside.
    pub(crate) beside: Vec<Option<Figure>>,
    /// Keyside's figure to the first of those.
    pub(crate) ratio: Option<f64>,
    /// What it should come to.
    pub(crate) target: Option<Target>,
}

impl Row {
    /// A figure that stands alone.
    pub(crate) fn of(what: impl Into<String>, figure: Figure) -> Self {
        Self { what: what.into(), figure: Some(figure), beside: Vec::new(), ratio: None, target: None }
    }

    /// The same with a target.
    pub(crate) fn wanted(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Whether the target is met; none where there is none, or nothing was measured.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.target? {
            Target::AtMost(most) => Some(self.figure?.value() <= most.value()),
            Target::RatioAtMost(most) => Some(self.ratio? <= most),
            Target::RatioAtLeast(least) => Some(self.ratio? >= least),
        }
    }

    fn line(&self, beside: usize) -> String {
        let figure = |figure: Option<Figure>| figure.map_or_else(String::new, Figure::text);
        let mut line = format!("| {} | {} |", self.what, figure(self.figure));
        for index in 0..beside {
            write!(line, " {} |", figure(self.beside.get(index).copied().flatten())).expect("a text takes everything");
        }
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let target = match self.target {
            Some(Target::AtMost(most)) => format!("≤ {}", most.text()),
            Some(Target::RatioAtMost(most)) => format!("ratio ≤ {most:.2}"),
            Some(Target::RatioAtLeast(least)) => format!("ratio ≥ {least:.2}"),
            None => String::new(),
        };
        let verdict = match self.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        write!(line, " {ratio} | {target} | {verdict} |").expect("a text takes everything");
        line
    }
}

impl Figure {
    fn value(self) -> f64 {
        match self {
            Self::Time(value) | Self::Rate(value) | Self::Bytes(value) | Self::Count(value) | Self::Share(value) => {
                value
            }
        }
    }

    fn text(self) -> String {
        match self {
            Self::Time(seconds) if seconds < 1e-3 => format!("{:.1} µs", seconds * 1e6),
            Self::Time(seconds) => format!("{:.2} ms", seconds * 1e3),
            Self::Rate(rate) => format!("{:.0}k/s", rate / 1e3),
            Self::Bytes(bytes) => format!("{:.2} MB", bytes / 1e6),
            Self::Count(count) => format!("{count:.0}"),
            Self::Share(share) => format!("{:.0} %", share * 100.0),
        }
    }
}

/// The whole table, as Markdown.
pub(crate) fn markdown(rows: &[Row], beside: &[&str]) -> String {
    let mut columns = vec!["", "Keyside"];
    columns.extend(beside);
    columns.extend(["ratio", "target", ""]);
    let mut table = format!("| {} |\n|---|{}\n", columns.join(" | "), "---:|".repeat(columns.len() - 1));
    for row in rows {
        table += &row.line(beside.len());
        table.push('\n');
    }
    table
}
