//! Files read side by side, their sheets handed over in the order of the files.
//!
//! Each reader takes the next file and writes its sheets to a channel of the file's own; whoever
//! gathers them empties one channel after the other. Both the channels and the sheets in each are
//! bounded, so that what is ahead of its turn stays small.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use regionwatch::history::{Clerk, Sheet, Wanted};
use regionwatch::policy::Policy;
use regionwatch::source;

use crate::input::Input;

/// What there is to do, and how far it is.
pub struct Plan {
    inputs: Vec<Input>,
    /// Judges.
    pub policy: Policy,
    wanted: Wanted,
    decides: bool,
    /// The next input that nobody reads yet.
    next: AtomicUsize,
    bytes: AtomicU64,
    stopped: AtomicBool,
}

/// What is heard of an input.
pub enum News {
    /// Some of its records.
    Sheet(Box<Sheet>),
    /// That was all: how many things were passed over, or why it could not be read on.
    Ended(Result<u64, String>),
}

/// Inputs whose sheets may wait for their turn.
const MOST_AHEAD: usize = 64;

/// Sheets of an input that may wait.
const MOST_SHEETS: usize = 2;

/// How often somebody looks whether to stop while nothing is heard.
const LOOK: Duration = Duration::from_millis(100);

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

/// Inputs in their order, each with what is heard of it.
type Order = SyncSender<(usize, Receiver<News>)>;

/// Reads all inputs, that many at a time. `on_news` hears everything in the order of the inputs.
pub fn read_all(
    plan: &Arc<Plan>,
    threads: usize,
    mut on_news: impl FnMut(&Input, News) -> Result<(), String>,
) -> Result<(), String> {
    let (order, inputs) = sync_channel(MOST_AHEAD);
    let order = Arc::new(Mutex::new(order));
    for _ in 0..threads.min(plan.inputs.len()) {
        let (plan, order) = (Arc::clone(plan), Arc::clone(&order));
        // Not waited for: a reader whom nobody hears ends by itself.
        thread::spawn(move || read_some(&plan, &order));
    }
    drop(order);
    while let Some((at, sheets)) = heard(plan, &inputs) {
        let Some(input) = plan.inputs.get(at) else { continue };
        let mut ended = false;
        while let Some(news) = heard(plan, &sheets) {
            ended = matches!(news, News::Ended(_));
            on_news(input, news)?;
        }
        if !ended && !plan.is_stopped() {
            on_news(input, News::Ended(Err("it could not be read to its end".to_owned())))?;
        }
    }
    Ok(())
}

/// The next thing heard; none where nobody says anything any more, or it was broken off.
fn heard<T>(plan: &Plan, from: &Receiver<T>) -> Option<T> {
    loop {
        match from.recv_timeout(LOOK) {
            Ok(heard) => return Some(heard),
            Err(RecvTimeoutError::Timeout) if !plan.is_stopped() => {}
            Err(_) => return None,
        }
    }
}

/// Reads one input after the other, as long as there are any and somebody listens.
fn read_some(plan: &Plan, order: &Mutex<Order>) {
    let mut clerk = Clerk::new(&plan.policy, &plan.wanted, plan.decides);
    while let Some((input, news)) = next(plan, order) {
        let read = read_one(plan, input, &mut clerk, &news);
        let rest = clerk.turn();
        let is_heard = news.send(News::Sheet(Box::new(rest))).is_ok();
        // What was broken off is not damaged.
        if !is_heard || plan.is_stopped() || news.send(News::Ended(read)).is_err() {
            return;
        }
    }
}

/// The next input, and where to tell of it.
fn next<'p>(plan: &'p Plan, order: &Mutex<Order>) -> Option<(&'p Input, SyncSender<News>)> {
    // Two readers must not put themselves into the order the wrong way round.
    let order = order.lock().unwrap_or_else(PoisonError::into_inner);
    let at = plan.next.fetch_add(1, Ordering::Relaxed);
    let input = plan.inputs.get(at).filter(|_| !plan.is_stopped())?;
    let (news, sheets) = sync_channel(MOST_SHEETS);
    order.send((at, sheets)).ok()?;
    Some((input, news))
}

fn read_one(
    plan: &Plan,
    input: &Input,
    clerk: &mut Clerk<'_>,
    news: &SyncSender<News>,
) -> Result<u64, String> {
    let opened = input.open().map_err(|fault| fault.to_string())?;
    let read = source::read(Counted { from: opened, plan }, |item| {
        if clerk.take(item) {
            let full = News::Sheet(Box::new(clerk.turn()));
            if news.send(full).is_err() {
                plan.stopped.store(true, Ordering::Relaxed);
            }
        }
    });
    read.map_err(|fault| fault.to_string())
}

/// Counts what is read, and ends where it was broken off.
struct Counted<'p> {
    from: Box<dyn Read>,
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
