//! How far it is, on stderr; hidden where that is no terminal.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::input::Input;

/// How far a scan is.
pub struct Progress(ProgressBar);

/// How often a bar is drawn that nobody moves.
const TICK: Duration = Duration::from_millis(250);

impl Progress {
    /// Nothing is read yet.
    pub fn of(inputs: &[Input]) -> Self {
        let bar = ProgressBar::new(0);
        if bar.is_hidden() {
            return Progress(bar);
        }
        // Without the size of one there is no telling how long it takes.
        let size: Option<u64> = inputs.iter().map(Input::size).sum();
        let template = match size {
            Some(_) => "{wide_bar} {bytes} of {total_bytes}, {msg}, {bytes_per_sec}, {eta} left",
            None => "{bytes}, {msg}, {bytes_per_sec}, {elapsed}",
        };
        // Whatever is set of a bar that stands is drawn, so all of it is there before.
        let mut bar = size.map_or(bar, ProgressBar::new).with_message(in_words(0));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar = bar.with_style(style);
        }
        bar.enable_steady_tick(TICK);
        Progress(bar)
    }

    /// Shows how many bytes were read, and what was in them.
    pub fn show(&self, bytes: u64, entries: u64) {
        if !self.0.is_hidden() {
            self.0.set_position(bytes);
            self.0.set_message(in_words(entries));
        }
    }

    /// Prints something while the bar is out of the way.
    pub fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

fn in_words(entries: u64) -> String {
    match entries {
        1 => "1 entry".to_owned(),
        many => format!("{} entries", HumanCount(many)),
    }
}
