//! The ledger of several containers on items that they share, and that fail as a test tells them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use regionwatch::ledger::{
    Cause, Decision, InMemoryLedger, Item, Items, Ledger, LedgerError, Share, SharedLedger,
    Sighting, Telling, Write, Written,
};
use regionwatch::policy::Severity;
use serde_json::Value;

const WINDOW: SignedDuration = SignedDuration::from_mins(60);

/// Items in memory. Each write waits to be polled once more, so that others can come between.
#[derive(Default)]
struct Shelf {
    items: Mutex<HashMap<String, Item>>,
    /// What happens to the next writes; then all goes well.
    fates: Mutex<VecDeque<Fate>>,
    log: Mutex<Log>,
    clock: Mutex<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It never arrives.
    Lost,
    /// It arrives, and its answer does not.
    Unanswered,
    /// Its answer does not arrive and the SDK sends it again.
    SentTwice,
    /// Whatever stands there, another item stood there a moment ago.
    Beaten,
    /// The item was deleted a moment ago.
    Deleted,
}

#[derive(Default)]
struct Log {
    writes: u32,
    landed: u32,
    last_expires: Option<Timestamp>,
}

impl Shelf {
    fn will(&self, fates: &[Fate]) {
        self.fates.lock().unwrap().extend(fates);
    }

    fn log(&self) -> Log {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn put(&self, text: &str) {
        let item = Item { version: "by hand".to_owned(), text: text.to_owned() };
        self.items.lock().unwrap().insert("incident".to_owned(), item);
    }

    /// The memory of an incident as it stands there.
    fn memory(&self, incident: &str) -> Value {
        serde_json::from_str(&self.items.lock().unwrap()[incident].text).unwrap()
    }

    fn arrives(&self, write: Write<'_>) -> Result<Written, LedgerError> {
        self.log.lock().unwrap().writes += 1;
        self.log.lock().unwrap().last_expires = Some(write.expires);
        let lost = || Err(LedgerError("lost".to_owned()));
        match self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Answered) {
            Fate::Answered => Ok(self.put_where_it_fits(write)),
            Fate::Lost => lost(),
            Fate::Unanswered => {
                self.put_where_it_fits(write);
                lost()
            }
            Fate::SentTwice => {
                self.put_where_it_fits(write);
                Ok(self.put_where_it_fits(write))
            }
            Fate::Beaten => Ok(Written::Conflict(self.standing(write.incident))),
            Fate::Deleted => {
                self.items.lock().unwrap().remove(write.incident);
                Ok(self.put_where_it_fits(write))
            }
        }
    }

    fn standing(&self, incident: &str) -> Option<Item> {
        self.items.lock().unwrap().get(incident).cloned()
    }

    fn put_where_it_fits(&self, write: Write<'_>) -> Written {
        let stands = self.standing(write.incident);
        if stands.as_ref().map(|item| item.version.as_str()) != write.replaces {
            return Written::Conflict(stands);
        }
        self.log.lock().unwrap().landed += 1;
        self.items.lock().unwrap().insert(write.incident.to_owned(), write.item.clone());
        Written::Done
    }
}

