//! Nothing is lost: thousands of worlds in which everything goes wrong that can.
//!
//! A world has payloads, one or two containers that run at the same time, a store of items for the
//! ledger and a topic. Each invocation is a future that is polled in turns with the others; between
//! two polls it may crash. Lambda sends what failed twice more, then keeps it; CloudWatch Logs may
//! deliver a payload twice. Or the payloads are records of a stream, each container has a shard, and
//! Lambda hands over several at once, and begins again where it is told to, in halves after a crash.
//! All of it follows from the world's seed.
//!
//! Of every world: whoever was in a payload that was handled was told, every entry is counted once,
//! and nobody is told twice for the same cause without a crash, an outage or a race to explain it.
//! When all is well again what was kept is redriven, in a window behind: then everybody was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use regionwatch::alert::{Formats, Message, Rejects};
use regionwatch::handler::{Handler, Invocation, Limits};
use regionwatch::ledger::{Item, Items, LedgerError, SharedLedger, Write, Written};
use regionwatch::metrics::Summary;
use regionwatch::policy::Policy;
use regionwatch::publish::{Publish, PublishError};
use regionwatch::skim::Seen;
use serde_json::{Value, json};

use crate::handler::packed;
use crate::kinesis::{ARN, sequence, stream};

const WORLDS: u64 = 2000;

/// Attempts of an invocation (Lambda guide, "Retry behavior": two retries).
const ATTEMPTS: u32 = 3;

#[test]
fn nothing_is_lost_and_nothing_told_twice_without_a_reason_in_any_world() {
    let policy = Policy::embedded().unwrap();
    let (mut told, mut repeated) = (0, 0);
    for seed in 0..WORLDS {
        let ran = World::new(seed, Faults::Many, Trigger::Subscription, &policy).run();
        told += ran.told;
        repeated += ran.repeated;
    }
    assert!(told > WORLDS, "{told} messages: the worlds are empty");
    assert!(repeated > WORLDS / 10, "{repeated} repetitions: too little goes wrong");
}

#[test]
fn nothing_is_lost_of_a_stream_and_nothing_told_twice_without_a_reason_in_any_world() {
    let policy = Policy::embedded().unwrap();
    let (mut told, mut again) = (0, 0);
    for seed in 0..WORLDS / 4 {
        let ran = World::new(seed, Faults::Many, Trigger::Stream, &policy).run();
        told += ran.told;
        again += ran.begun_again;
    }
    assert!(told > WORLDS / 4, "{told} messages: the worlds are empty");
    assert!(again > WORLDS / 20, "{again} times begun again: too little goes wrong");
}

#[test]
fn nothing_is_told_twice_for_the_same_cause_where_nothing_goes_wrong() {
    let policy = Policy::embedded().unwrap();
    for seed in 0..WORLDS / 3 {
        for trigger in triggers(seed) {
            let ran = World::new(seed, Faults::None, trigger, &policy).run();
            assert_eq!(ran.repeated, 0, "world {seed}");
        }
    }
}

#[test]
fn containers_at_once_always_find_a_turn_at_the_ledger() {
    let policy = Policy::embedded().unwrap();
    for seed in 0..WORLDS / 3 {
        for trigger in triggers(seed) {
            World::new(seed, Faults::Race, trigger, &policy).run();
        }
    }
}

/// Every fourth world has a stream in its place, too.
fn triggers(seed: u64) -> impl Iterator<Item = Trigger> {
    [Trigger::Subscription].into_iter().chain(seed.is_multiple_of(4).then_some(Trigger::Stream))
}

/// What was seen of a world.
struct Ran {
    /// Messages accepted.
    told: u64,
    /// How often somebody was told for a cause that was told before.
    repeated: u64,
    /// How often a stream was to begin again behind its first record.
    begun_again: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Subscription,
    Stream,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    /// None, but two containers.
    Race,
    Many,
}

struct World<'p> {
    seed: u64,
    chance: Chance,
    faults: Faults,
    trigger: Trigger,
    store: Store,
    topic: Topic,
    policy: &'p Policy,
    seen: Mutex<Seen>,
    payloads: Vec<Payload>,
    /// Polls so far: the time in which invocations overlap.
    polls: AtomicU64,
    begun_again: AtomicU64,
    invocations: Mutex<Vec<Invoked>>,
}

/// An invocation that is over.
struct Invoked {
    container: usize,
    payloads: Vec<usize>,
    from: u64,
    to: u64,
    /// It crashed, or the ledger or SNS failed it.
    went_wrong: bool,
}

