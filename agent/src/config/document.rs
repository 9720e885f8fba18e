//! Reads TOML tables one by one and collects every problem with its line, instead of stopping at the first.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error as _, IntoDeserializer as _};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// One thing that is wrong with the file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// Where in the file, what is wrong there, and the remedy.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

/// Most problems that are told of one table: nobody reads more, and each costs another reading of the table.
const PROBLEMS_MAX: usize = 50;

/// The file's tables, taken out one by one, and the problems found on the way.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    tables: DeTable<'a>,
    /// What was found so far, in the order of finding.
    pub problems: Vec<Problem>,
    /// What did not fit: the place of its table, and the path to it from there.
    left_out: Vec<(Range<usize>, String)>,
}

/// The message with what it quotes of the file written so that no terminal obeys it.
fn harmless(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    let told = |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    message.chars().map(told).collect()
}

impl<'a> Document<'a> {
    /// Splits the text into tables. What is no TOML is one problem, and no table is read then: a missing bracket makes
    /// everything after it look wrong.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut document = Self { text, tables: root.into_inner(), problems: Vec::new(), left_out: Vec::new() };
        if let Some(error) = errors.first() {
            document.report(&error.span().unwrap_or_default(), format!("this is no TOML: {}", error.message()));
        }
        document
    }

    /// Whether the text could be split into tables.
    #[must_use]
    pub fn is_toml(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes a problem at a place in the text.
    pub fn report(&mut self, span: &Range<usize>, message: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        self.problems.push(Problem { line: 1 + before.matches('\n').count(), message: harmless(message) });
    }

    /// Notes that something is missing from the file as a whole.
    pub fn report_at_end(&mut self, message: String) {
        self.report(&(self.text.len()..self.text.len()), message);
    }

    /// Whether the file has a table of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// Takes the table `[name]` out; an absent one reads like an empty one at the file's end.
    pub fn table<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match self.tables.remove(name) {
            Some(value) => self.read(name, value),
            None => self.shape(name, Spanned::new(self.text.len()..self.text.len(), DeTable::new())),
        }
    }

    /// Takes the table `[name]` out if there is one.
    pub fn optional_table<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.tables.remove(name)?;
        self.read(name, value)
    }

    /// Takes the tables `[[name]]` out, each with its place in the text.
    pub fn tables<T: DeserializeOwned>(&mut self, name: &str) -> Vec<(Range<usize>, T)> {
        let Some(value) = self.tables.remove(name) else { return Vec::new() };
        let span = value.span();
        let DeValue::Array(elements) = value.into_inner() else {
            self.report(&span, format!("{name} must be written as tables: [[{name}]]"));
            return Vec::new();
        };
        elements
            .into_iter()
            .filter_map(|element| {
                let span = element.span();
                self.read(name, element).map(|table| (span, table))
            })
            .collect()
    }

    /// Reads what stands before the first table, once all tables have been taken out.
    pub fn rest<T: DeserializeOwned>(&mut self) -> Option<T> {
        let tables = std::mem::take(&mut self.tables);
        self.shape("", Spanned::new(0..0, tables))
    }

    fn read<T: DeserializeOwned>(&mut self, name: &str, value: Spanned<DeValue<'_>>) -> Option<T> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => self.shape(name, Spanned::new(span, table)),
            other => {
                self.report(&span, format!("{name} must be a table, [{name}], and is of type {}", other.type_str()));
                None
            }
        }
    }

    /// Where the table, or the first of the tables, of this name begins, if it has not been taken out.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Range<usize>> {
        self.tables.get(name).map(Spanned::span)
    }

    /// Whether a key of the table that begins at `table` did not fit and was left out: it is there, but not as a value.
    #[must_use]
    pub fn is_left_out(&self, table: &Range<usize>, key: &str) -> bool {
        let inside = |path: &str| path.split('.').next() == Some(key);
        self.left_out.iter().any(|(other, path)| other == table && inside(path))
    }

    /// Reads a table into its shape. What does not fit is reported and left out, and the rest is tried again.
    fn shape<T: DeserializeOwned>(&mut self, name: &str, mut table: Spanned<DeTable<'_>>) -> Option<T> {
        let place = if name.is_empty() { String::new() } else { format!("[{name}] ") };
        let whole = table.span();
        let mut looks = 0;
        loop {
            let error = match T::deserialize(table.clone().into_deserializer()) {
                Ok(shape) => return Some(shape),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(table.span());
            if looks == PROBLEMS_MAX {
                self.report(&span, format!("{place}and more: these are the first {PROBLEMS_MAX} problems here"));
                return None;
            }
            looks += 1;
            let missing = error.message().strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
            let left_out = |path: &str| self.left_out.iter().any(|(other, key)| *other == whole && key == path);
            let taken = take_out(table.get_mut(), &span, missing.is_some());
            let known = missing.is_some_and(|key| match &taken {
                Some(path) => left_out(&format!("{path}.{key}")),
                None => left_out(key),
            });
            if !known {
                let told = match &taken {
                    Some(path) => complaint(name, path, error.message()),
                    None => without_value(error.message()),
                };
                self.report(&span, format!("{place}{told}"));
            }
            self.left_out.push((whole.clone(), taken?));
        }
    }
}

