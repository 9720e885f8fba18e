//! What people see while work is under way: a line when something begins, and one when it ends.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::item::Label;

/// Where lines about progress go, and how.
#[derive(Debug)]
pub struct Progress {
    form: Form,
    under_way: Mutex<Vec<Label>>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A last line that tells what is under way, and is written over.
    Terminal,
    /// Lines that stay.
    Lines,
    /// Nothing: a program reads the result.
    Silent,
}

impl Progress {
    /// Progress on standard error.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self { form, under_way: Mutex::default() }
    }

    /// Something begins.
    pub fn begins(&self, label: &Label) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.push(label.clone());
        self.show_under_way(&under_way);
    }

    /// Something has ended; `word` says how.
    pub fn ended(&self, label: &Label, word: &str, took: Duration) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|other| other != label);
        let took = if took < Duration::from_secs(1) { String::new() } else { format!(" ({} s)", took.as_secs()) };
        match self.form {
            Form::Terminal => say(&format!("\r\x1b[K{word:<9} {label}{took}\n")),
            Form::Lines => say(&format!("{word:<9} {label}{took}\n")),
            Form::Silent => {}
        }
        self.show_under_way(&under_way);
    }

    fn show_under_way(&self, under_way: &[Label]) {
        if self.form != Form::Terminal {
            return;
        }
        let line = match under_way {
            [] => String::new(),
            [one] => format!("... {one}"),
            [first, rest @ ..] => format!("... {first} and {} more", rest.len()),
        };
        say(&format!("\r\x1b[K{line}"));
    }
}

/// When the terminal is gone, nobody is left to tell.
fn say(text: &str) {
    let mut errors = std::io::stderr().lock();
    drop(errors.write_all(text.as_bytes()).and_then(|()| errors.flush()));
}