struct Payload {
    /// The packed batch.
    data: String,
    /// The users in it, by whose ARN its incidents are told apart; or that it is unreadable.
    users: BTreeSet<String>,
}

/// A container at work: what becomes of each payload that it is given.
type Running<'w> = Pin<Box<dyn Future<Output = Vec<(usize, End)>> + 'w>>;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Handled,
    /// It failed every attempt; the on-failure destination has it.
    Kept,
}

impl<'p> World<'p> {
    fn new(seed: u64, faults: Faults, trigger: Trigger, policy: &'p Policy) -> Self {
        let chance = Chance::of(seed);
        let most = if trigger == Trigger::Stream { 8 } else { 4 };
        let payload = |number| Payload::any(&chance, number, trigger);
        let payloads = (0..=chance.below(most)).map(payload).collect();
        World {
            seed,
            faults,
            trigger,
            store: Store {
                chance: Chance::of(!seed),
                faults: Mending::of(faults),
                items: Mutex::default(),
            },
            topic: Topic {
                chance: Chance::of(seed ^ 0xABCD),
                faults: Mending::of(faults),
                accepted: Mutex::default(),
            },
            policy,
            seen: Mutex::default(),
            payloads,
            chance,
            polls: AtomicU64::new(0),
            begun_again: AtomicU64::new(0),
            invocations: Mutex::default(),
        }
    }

    /// Runs the world to its end, and checks it.
    fn run(&self) -> Ran {
        let containers = match self.faults {
            Faults::None => 1,
            Faults::Race => 2,
            Faults::Many => 1 + self.chance.below(2),
        };
        let ledgers: Vec<_> = (0..containers)
            .map(|_| SharedLedger::new(&self.store, SignedDuration::from_hours(10)))
            .collect();
        let mut deliveries: Vec<usize> = (0..self.payloads.len()).collect();
        if self.chance.one_in(3) {
            deliveries.push(0);
        }
        let mut ends = Vec::new();
        // Each container handles its share, all of them at the same time.
        let shares = (0..containers).map(|container| {
            let share = deliveries.iter().filter(move |n| *n % containers == container);
            let share: Vec<usize> = share.copied().collect();
            (container, share)
        });
        let mut running: Vec<Running<'_>> = Vec::new();
        for (container, share) in shares {
            let ledger = ledgers.get(container).unwrap();
            running.push(Box::pin(async move {
                let mut ends = Vec::new();
                // Of a stream, records that lie one behind the other.
                let at_once = match self.trigger {
                    Trigger::Subscription => 1,
                    Trigger::Stream => 1 + self.chance.below(4),
                };
                for payloads in share.chunks(at_once) {
                    ends.extend(self.deliver(container, payloads, ledger).await);
                }
                ends
            }));
        }
        let mut context = Context::from_waker(Waker::noop());
        while !running.is_empty() {
            self.polls.fetch_add(1, Ordering::Relaxed);
            let next = self.chance.below(running.len());
            if let Poll::Ready(some) = running[next].as_mut().poll(&mut context) {
                ends.extend(some);
                drop(running.remove(next));
            }
        }
        self.check(&ends);
        let repeated = self.check_repetitions();
        self.redrive(&ends);
        let begun_again = self.begun_again.load(Ordering::Relaxed);
        Ran { told: self.topic.accepted().len() as u64, repeated, begun_again }
    }

    /// What was kept is handled again, in the next window and with nothing going wrong any more.
    fn redrive(&self, ends: &[(usize, End)]) {
        self.store.faults.mend();
        self.topic.faults.mend();
        let ledger = SharedLedger::new(&self.store, SignedDuration::from_hours(10));
        let mut all_handled = Vec::new();
        for (payload, end) in ends {
            if *end == End::Kept {
                let now = start() + SignedDuration::from_hours(11);
                let limits = Limits::default();
                let payloads = [*payload];
                let handled = self.handle(&payloads, now, limits, &ledger, usize::MAX);
                assert!(alone(handled).is_ok(), "world {}", self.seed);
            }
            all_handled.push((*payload, End::Handled));
        }
        self.check(&all_handled);
    }