/// Takes the innermost key, or member of a list, out that holds the place of an error, and answers with the path to it.
/// What lacks a key of its own is a table, whose place it is exactly.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>, lacks_a_key: bool) -> Option<String> {
    let holds = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end && !outer.is_empty();
    let mut found = None;
    for (key, value) in table.iter_mut() {
        let (named, valued) = (key.span(), value.span());
        let here = if lacks_a_key { valued == *span } else { holds(&named) || holds(&valued) };
        let inner = match value.get_mut() {
            DeValue::Table(inner) => take_out(inner, span, lacks_a_key),
            DeValue::Array(members) if !lacks_a_key => {
                let before = members.len();
                let all = std::mem::replace(members, DeArray::new());
                all.into_iter().filter(|member| !holds(&member.span())).for_each(|member| members.push(member));
                (members.len() < before).then(String::new)
            }
            _ => None,
        };
        let key = key.get_ref().as_ref();
        match inner {
            Some(inner) if inner.is_empty() => return Some(key.to_owned()),
            Some(inner) => return Some(format!("{key}.{inner}")),
            None if here => found = Some(key.to_owned()),
            None => {}
        }
    }
    let key = found?;
    table.remove(key.as_str());
    Some(key)
}

fn complaint(table: &str, key: &str, message: &str) -> String {
    if !message.starts_with("unknown field ") {
        let message = without_value(message).replace("expected a sequence", "expected a list, as in [\"…\"]");
        return format!("{key}: {message}");
    }
    if table.is_empty() {
        return format!("`{key}` is neither a table nor a key that stands above the tables");
    }
    let known = message.rsplit_once(EXPECTED).map_or("another", |(_, known)| known);
    format!("unknown key `{key}`, expected {known}; a key for the whole file stands above the first table")
}

/// What serde writes before what would have fitted.
const EXPECTED: &str = ", expected ";

/// A message of serde's without the value that it quotes: what stands in the wrong place may be a secret.
fn without_value(message: &str) -> String {
    let quoting = ["invalid type: ", "invalid value: "].iter().any(|start| message.starts_with(start));
    match (message.find(['"', '`']), message.rsplit_once(EXPECTED)) {
        (Some(quote), Some((found, expected))) if quoting && quote < found.len() => {
            format!("{}{EXPECTED}{expected}", found[..quote].trim_end())
        }
        _ => message.to_owned(),
    }
}

/// A value that the file holds as text and that is checked while it is read.
#[derive(Clone, Debug)]
pub struct Parsed<T>(pub T);