impl Items for &Shelf {
    async fn write(&self, write: Write<'_>) -> Result<Written, LedgerError> {
        let mut others_came = false;
        poll_fn(|context| {
            if std::mem::replace(&mut others_came, true) {
                return Poll::Ready(self.arrives(write));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    fn is_past(&self, time: Timestamp) -> bool {
        *self.clock.lock().unwrap() > time
    }
}

fn container(shelf: &Shelf) -> SharedLedger<&Shelf> {
    SharedLedger::new(shelf, WINDOW)
}

fn minute(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minutes)
}

fn sighting(payload: &str, minutes: i64, calls: &[&str]) -> Sighting {
    Sighting {
        incident: "incident".to_owned(),
        shares: vec![share(payload, calls)],
        now: minute(minutes),
        record_by: minute(minutes) + SignedDuration::from_secs(20),
        confirm_by: minute(minutes) + SignedDuration::from_secs(30),
    }
}

fn share(payload: &str, calls: &[&str]) -> Share {
    Share {
        batch: payload.to_owned(),
        count: 1,
        severity: Severity::High,
        watches: BTreeSet::new(),
        calls: calls.iter().map(|call| ((*call).to_owned(), 1)).collect(),
    }
}

/// The same with another number of calls.
fn counting(count: u64, mut sighting: Sighting) -> Sighting {
    sighting.shares[0].count = count;
    sighting
}

fn record(ledger: &impl Ledger, sighting: Sighting) -> Result<Decision, LedgerError> {
    pollster::block_on(ledger.record(sighting))
}

fn confirm(ledger: &impl Ledger, telling: &Telling) -> Result<(), LedgerError> {
    pollster::block_on(ledger.confirm(telling))
}

/// Records a sighting that has to be told.
fn telling(ledger: &impl Ledger, sighting: Sighting) -> Telling {
    match record(ledger, sighting).unwrap() {
        Decision::Tell(telling) => *telling,
        Decision::Hold => panic!("held"),
    }
}

/// Records a sighting, and confirms it where it is told.
fn tells(ledger: &impl Ledger, sighting: Sighting) -> bool {
    match record(ledger, sighting).unwrap() {
        Decision::Tell(telling) => {
            confirm(ledger, &telling).unwrap();
            true
        }
        Decision::Hold => false,
    }
}

#[test]
fn what_one_container_told_another_holds() {
    let shelf = Shelf::default();
    let (one, two) = (container(&shelf), container(&shelf));
    assert!(tells(&one, sighting("p1", 0, &["ec2:RunInstances"])));
    assert!(!tells(&two, sighting("p1", 1, &["ec2:RunInstances"])), "a replay elsewhere");
    assert!(!tells(&two, sighting("p2", 2, &["ec2:RunInstances"])));
    assert!(tells(&one, sighting("p3", 3, &["ec2:StopInstances"])));
    assert_eq!(shelf.memory("incident")["total"], 3);
    assert!(!tells(&two, sighting("p4", 59, &["ec2:StopInstances"])));
    let next_window = telling(&two, sighting("p5", 60, &["ec2:StopInstances"]));
    assert_eq!((next_window.held, next_window.total), (1, 1));
}

#[test]
fn a_sighting_of_many_batches_is_one_write_and_each_of_them_is_known_elsewhere() {
    let shelf = Shelf::default();
    let (one, two) = (container(&shelf), container(&shelf));
    let of = |batches: &[&str], minutes| Sighting {
        shares: batches.iter().map(|batch| share(batch, &["a:B"])).collect(),
        ..sighting("", minutes, &[])
    };
    assert!(tells(&one, of(&["s1", "s2", "s3"], 0)));
    assert_eq!(shelf.log().writes, 2, "one to record, one to confirm");
    assert!(!tells(&two, of(&["s2", "s3"], 1)), "a part of the replay elsewhere");
    assert!(!tells(&two, of(&["s3", "s4"], 2)));
    assert_eq!(shelf.memory("incident")["total"], 4);
}

#[test]
fn a_sighting_is_one_write_and_one_more_where_another_container_came_between() {
    let shelf = Shelf::default();
    let (one, two) = (container(&shelf), container(&shelf));
    let first = telling(&one, sighting("p1", 0, &["a:B"]));
    assert_eq!(shelf.log().writes, 1);
    confirm(&one, &first).unwrap();
    assert_eq!(shelf.log().writes, 1);
    for payload in ["p2", "p3", "p4"] {
        assert!(!tells(&one, sighting(payload, 1, &["a:B"])));
        assert_eq!(shelf.log().writes, 1);
    }
    assert!(!tells(&two, sighting("p5", 1, &["a:B"])));
    assert_eq!(shelf.log().writes, 2);
    assert!(tells(&two, sighting("p6", 61, &["a:B"])));
    assert_eq!(shelf.log().writes, 2, "a sighting and its confirmation");
}

#[test]
fn an_item_that_nobody_can_read_silences_nothing_and_is_replaced() {
    for text in ["", "not JSON", "{}", r#"{"form":2,"began":"2026-11-23T12:00:00Z"}"#] {
        let shelf = Shelf::default();
        shelf.put(text);
        let one = container(&shelf);
        assert!(tells(&one, sighting("p1", 0, &["a:B"])), "{text}");
        assert_eq!(shelf.memory("incident")["told"]["total"], 1);
        assert!(!tells(&container(&shelf), sighting("p2", 0, &["a:B"])));
    }
}

#[test]
fn an_item_that_says_anything_breaks_nothing() {
    let shelf = Shelf::default();
    let most = u64::MAX;
    shelf.put(&format!(
        r#"{{"form":2,"began":"2999-01-01T00:00:00Z","carried":{most},"total":{most},
            "untold":{{"a:B":{most}}},"payloads":[],"before":[],"told":{{"total":3,"severity":"low","watches":[],"calls":[],
            "for_new_calls":4294967295}}}}"#
    ));
    // Its window begins in a far future: that is no reason to keep silent.
    let first = telling(&container(&shelf), sighting("p1", 0, &["a:B"]));
    assert_eq!((first.causes, first.held), (vec![Cause::NothingTold], most));
    assert_eq!(first.held_calls["a:B"], most - 1);
}

#[test]
fn an_item_that_was_deleted_is_told_anew() {
    let shelf = Shelf::default();
    let one = container(&shelf);
    assert!(tells(&one, sighting("p1", 0, &["a:B"])));
    shelf.items.lock().unwrap().clear();
    assert!(tells(&one, sighting("p2", 1, &["a:B"])));
    assert_eq!(shelf.memory("incident")["total"], 1);
}

#[test]
fn a_container_that_is_always_too_late_gives_up() {
    let shelf = Shelf::default();
    shelf.will(&[Fate::Beaten; 10]);
    assert!(tells(&container(&shelf), sighting("p1", 0, &["a:B"])));
    assert_eq!(shelf.log().writes, 12);
    shelf.will(&[Fate::Beaten; 11]);
    let fault = record(&container(&shelf), sighting("p2", 0, &["a:B"])).unwrap_err();
    assert!(fault.to_string().contains("others wrote the item 11 times"), "{fault}");
    assert_eq!(shelf.log().writes, 11);
}

#[test]
fn what_comes_late_in_an_invocation_is_left_to_fail() {
    let shelf = Shelf::default();
    let one = container(&shelf);
    let at = |seconds| {
        *shelf.clock.lock().unwrap() = minute(0) + SignedDuration::from_secs(seconds);
    };
    at(21);
    let fault = record(&one, sighting("p1", 0, &["a:B"])).unwrap_err();
    assert!(fault.to_string().contains("time in this invocation is up"), "{fault}");
    at(20);
    let first = telling(&one, sighting("p1", 0, &["a:B"]));
    at(31);
    assert!(confirm(&one, &first).is_err());
    assert_eq!(shelf.log().writes, 1);
    at(30);
    confirm(&one, &first).unwrap();
}

#[test]
fn a_replay_in_a_later_window_is_counted_and_told_no_second_time() {
    let ledger = InMemoryLedger::new(WINDOW);
    let failed = |minutes| counting(3, sighting("failed", minutes, &["a:B"]));
    // SNS takes neither the first attempt nor the replay within the window.
    telling(&ledger, failed(0));
    telling(&ledger, failed(2));
    // Redriven hours later, it reads as if nothing had been before.
    let redriven = telling(&ledger, failed(300));
    assert_eq!((&redriven.causes, redriven.held, redriven.total), (&vec![Cause::First], 0, 3));
    assert!(redriven.held_calls.is_empty());
    confirm(&ledger, &redriven).unwrap();
    // What was told is known again, windows later.
    assert_eq!(record(&ledger, failed(900)).unwrap(), Decision::Hold);
    let other = telling(&ledger, sighting("other", 901, &["a:B"]));
    assert_eq!((other.causes, other.held, other.total), (vec![Cause::First], 0, 1));
}

#[test]
fn what_a_message_does_not_name_stays_for_the_next_one() {
    let ledger = InMemoryLedger::new(WINDOW);
    assert!(tells(&ledger, sighting("p1", 0, &["a:B"])));
    let mut five = counting(5, sighting("p2", 1, &[]));
    five.shares[0].calls.insert("a:B".to_owned(), 5);
    assert!(!tells(&ledger, five));
    let in_digest = Telling { names_held: false, ..telling(&ledger, sighting("p3", 2, &["a:C"])) };
    confirm(&ledger, &in_digest).unwrap();
    let own = telling(&ledger, sighting("p4", 3, &["a:D"]));
    assert_eq!((own.held, own.held_calls), (5, [("a:B".to_owned(), 5)].into()));
}

#[test]
fn an_item_is_kept_a_day_beyond_its_window() {
    let shelf = Shelf::default();
    assert!(tells(&container(&shelf), sighting("p1", 0, &["a:B"])));
    assert_eq!(shelf.log().last_expires, Some(minute(25 * 60)));
}

#[test]
fn a_confirmation_that_comes_after_its_window_does_not_silence_the_next() {
    let shelf = Shelf::default();
    let (one, two) = (container(&shelf), container(&shelf));
    let storm = counting(900, sighting("p1", 0, &["a:B"]));
    let late = telling(&one, storm);
    let next = telling(&two, sighting("p2", 60, &["a:B"]));
    assert_eq!((next.held, next.total), (900, 1));
    confirm(&one, &late).unwrap();
    let again = telling(&two, sighting("p2", 60, &["a:B"]));
    assert_eq!((again.causes, again.held, again.total), (vec![Cause::First], 0, 1));
}

#[test]
fn a_confirmation_that_is_sent_twice_counts_once() {
    let shelf = Shelf::default();
    let one = container(&shelf);
    assert!(tells(&one, sighting("first", 0, &["a:B"])));
    // New names alone are told 20 times.
    for number in 0..20 {
        let name = format!("a:Call{number}");
        let new = telling(&one, counting(0, sighting(&name, 0, &[&name])));
        shelf.will(&[Fate::SentTwice]);
        confirm(&one, &new).unwrap();
    }
    assert!(!tells(&one, counting(0, sighting("last", 0, &["a:Last"]))));
}

/// One thing that happens to a container.
#[derive(Debug, Clone)]
struct Step {
    container: usize,
    sighting: Sighting,
    accepted: bool,
    fates: Vec<Fate>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Unanswered),
        1 => Just(Fate::SentTwice),
        2 => Just(Fate::Beaten),
    ];
    let names = |of: &'static [&'static str]| prop::sample::select(of).prop_map(str::to_owned);
    let watches = prop::collection::btree_set(names(&["w", "x"]), 0..3);
    let calls = prop::collection::btree_map(names(&["a:A", "b:B", "c:C", "d:D"]), 1..9_u64, 0..5);
    let share =
        (0..6_u8, 0..4_usize, watches, calls).prop_map(|(batch, severity, watches, calls)| {
            let (batch, count) = (batch.to_string(), BTreeMap::values(&calls).sum());
            Share { batch, count, severity: Severity::ALL[severity], watches, calls }
        });
    let sighting = (0..2_u8, prop::collection::vec(share, 1..4));
    let fates = prop::collection::vec(fate, 0..4);
    let step = (0..3_usize, sighting, 0..25_i64, any::<bool>(), fates);
    prop::collection::vec(step, 1..40).prop_map(|steps| {
        let mut minutes = 0;
        let step = |(container, seen, pause, accepted, fates)| {
            let (incident, mut shares): (u8, Vec<Share>) = seen;
            // A batch has one share of an incident.
            shares.sort_by(|one, other| one.batch.cmp(&other.batch));
            shares.dedup_by(|one, other| one.batch == other.batch);
            minutes += pause;
            let sighting = Sighting {
                incident: incident.to_string(),
                shares,
                now: minute(minutes),
                record_by: minute(minutes),
                confirm_by: minute(minutes),
            };
            Step { container, sighting, accepted, fates }
        };
        steps.into_iter().map(step).collect()
    })
}