    /// As Lambda does: again after an error, and after the last one to the side. Records of a stream
    /// come again from the one that was named, and in halves after a crash.
    async fn deliver(
        &self,
        container: usize,
        payloads: &[usize],
        ledger: &SharedLedger<&Store>,
    ) -> Vec<(usize, End)> {
        let (mut ends, mut waiting) = (Vec::new(), vec![(payloads, 0)]);
        let end = |some: &[usize], end| some.iter().map(|one| (*one, end)).collect::<Vec<_>>();
        while let Some((payloads, attempt)) = waiting.pop() {
            if attempt == ATTEMPTS {
                ends.extend(end(payloads, End::Kept));
                continue;
            }
            let from = self.polls.load(Ordering::Relaxed);
            let handled = self.invoke(payloads, attempt, ledger).await;
            let to = self.polls.load(Ordering::Relaxed);
            let went_wrong = handled.as_ref().map_or(true, |summary| summary.ledger_errors > 0);
            let invoked = Invoked { container, payloads: payloads.to_vec(), from, to, went_wrong };
            self.invocations.lock().unwrap().push(invoked);
            match handled {
                Ok(_) => ends.extend(end(payloads, End::Handled)),
                Err(Failure::BeginAgain(at)) => {
                    let (done, left) = payloads.split_at(at);
                    self.begun_again.fetch_add(u64::from(at > 0), Ordering::Relaxed);
                    ends.extend(end(done, End::Handled));
                    waiting.push((left, attempt + 1));
                }
                Err(Failure::Crash) if payloads.len() > 1 => {
                    let (first, second) = payloads.split_at(payloads.len() / 2);
                    waiting.extend([(second, attempt), (first, attempt)]);
                }
                Err(Failure::Crash) => waiting.push((payloads, attempt + 1)),
            }
        }
        ends
    }

    /// One invocation, which may crash between any two of its steps.
    async fn invoke(
        &self,
        payloads: &[usize],
        attempt: u32,
        ledger: &SharedLedger<&Store>,
    ) -> Result<Summary, Failure> {
        // A digest says of no incident in it why it is told: half of the worlds have none.
        let max_messages = match self.faults {
            Faults::Many if self.seed.is_multiple_of(2) => 2 + self.chance.below(3),
            Faults::Many | Faults::Race | Faults::None => 25,
        };
        let limits = Limits { max_messages, ..Limits::default() };
        let steps = match self.faults == Faults::Many && self.chance.one_in(4) {
            true => self.chance.below(12),
            false => usize::MAX,
        };
        let now = start() + SignedDuration::from_mins(i64::from(attempt));
        self.handle(payloads, now, limits, ledger, steps).await
    }

    /// Handles payloads until they are done, or crashes after so many steps.
    async fn handle(
        &self,
        payloads: &[usize],
        now: Timestamp,
        limits: Limits,
        ledger: &SharedLedger<&Store>,
        mut steps_left: usize,
    ) -> Result<Summary, Failure> {
        let handler = Handler {
            policy: self.policy,
            seen: &self.seen,
            ledger,
            publish: &self.topic,
            formats: Formats::default(),
            limits,
        };
        let deadline = now + SignedDuration::from_secs(60);
        let id = format!("request-{payloads:?}");
        let invocation = Invocation { id: &id, now, began: now, deadline };
        let bytes = self.bytes(payloads);
        let mut handling = pin!(handler.handle(&bytes, &invocation));
        let handled = poll_fn(|context| {
            if steps_left == 0 {
                return Poll::Ready(None);
            }
            steps_left -= 1;
            handling.as_mut().poll(context).map(Some)
        });
        let Some((summary, outcome)) = handled.await else { return Err(Failure::Crash) };
        assert_eq!(summary.entries, summary.alerts + summary.ignored + summary.rejected);
        assert_eq!(summary.ignored, summary.ignored_by.values().sum::<u64>());
        assert!(summary.incidents >= summary.told + summary.held, "world {}", self.seed);
        let fine = self.faults == Faults::Many || summary.ledger_errors == 0;
        assert!(fine, "world {}: {:?}", self.seed, summary.ledger_fault);
        match outcome {
            Ok(()) => Ok(summary),
            Err(error) => Err(match error.retry_from() {
                None => Failure::Crash,
                Some(from) => {
                    let at = payloads.iter().position(|number| sequence(*number) == from);
                    Failure::BeginAgain(at.unwrap())
                }
            }),
        }
    }

    /// What Lambda hands over.
    fn bytes(&self, payloads: &[usize]) -> Vec<u8> {
        let data = |number: &usize| self.payloads[*number].data.clone();
        match self.trigger {
            Trigger::Stream => {
                let record = |number: &usize| (*number, data(number));
                stream(&payloads.iter().map(record).collect::<Vec<_>>())
            }
            Trigger::Subscription => {
                let [payload] = payloads else { panic!("a subscription has one batch") };
                json!({"awslogs": {"data": data(payload)}}).to_string().into_bytes()
            }
        }
    }

