//! Files read side by side, their sheets handed over in the order of the files.
//!
//! Each reader takes the next run of files and writes its sheets to a channel of the run's own;
//! whoever gathers them empties one channel after the other. Both the channels and the sheets in
//! each are bounded, so that what is ahead of its turn stays small.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use regionwatch::history::{Clerk, Sheet, Wanted};
use regionwatch::policy::Policy;
use regionwatch::source;

use super::pipe::Pipe;
use crate::input::Input;

/// What there is to do, and how far it is.
pub struct Plan {
    inputs: Vec<Input>,
    /// Judges.
    pub policy: Policy,
    /// Which records are judged.
    pub wanted: Wanted,
    decides: bool,
    /// The next input that nobody reads yet.
    next: AtomicUsize,
    bytes: AtomicU64,
    stopped: AtomicBool,
}

/// What is heard of some inputs.
#[derive(Default)]
pub struct News {
    /// Some of their records.
    pub sheet: Sheet,
    /// Inputs that ended with them: each by its number, with how many things were passed over in
    /// it, or why it could not be read on.
    ended: Vec<(usize, Result<u64, String>)>,
}

/// Runs of inputs whose sheets may wait for their turn.
const MOST_AHEAD: usize = 32;

/// Sheets of a run that may wait.
const MOST_SHEETS: usize = 2;

/// Inputs in a run: most files are small, and to wake somebody for each costs more than to read it.
const MOST_IN_RUN: usize = 128;

/// How often somebody looks whether to stop while nothing is heard.
pub const LOOK: Duration = Duration::from_millis(100);

/// How long readers have to say what they read when it is broken off. They look often; only a disk
/// that does not answer keeps one longer.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Plan {
    /// Nothing is done yet.
    pub fn new(inputs: Vec<Input>, policy: Policy, wanted: Wanted, decides: bool) -> Self {
        let (next, bytes, stopped) = Default::default();
        Plan { inputs, policy, wanted, decides, next, bytes, stopped }
    }

    /// Bytes read so far, as they lie in the files.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether somebody broke it off.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// The first Ctrl-C ends reading, the second the command.
pub fn stop_on_interrupt(plan: &Arc<Plan>) {
    let plan = Arc::clone(plan);
    let set = ctrlc::set_handler(move || {
        if plan.stopped.swap(true, Ordering::Relaxed) {
            std::process::exit(128 + 2);
        }
    });
    // Without a handler, Ctrl-C ends the command as it ends any other.
    drop(set);
}

/// What is heard of runs of inputs, in their order.
type Order = SyncSender<Receiver<News>>;

/// Reads all inputs, that many at a time. `on_news` hears everything in the order of the inputs.
pub fn read_all(
    plan: &Arc<Plan>,
    threads: usize,
    mut on_news: impl FnMut(News) -> Result<(), String>,
) -> Result<(), String> {
    let (order, runs) = sync_channel(MOST_AHEAD);
    let order = Arc::new(Mutex::new(order));
    // Every thread has several runs, so that none is idle for long at the end.
    let length = (plan.inputs.len() / (threads * 8)).clamp(1, MOST_IN_RUN);
    for _ in 0..threads.min(plan.inputs.len()) {
        let (plan, order) = (Arc::clone(plan), Arc::clone(&order));
        // Not waited for: a reader whom nobody hears ends by itself.
        thread::spawn(move || read_some(&plan, length, &order));
    }
    drop(order);
    while let Some(run) = heard(plan, &runs) {
        while let Some(news) = heard(plan, &run) {
            on_news(news)?;
        }
    }
    Ok(())
}

/// The next thing heard; none where nobody says anything any more.
fn heard<T>(plan: &Plan, from: &Receiver<T>) -> Option<T> {
    loop {
        let is_stopped = plan.is_stopped();
        match from.recv_timeout(if is_stopped { LAST_WORDS } else { LOOK }) {
            Ok(heard) => return Some(heard),
            Err(RecvTimeoutError::Timeout) if !is_stopped => {}
            Err(_) => return None,
        }
    }
}

/// Reads one run after the other, as long as there are any and somebody listens.
fn read_some(plan: &Plan, length: usize, order: &Mutex<Order>) {
    let mut clerk = Clerk::new(&plan.policy, &plan.wanted, plan.decides);
    while let Some((run, news)) = next(plan, length, order) {
        let mut ended = Vec::new();
        for (at, input) in plan.inputs.iter().enumerate().take(run.end).skip(run.start) {
            let read = read_one(plan, input, &mut clerk, &mut ended, &news);
            // What was broken off is not damaged.
            if !plan.is_stopped() {
                ended.push((at, read));
            }
        }
        if news.send(News { sheet: clerk.turn(), ended }).is_err() {
            return;
        }
    }
}

/// The next run of inputs, and where to tell of it.
fn next(
    plan: &Plan,
    length: usize,
    order: &Mutex<Order>,
) -> Option<(Range<usize>, SyncSender<News>)> {
    // Two readers must not put themselves into the order the wrong way round.
    let order = order.lock().unwrap_or_else(PoisonError::into_inner);
    let start = plan.next.fetch_add(length, Ordering::Relaxed);
    if start >= plan.inputs.len() || plan.is_stopped() {
        return None;
    }
    let (news, run) = sync_channel(MOST_SHEETS);
    order.send(run).ok()?;
    Some((start..start + length, news))
}

fn read_one(
    plan: &Plan,
    input: &Input,
    clerk: &mut Clerk<'_>,
    ended: &mut Vec<(usize, Result<u64, String>)>,
    news: &SyncSender<News>,
) -> Result<u64, String> {
    let from = match input.size() {
        Some(_) => input.open().map_err(|fault| fault.to_string())?,
        None => Box::new(Pipe::of(input.clone(), || plan.is_stopped())),
    };
    let read = source::read(Counted { from, plan }, |item| {
        if clerk.take(item) {
            let full = News { sheet: clerk.turn(), ended: std::mem::take(ended) };
            if news.send(full).is_err() {
                plan.stopped.store(true, Ordering::Relaxed);
            }
        }
    });
    read.map_err(|fault| fault.to_string())
}

impl News {
    /// Inputs that ended.
    pub fn ended<'n>(
        &'n self,
        plan: &'n Plan,
    ) -> impl Iterator<Item = (&'n Input, &'n Result<u64, String>)> {
        self.ended.iter().filter_map(|(at, read)| Some((plan.inputs.get(*at)?, read)))
    }
}

/// Counts what is read, and ends where it was broken off.
struct Counted<'p> {
    from: Box<dyn Read + 'p>,
    plan: &'p Plan,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.plan.is_stopped() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.from.read(into)?;
        self.plan.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