/// Whether the two went the same way; where an answer was lost, whether it arrived decides what the
/// ledger in memory hears of it.
fn agree<T: PartialEq + std::fmt::Debug>(
    shelf: &Shelf,
    shared: Result<T, LedgerError>,
    in_memory: impl FnOnce() -> T,
) -> Option<T> {
    // Whether it landed once or, sent twice, several times must make no difference.
    let expected = (shelf.log().landed > 0).then(in_memory);
    match shared {
        Ok(outcome) => {
            assert_eq!(Some(&outcome), expected.as_ref());
            Some(outcome)
        }
        Err(_) => None,
    }
}

proptest! {
    /// Three containers that share their items decide as one ledger in memory does.
    #[test]
    fn shared_items_decide_as_one_memory_does(steps in steps()) {
        let (shelf, alone) = (Shelf::default(), InMemoryLedger::new(WINDOW));
        let containers = [container(&shelf), container(&shelf), container(&shelf)];
        for step in steps {
            let here = &containers[step.container];
            shelf.will(&step.fates);
            let seen = step.sighting;
            let shared = record(here, seen.clone());
            let decision = agree(&shelf, shared, || record(&alone, seen).unwrap());
            if let (Some(Decision::Tell(telling)), true) = (decision, step.accepted) {
                let shared = confirm(here, &telling);
                agree(&shelf, shared, || confirm(&alone, &telling).unwrap());
            }
            shelf.fates.lock().unwrap().clear();
        }
    }

    /// A message names what was held before it, call by call, in this window and the one before.
    #[test]
    fn what_was_held_is_named(steps in steps()) {
        let ledger = InMemoryLedger::new(WINDOW);
        for (payload, step) in steps.into_iter().enumerate() {
            let mut seen = step.sighting;
            for share in &mut seen.shares {
                share.batch = format!("{payload} {}", share.batch);
            }
            if let Decision::Tell(telling) = record(&ledger, seen).unwrap() {
                prop_assert_eq!(telling.held_calls.values().sum::<u64>(), telling.held);
                if step.accepted {
                    confirm(&ledger, &telling).unwrap();
                }
            }
        }
    }

    /// Whatever is deleted and lost, and whenever: a call is held only where it was told.
    #[test]
    fn what_is_held_was_told(steps in steps(), deletions in prop::collection::vec(0..40_usize, 3)) {
        let shelf = Shelf::default();
        let containers = [container(&shelf), container(&shelf), container(&shelf)];
        let mut told: HashMap<String, BTreeSet<String>> = HashMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            let here = &containers[step.container];
            shelf.will(&step.fates);
            if deletions.contains(&number) {
                shelf.will(&[Fate::Deleted]);
            }
            let known = told.entry(step.sighting.incident.clone()).or_default();
            let decision = record(here, step.sighting.clone());
            let mut calls = step.sighting.shares.into_iter().flat_map(|share| share.calls.into_keys());
            match decision {
                Ok(Decision::Hold) => prop_assert!(calls.all(|call| known.contains(&call))),
                Ok(Decision::Tell(telling)) if step.accepted => {
                    known.extend(calls);
                    confirm(here, &telling).ok();
                }
                _ => {}
            }
        }
    }

    /// Four containers at once, each step of which may come between any of the others'.
    #[test]
    fn containers_at_once_lose_no_sighting(turns in prop::collection::vec(0..4_usize, 0..60)) {
        let shelf = Shelf::default();
        let containers: Vec<_> = (0..4).map(|_| container(&shelf)).collect();
        let told = Mutex::new(BTreeSet::new());
        let run = async |number: usize| {
            let call = format!("a:Call{}", number % 2);
            let seen = sighting(&number.to_string(), 0, &[&call]);
            let here = &containers[number];
            match here.record(seen).await {
                Ok(Decision::Hold) => {
                    assert!(told.lock().unwrap().contains(&call), "held, and nobody was told");
                    1
                }
                Ok(Decision::Tell(telling)) => {
                    told.lock().unwrap().insert(call);
                    here.confirm(&telling).await.ok();
                    1
                }
                Err(_) => 0,
            }
        };
        let mut running: Vec<Pin<Box<dyn Future<Output = u64>>>> = Vec::new();
        for number in 0..4 {
            running.push(Box::pin(run(number)));
        }
        let recorded: u64 = interleaved(running, turns).into_iter().sum();
        prop_assert_eq!(recorded, 4, "a container found no turn");
        prop_assert_eq!(&shelf.memory("incident")["total"], 4);
        prop_assert!(!told.lock().unwrap().is_empty());
    }
}

/// Polls the futures in this order, and then the rest of them to the end.
fn interleaved<T>(
    mut running: Vec<Pin<Box<dyn Future<Output = T> + '_>>>,
    turns: Vec<usize>,
) -> Vec<T> {
    let mut context = Context::from_waker(Waker::noop());
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    let round_robin = (0..running.len()).cycle();
    for turn in turns.into_iter().chain(round_robin) {
        if done[turn].is_none()
            && let Poll::Ready(outcome) = running[turn].as_mut().poll(&mut context)
        {
            done[turn] = Some(outcome);
        }
        if done.iter().all(Option::is_some) {
            break;
        }
    }
    done.into_iter().flatten().collect()
}