    /// Whoever is in a payload that was handled was told, at least once.
    fn check(&self, ends: &[(usize, End)]) {
        let told: BTreeSet<String> = self.topic.accepted().iter().flat_map(incidents_of).collect();
        let ids = self.ids();
        for (payload, end) in ends {
            let Payload { users, .. } = &self.payloads[*payload];
            let untold = users.iter().filter(|user| !told.contains(&ids[*user]));
            let untold: Vec<&String> = untold.collect();
            let fine = *end == End::Kept || untold.is_empty();
            assert!(fine, "world {}: {untold:?} of payload {payload} was never told", self.seed);
        }
        if self.faults != Faults::Many {
            assert!(ends.iter().all(|(_, end)| *end == End::Handled), "world {}", self.seed);
        }
    }

    /// Nobody is told twice for the same cause, unless an invocation that saw them went wrong, or two
    /// that saw them overlapped. Gives how often somebody was.
    fn check_repetitions(&self) -> u64 {
        let ids = self.ids();
        let mut told = BTreeSet::new();
        let mut repeated = 0;
        for alert in self.topic.accepted() {
            if alert["kind"] == "digest" {
                continue;
            }
            let id = alert["id"].as_str().unwrap();
            let user = ids.iter().find(|(_, its)| *its == id).unwrap().0;
            for cause in causes_of(&alert) {
                if !told.insert((user.clone(), cause.clone())) {
                    repeated += 1;
                    let world = self.seed;
                    assert!(self.explains(user), "world {world}: {user} is told twice for {cause}");
                }
            }
        }
        repeated
    }

    fn explains(&self, user: &str) -> bool {
        let invocations = self.invocations.lock().unwrap();
        let saw = |invoked: &&Invoked| {
            invoked.payloads.iter().any(|payload| self.payloads[*payload].users.contains(user))
        };
        let saw: Vec<&Invoked> = invocations.iter().filter(saw).collect();
        let overlap = |one: &Invoked, two: &Invoked| {
            one.container != two.container && one.from <= two.to && two.from <= one.to
        };
        saw.iter().any(|one| one.went_wrong || saw.iter().any(|two| overlap(one, two)))
    }

    /// The id of each user's incident.
    fn ids(&self) -> BTreeMap<String, String> {
        let mut ids = BTreeMap::new();
        for user in self.payloads.iter().flat_map(|payload| &payload.users) {
            if user == UNREADABLE {
                ids.insert(user.clone(), Rejects::id("999988887777", ARN));
                continue;
            }
            let mut triage = regionwatch::triage::Triage::new(self.policy);
            let record = call(user, "RunInstances");
            let record = regionwatch::record::Record::parse(&record).unwrap();
            triage.take_record(&record, "111122223333", "");
            ids.insert(user.clone(), triage.finish().incidents.remove(0).id);
        }
        ids
    }
}

/// What stands for the user of a batch that nobody can read.
const UNREADABLE: &str = "unreadable";

/// Why an invocation is repeated.
enum Failure {
    /// From the record of the stream with this index on.
    BeginAgain(usize),
    /// All of it: a crash, or an error of a subscription's payload.
    Crash,
}

impl Payload {
    fn any(chance: &Chance, number: usize, trigger: Trigger) -> Self {
        if trigger == Trigger::Stream && chance.one_in(8) {
            return Payload { data: format!("*{number}"), users: [UNREADABLE.to_owned()].into() };
        }
        let mut users = BTreeSet::new();
        let mut records = Vec::new();
        for n in 0..=chance.below(12) {
            let user = format!("user-{}", chance.below(8));
            let names = ["RunInstances", "CreateTags", "StopInstances", "DescribeInstances"];
            let name = names[chance.below(names.len())];
            if name != "DescribeInstances" {
                users.insert(user.clone());
            }
            records.push(call(&user, name).replace("EVENT", &format!("{number}-{n}")));
        }
        let entry = |message| json!({"id": "1", "timestamp": 1, "message": message});
        Payload { data: packed(&records.iter().map(entry).collect::<Vec<_>>()), users }
    }
}

