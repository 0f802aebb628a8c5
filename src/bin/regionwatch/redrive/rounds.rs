//! Payload after payload: handled, noted, deleted, counted.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use indicatif::{ProgressBar, ProgressStyle};
use regionwatch::handler::{HandleError, Handler, Invocation};
use regionwatch::ledger::Ledger;
use regionwatch::publish::Publish;
use regionwatch::undelivered::{Payloads, Undelivered};

use super::journal::Journal;
use super::place::{Handle, Kept, Place};
use crate::invoke::TIME;
use crate::output::{Format, complain, plural, print_beside, summary_line};
use crate::{Done, now};

/// Whether anything is changed.
pub enum Mode {
    /// Nothing is.
    Dry {
        /// The topic, where one was named.
        topic: Option<String>,
    },
    /// What is published is noted, then deleted.
    Publish {
        /// Where it is noted.
        journal: Journal,
        /// Nothing is deleted.
        keep: bool,
    },
}

/// One run of the command.
pub struct Rounds<'a, L, P> {
    handler: Handler<'a, L, P>,
    mode: Mode,
    /// Payloads that are done, in this run or an earlier one.
    done: HashSet<String>,
    format: Format,
    bar: ProgressBar,
    tally: Tally,
    /// Payloads one after the other that could not be published.
    in_a_row: u32,
}

/// What was done.
#[derive(Default)]
struct Tally {
    handled: u64,
    before: u64,
    messages: u64,
    deleted: u64,
    failed: u64,
    faults: u64,
    /// What is still to be done, by name.
    left: Vec<String>,
}

/// One bad payload must not keep those behind it waiting; but where nothing can be published, it
/// does not help to try hundreds.
const MOST_IN_A_ROW: u32 = 3;