impl<'de, T> Deserialize<'de> for Parsed<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretName;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        name: Parsed<SecretName>,
        #[serde(default)]
        count: u32,
    }

    fn problems(text: &str) -> Vec<String> {
        let mut document = Document::parse(text);
        drop(document.table::<Shape>("one"));
        drop(document.tables::<Shape>("many"));
        document.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_that_fits_is_read() {
        let mut document = Document::parse("[one]\nname = 'db'\ncount = 3\n");
        let shape: Shape = document.table("one").expect("it fits");
        assert_eq!((shape.name.0.as_str(), shape.count), ("db", 3));
        assert_eq!(document.problems, []);
    }

    #[test]
    fn all_problems_of_a_table_are_found_with_their_lines() {
        let text = "[one]\nname = 'a_b'\ncount = 'x'\nmore = 1\nless = 2\n";
        let found = problems(text);
        assert_eq!(found.len(), 4, "{found:#?}");
        for start in [
            "line 2: [one] name: 'a_b' is no Key Vault",
            "line 3: [one] count:",
            "line 4: [one] unknown key `more`",
            "line 5: [one] unknown key `less`",
        ] {
            assert!(found.iter().any(|line| line.starts_with(start)), "{start}: {found:#?}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nested {
        inner: Option<Shape>,
        names: Option<Vec<Spanned<String>>>,
    }

    #[test]
    fn what_is_wrong_in_a_table_of_a_table_is_told_with_its_path_and_hides_nothing() {
        let told = |text: &str| {
            let mut document = Document::parse(text);
            let place = document.place("one").expect("it is there");
            let read = document.table::<Nested>("one");
            let left_out = document.is_left_out(&place, "inner");
            (
                read.is_some_and(|one| one.inner.is_none() || one.names.is_some()),
                left_out,
                document.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            )
        };
        let (read, left_out, found) =
            told("[one]\nnames = ['a', 7]\n[one.inner]\nname = 'a_b'\ncount = 'x'\nmore = 1\n");
        assert!(read && left_out, "{found:#?}");
        let starts = [
            "line 2: [one] names: invalid type: integer",
            "line 4: [one] inner.name: 'a_b' is no Key Vault",
            "line 5: [one] inner.count: invalid type",
            "line 6: [one] unknown key `inner.more`",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        assert!(starts.iter().all(|start| found.iter().any(|line| line.starts_with(start))), "{found:#?}");
        for text in ["[one]\ninner = { count = 3 }\n", "[one.inner]\ncount = 3\n"] {
            let (read, _, found) = told(text);
            assert!(read && found.len() == 1, "{found:#?}");
            assert!(found[0].ends_with("[one] inner: missing field `name`"), "{found:#?}");
        }
    }

    #[test]
    fn every_table_of_a_list_is_read_by_itself() {
        let text = "[one]\nname = 'ok'\n[[many]]\n[[many]]\nname = 'fine'\n[[many]]\nname = 7\n";
        let found = problems(text);
        assert_eq!(
            found,
            ["line 3: [many] missing field `name`", "line 7: [many] name: invalid type: integer, expected a string",]
        );
    }

    #[test]
    fn a_value_in_the_wrong_place_is_not_quoted() {
        let rows = [
            ("'hunter2'", "string"),
            (r#""hunter2\", expected hunter2""#, "string"),
            ("'''hunter2`\nhunter2'''", "string"),
            ("-4221", "integer"),
            ("4221.5", "floating point"),
        ];
        for (value, kind) in rows {
            let found = problems(&format!("[one]\nname = 'db'\ncount = {value}\n"));
            let start =
                format!("line 3: [one] count: invalid {}: {kind}", if value == "-4221" { "value" } else { "type" });
            assert_eq!(found, [format!("{start}, expected u32")]);
        }
        assert_eq!(problems("[one]\nname = 4221\n"), ["line 2: [one] name: invalid type: integer, expected a string"]);
    }

    #[test]
    fn the_name_of_a_key_commands_no_terminal() {
        let found = problems("[one]\nname = 'db'\n\"\\u001b]0;x\\u0007, expected\" = 1\n");
        let expected = r"line 3: [one] unknown key `\u{1b}]0;x\u{7}, expected`, expected `name` or `count`";
        assert!(found[0].starts_with(expected), "{found:#?}");
    }

    #[test]
    fn a_table_with_thousands_of_problems_is_told_by_its_first_ones() {
        use std::fmt::Write as _;
        let mut text = "[one]\nname = 'db'\n".to_owned();
        for number in 0..5_000 {
            writeln!(text, "key{number} = 1").expect("a text");
        }
        let found = problems(&text);
        assert_eq!(found.len(), PROBLEMS_MAX + 1);
        assert!(found[PROBLEMS_MAX].contains("and more"), "{found:#?}");
    }

    #[test]
    fn what_is_no_toml_is_a_problem_with_its_line() {
        let found = problems("[one]\nname = 'ok'\n\nname name\n");
        assert!(found[0].starts_with("line 4: this is no TOML: "), "{found:#?}");
    }

    #[test]
    fn a_value_where_a_table_belongs_is_named() {
        assert_eq!(
            problems("one = 1\nmany = 2\n"),
            [
                "line 1: one must be a table, [one], and is of type integer",
                "line 2: many must be written as tables: [[many]]",
            ]
        );
    }
}