fn call(user: &str, name: &str) -> String {
    json!({
        "eventSource": "ec2.amazonaws.com", "eventName": name, "awsRegion": "eu-west-3",
        "eventID": "EVENT", "eventTime": "2026-11-23T11:59:00Z",
        "recipientAccountId": "111122223333",
        "userIdentity": {"type": "IAMUser", "userName": user,
            "arn": format!("arn:aws:iam::111122223333:user/{user}")},
    })
    .to_string()
}

/// Why an alert is told, one cause after the other.
fn causes_of(alert: &Value) -> Vec<String> {
    let Some(causes) = alert["follow_up"]["causes"].as_array() else {
        return vec!["first sighting".to_owned()];
    };
    let causes = causes.iter().map(|cause| cause.as_str().unwrap());
    causes
        .flat_map(|cause| cause.trim_start_matches("new calls ").split(", "))
        .map(str::to_owned)
        .collect()
}

/// The incidents that an alert tells.
fn incidents_of(alert: &Value) -> Vec<String> {
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    match alert["list"].as_array() {
        Some(list) => list.iter().map(id).collect(),
        None => vec![id(alert)],
    }
}

fn start() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// What goes wrong, until all is well again.
struct Mending(Mutex<Faults>);

impl Mending {
    fn of(faults: Faults) -> Self {
        Mending(Mutex::new(faults))
    }

    fn are_many(&self) -> bool {
        *self.0.lock().unwrap() == Faults::Many
    }

    fn mend(&self) {
        *self.0.lock().unwrap() = Faults::None;
    }
}

/// The ledger's items, in a store that is slow, conflicts, and fails before or after it wrote.
struct Store {
    chance: Chance,
    faults: Mending,
    items: Mutex<HashMap<String, Item>>,
}

impl Store {
    fn put(&self, write: Write<'_>) -> Written {
        let mut items = self.items.lock().unwrap();
        let stands = items.get(write.incident).cloned();
        if stands.as_ref().map(|item| item.version.as_str()) != write.replaces {
            return Written::Conflict(stands);
        }
        items.insert(write.incident.to_owned(), write.item.clone());
        Written::Done
    }
}

impl Items for &Store {
    async fn write(&self, write: Write<'_>) -> Result<Written, LedgerError> {
        steps(1 + self.chance.below(2)).await;
        let fails = self.faults.are_many() && self.chance.one_in(8);
        if fails && self.chance.one_in(2) {
            return Err(LedgerError("down".to_owned()));
        }
        let written = self.put(write);
        steps(self.chance.below(2)).await;
        if fails { Err(LedgerError("no answer".to_owned())) } else { Ok(written) }
    }

    fn is_past(&self, _: Timestamp) -> bool {
        self.faults.are_many() && self.chance.one_in(30)
    }
}

/// The topic: it takes messages one after the other, or refuses them, or takes them and says no.
struct Topic {
    chance: Chance,
    faults: Mending,
    accepted: Mutex<Vec<Value>>,
}

impl Topic {
    fn accepted(&self) -> Vec<Value> {
        self.accepted.lock().unwrap().clone()
    }

    fn take(&self, message: &Message) {
        let alert = serde_json::from_str(&message.json()).unwrap();
        self.accepted.lock().unwrap().push(alert);
    }
}

impl Publish for Topic {
    async fn publish(&self, messages: &[Message], _: Timestamp) -> Vec<Result<(), PublishError>> {
        let mut fates = Vec::new();
        for message in messages {
            steps(self.chance.below(2)).await;
            match if self.faults.are_many() { self.chance.below(10) } else { 9 } {
                0 => fates.push(Err(PublishError::Transient("throttled".to_owned()))),
                1 => fates.push(Err(PublishError::Permanent("denied".to_owned()))),
                2 => {
                    self.take(message);
                    fates.push(Err(PublishError::Transient("no answer".to_owned())));
                }
                // The rest of the batch has no fate at all.
                3 if self.chance.one_in(4) => break,
                _ => {
                    self.take(message);
                    fates.push(Ok(()));
                }
            }
        }
        fates
    }
}

/// Polls a future to its end.
fn alone<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
    }
}

/// Lets the others run so many times.
async fn steps(mut left: usize) {
    poll_fn(|_| match left {
        0 => Poll::Ready(()),
        _ => {
            left -= 1;
            Poll::Pending
        }
    })
    .await;
}

/// Chance that repeats itself (Marsaglia, "Xorshift RNGs").
struct Chance(Mutex<u64>);

impl Chance {
    fn of(seed: u64) -> Self {
        Chance(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
    }

    fn below(&self, bound: usize) -> usize {
        let mut state = self.0.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state >> 16).unwrap() % bound
    }

    fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }
}
