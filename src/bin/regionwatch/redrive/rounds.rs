//! Payload after payload: handled, noted, deleted, counted.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use regionwatch::handler::{HandleError, Handler, Invocation};
use regionwatch::ledger::Ledger;
use regionwatch::publish::Publish;
use regionwatch::undelivered::{Payloads, Undelivered};

use super::journal::Journal;
use super::place::{Handle, Kept, Place, Rest};
use crate::invoke::TIME;
use crate::output::{Format, complain, plural, print_beside, summary_line};
use crate::{Done, now};

/// Whether anything is changed.
pub enum Mode {
    /// Nothing is.
    Dry {
        /// How it is done for real, in words.
        advice: Vec<String>,
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
    /// Which policy judges, in words.
    policy: String,
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
    /// Calls of the ledger; what it should have judged was published.
    ledger_errors: u64,
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
        policy: String,
        done: HashSet<String>,
        format: Format,
        bar: ProgressBar,
    ) -> Self {
        Rounds { handler, mode, policy, done, format, bar, tally: Tally::default(), in_a_row: 0 }
    }

    /// Goes through the place, and says what was done.
    pub async fn run(mut self, mut place: Place) -> Result<Done, String> {
        self.tally.faults = place.faults();
        let went = self.go(&mut place).await;
        self.bar.finish_and_clear();
        if let Err(fault) = place.release().await {
            complain(&fault);
        }
        let rest = if went.is_ok() { place.rest().await } else { Rest::None };
        self.tally.faults += u64::from(matches!(rest, Rest::Some(_)));
        let reported = self.report(went.is_ok());
        match rest {
            Rest::None => {}
            Rest::Some(what) | Rest::Unknown(what) => complain(&what),
        }
        went.and(reported)?;
        Ok(Done::after(self.tally.wrong(), false))
    }

    async fn go(&mut self, place: &mut Place) -> Result<(), String> {
        while let Some(Kept { name, written, content, handle }) = place.next().await? {
            self.bar.set_length(place.known());
            if self.take(&name, written, content).await? {
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
        written: Option<Timestamp>,
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
                Ok(payload) if found == 1 => self.redrive(name, written, &payload).await?,
                Ok(payload) => {
                    let name = format!("{name}, payload {found}");
                    self.redrive(&name, written, &payload).await?
                }
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

    /// Handles one payload, unless it is done, in the ledger's window of its own time: what else
    /// happened in a month is not one incident because it is published in one run. `Err` where it was published and that could not be
    /// noted: the next run would publish it again, and so must not come to others first.
    async fn redrive(
        &mut self,
        name: &str,
        written: Option<Timestamp>,
        undelivered: &Undelivered,
    ) -> Result<bool, String> {
        if self.done.contains(&undelivered.id) {
            self.tally.before += 1;
            self.say(&format!("{name}: done before"))?;
            return Ok(true);
        }
        let begun = now();
        let id = undelivered.request.as_deref().unwrap_or(name);
        let time = undelivered.time(self.handler.limits.max_inflated_bytes).or(written);
        let time = time.unwrap_or(begun).min(begun);
        let invocation = Invocation { id, now: time, began: begun, deadline: begun + TIME };
        let payload = undelivered.payload.as_bytes();
        let (summary, outcome) = self.handler.handle(payload, &invocation).await;
        self.tally.messages += summary.messages;
        self.tally.ledger_errors += summary.ledger_errors;
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
            journal.note(&undelivered.id, name, begun)?;
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

    /// By what was judged; what was done, in one line; what is still to be done, one by one; and
    /// how to go on, where the place could be gone through.
    fn report(&self, is_whole: bool) -> Result<(), String> {
        let is_dry = matches!(self.mode, Mode::Dry { .. });
        print_beside(&self.policy, self.format)?;
        print_beside(
            &format!("{}{}", if is_dry { "dry run: " } else { "" }, self.tally),
            self.format,
        )?;
        if !self.tally.left.is_empty() {
            complain(&format!("still to be done:\n  {}", self.tally.left.join("\n  ")));
        }
        match &self.mode {
            Mode::Dry { advice } if is_whole => {
                advice.iter().try_for_each(|line| print_beside(line, self.format))
            }
            Mode::Dry { .. } | Mode::Publish { .. } => Ok(()),
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
        usize::try_from(self.failed + self.faults + self.ledger_errors).unwrap_or(usize::MAX)
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
        if self.ledger_errors > 0 {
            let errors = plural(self.ledger_errors, "error", "errors");
            write!(f, "; {errors} of the ledger")?;
        }
        if self.faults > 0 {
            write!(f, "; {}", plural(self.faults, "other fault", "other faults"))?;
        }
        write!(f, "; {} deleted", self.deleted)
    }
}
