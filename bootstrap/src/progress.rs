//! What people see while work is under way: what has begun, for how long, and what has ended.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::item::Label;

/// How often a spinner turns: the slowest that looks alive.
const TURN: Duration = Duration::from_millis(200);

/// Progress on standard error: one line for whatever ends, and on a terminal a spinner for whatever is under way.
#[derive(Debug)]
pub struct Progress {
    form: Form,
    spinners: MultiProgress,
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// To people.
    Shown,
    /// Nothing: a program reads the result.
    Silent,
}

/// Something that has begun. Dropped before it has ended, it leaves no line behind.
#[derive(Debug)]
pub struct UnderWay<'a> {
    progress: &'a Progress,
    label: &'a Label,
    since: Instant,
    spinner: ProgressBar,
}

impl Progress {
    /// Progress on standard error, which draws nothing where that is no terminal, or one that cannot move its cursor.
    #[must_use]
    pub fn new(form: Form) -> Self {
        let target = match form {
            Form::Shown => ProgressDrawTarget::stderr(),
            Form::Silent => ProgressDrawTarget::hidden(),
        };
        Self { form, spinners: MultiProgress::with_draw_target(target) }
    }

    /// Something begins.
    ///
    /// # Panics
    /// Never: the template of the line is a constant.
    #[must_use]
    pub fn begins<'a>(&'a self, label: &'a Label) -> UnderWay<'a> {
        let style =
            ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}").expect("a template of indicatif");
        let spinner = ProgressBar::new_spinner().with_style(style.tick_chars("|/-\\ ")).with_message(label.to_string());
        let spinner = self.spinners.add(spinner);
        // Each turns in a thread of its own, which is of no use where nothing is drawn.
        if !spinner.is_hidden() {
            spinner.enable_steady_tick(TURN);
        }
        UnderWay { progress: self, label, since: Instant::now(), spinner }
    }
}

impl UnderWay<'_> {
    /// It has ended; `word` says how.
    pub fn ended(self, word: &str) {
        let Self { progress, label, since, spinner } = self;
        spinner.finish_and_clear();
        let took = since.elapsed().as_secs();
        let took = if took == 0 { String::new() } else { format!(" ({took} s)") };
        if progress.form == Form::Shown {
            progress.spinners.suspend(|| say(&format!("{word:<9} {label}{took}\n")));
        }
    }
}

/// When the terminal is gone, nobody is left to tell.
fn say(text: &str) {
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}