/// A bar on stderr; hidden where that is no terminal.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{wide_bar} {pos} of {len}, {msg}, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl<'a, L: Ledger, P: Publish> Rounds<'a, L, P> {
    /// A run that knows what is done already.
    pub fn new(
        handler: Handler<'a, L, P>,
        mode: Mode,
        done: HashSet<String>,
        format: Format,
        bar: ProgressBar,
    ) -> Self {
        Rounds { handler, mode, done, format, bar, tally: Tally::default(), in_a_row: 0 }
    }

    /// Goes through the place, and says what was done.
    pub async fn run(mut self, mut place: Place) -> Result<Done, String> {
        self.tally.faults = place.faults();
        let went = self.go(&mut place).await;
        self.bar.finish_and_clear();
        if let Err(fault) = place.release().await {
            complain(&fault);
        }
        let reported = self.report();
        went.and(reported)?;
        Ok(Done::after(self.tally.wrong(), false))
    }

    async fn go(&mut self, place: &mut Place) -> Result<(), String> {
        while let Some(Kept { name, content, handle }) = place.next().await? {
            self.bar.set_length(place.known());
            if self.take(&name, content).await? {
                self.delete(place, &name, &handle).await;
            } else {
                self.tally.left.push(name);
            }
            self.bar.inc(1);
            if self.in_a_row == MOST_IN_A_ROW {
                let what = "payloads in a row could not be published, and the others were left";
                return Err(format!("{MOST_IN_A_ROW} {what}"));
            }
        }
        Ok(())
    }

    /// Handles all that is in there; `true` where it is done, and nobody needs it any more.
    async fn take(
        &mut self,
        name: &str,
        content: Result<Box<dyn Read>, String>,
    ) -> Result<bool, String> {
        let content = match content {
            Ok(content) => content,
            Err(fault) => return Ok(self.fault(name, &fault)),
        };
        let (mut found, mut is_done) = (0, true);
        for payload in Payloads::new(content) {
            found += 1;
            self.bar.set_message(plural(self.tally.payloads() + 1, "payload", "payloads"));
            is_done &= match payload {
                Ok(payload) if found == 1 => self.redrive(name, &payload).await?,
                Ok(payload) => self.redrive(&format!("{name}, payload {found}"), &payload).await?,
                Err(fault) => self.fault(name, &fault.to_string()),
            };
            if self.in_a_row == MOST_IN_A_ROW {
                return Ok(false);
            }
        }
        if found == 0 {
            return Ok(self.fault(name, "it is empty"));
        }
        Ok(is_done)
    }

    fn fault(&mut self, name: &str, fault: &str) -> bool {
        self.tally.faults += 1;
        self.complain(&format!("{name}: {fault}"));
        false
    }

    /// Handles one payload, unless it is done. `Err` where it was published and that could not be
    /// noted: the next run would publish it again, and so must not come to others first.
    async fn redrive(&mut self, name: &str, undelivered: &Undelivered) -> Result<bool, String> {
        if self.done.contains(&undelivered.id) {
            self.tally.before += 1;
            self.say(&format!("{name}: done before"))?;
            return Ok(true);
        }
        let now = now();
        let id = undelivered.request.as_deref().unwrap_or(name);
        let invocation = Invocation { id, now, began: now, deadline: now + TIME };
        let payload = undelivered.payload.as_bytes();
        let (summary, outcome) = self.handler.handle(payload, &invocation).await;
        self.tally.messages += summary.messages;
        if let Some(fault) = &summary.ledger_fault {
            self.complain(&format!("{name}: {fault}"));
        }
        if let Err(error) = outcome {
            let is_refused = matches!(error, HandleError::Publish { .. });
            self.in_a_row += u32::from(is_refused);
            self.tally.failed += 1;
            self.complain(&format!("{name}: {error}"));
            return Ok(false);
        }
        // One that has nothing to publish says nothing about the topic.
        if summary.messages > 0 {
            self.in_a_row = 0;
        }
        if let Mode::Publish { journal, .. } = &mut self.mode {
            journal.note(&undelivered.id, name, now)?;
        }
        self.done.insert(undelivered.id.clone());
        self.tally.handled += 1;
        self.say(&summary_line(name, &summary))?;
        Ok(true)
    }

    async fn delete(&mut self, place: &mut Place, name: &str, handle: &Handle) {
        if !matches!(self.mode, Mode::Publish { keep: false, .. }) {
            return;
        }
        match place.delete(handle).await {
            Ok(is_deleted) => self.tally.deleted += u64::from(is_deleted),
            Err(fault) => {
                self.fault(name, &format!("it was published, and could not be deleted: {fault}"));
            }
        }
    }

    /// What was done, in one line; what is still to be done, one by one; and how to go on.
    fn report(&self) -> Result<(), String> {
        let is_dry = matches!(self.mode, Mode::Dry { .. });
        print_beside(
            &format!("{}{}", if is_dry { "dry run: " } else { "" }, self.tally),
            self.format,
        )?;
        if !self.tally.left.is_empty() {
            complain(&format!("still to be done:\n  {}", self.tally.left.join("\n  ")));
        }
        match &self.mode {
            Mode::Dry { topic } => {
                let more = if topic.is_some() { "--publish" } else { "--publish --topic-arn ARN" };
                let what = "nothing was published, noted or deleted; to do it, add";
                print_beside(&format!("{what} {more}"), self.format)
            }
            Mode::Publish { .. } => Ok(()),
        }
    }

    fn say(&self, line: &str) -> Result<(), String> {
        self.bar.suspend(|| print_beside(line, self.format))
    }

    fn complain(&self, what: &str) {
        self.bar.suspend(|| complain(what));
    }
}

impl Tally {
    fn payloads(&self) -> u64 {
        self.handled + self.before + self.failed
    }

    fn wrong(&self) -> usize {
        usize::try_from(self.failed + self.faults).unwrap_or(usize::MAX)
    }
}

/// `12 payloads: 10 handled, 1 done before, 1 failed; 3 messages; 2 other faults; 11 deleted`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { handled, before, failed, .. } = self;
        let payloads = plural(self.payloads(), "payload", "payloads");
        let messages = plural(self.messages, "message", "messages");
        write!(
            f,
            "{payloads}: {handled} handled, {before} done before, {failed} failed; {messages}"
        )?;
        if self.faults > 0 {
            write!(f, "; {}", plural(self.faults, "other fault", "other faults"))?;
        }
        write!(f, "; {} deleted", self.deleted)
    }
}
