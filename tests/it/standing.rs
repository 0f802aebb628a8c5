//! The policy in force, while its source changes, breaks and comes back.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use regionwatch::policy::{Patterns, Policy};
use regionwatch::standing::{
    InForce, News, PolicySource, PolicyText, SourceError, Standing, StartError, Wanted,
};

const TTL: SignedDuration = SignedDuration::from_mins(5);

/// A source that holds what a test puts into it; without any version it is down.
#[derive(Default)]
struct Source {
    versions: Mutex<BTreeMap<i64, String>>,
    asked: Mutex<Vec<Wanted>>,
}

impl Source {
    fn of(texts: &[&str]) -> Self {
        let source = Source::default();
        texts.iter().for_each(|text| source.put(text));
        source
    }

    fn put(&self, text: &str) {
        let mut versions = self.versions.lock().unwrap();
        let newest = versions.last_key_value().map_or(0, |(version, _)| *version);
        versions.insert(newest + 1, text.to_owned());
    }

    /// Does what the test says while the source is down.
    fn down(&self, test: impl FnOnce()) {
        let versions = std::mem::take(&mut *self.versions.lock().unwrap());
        test();
        *self.versions.lock().unwrap() = versions;
    }

    fn asked(&self) -> Vec<Wanted> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl PolicySource for &Source {
    fn name(&self) -> &'static str {
        "/my/policy"
    }

    fn read(&self, wanted: Wanted) -> impl Future<Output = Result<PolicyText, SourceError>> + Send {
        self.asked.lock().unwrap().push(wanted);
        let versions = self.versions.lock().unwrap();
        let found = match wanted {
            Wanted::Version(version) => versions.get_key_value(&version),
            Wanted::First | Wanted::Newest => versions.last_key_value(),
        };
        let text =
            found.map(|(version, text)| PolicyText { text: text.clone(), version: *version });
        ready(text.ok_or_else(|| SourceError("down".to_owned())))
    }
}

const EUROPE: &str = "approved_regions = [\"eu-west-1\"]";
const TOKYO: &str = "approved_regions = [\"ap-northeast-1\"]";
const BAD: &str = "\naproved_regions = [\"eu-west-1\"]\nsign_ins = 3";

/// Minutes after the cold start.
fn minute(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minutes)
}

fn start(source: &Source) -> Result<(Standing<&Source>, Vec<News>), StartError> {
    pollster::block_on(Standing::start(source, TTL, None, minute(0)))
}

fn started(source: &Source) -> Standing<&Source> {
    start(source).unwrap_or_else(|error| panic!("{error}")).0
}

fn at(standing: &Standing<&Source>, minutes: i64) -> InForce {
    pollster::block_on(standing.current(minute(minutes)))
}

fn regions(policy: &Policy) -> String {
    policy.approved_for("111122223333").to_string()
}

fn refusal(news: &News) -> String {
    match news {
        News::Refused(refusal) => refusal.to_string(),
        News::TakenUp(policy) => panic!("{} was taken up", policy.version()),
    }
}

/// The parameter's version of a policy that was taken up.
fn taken_up(news: &News) -> Option<i64> {
    match news {
        News::TakenUp(policy) => policy.version().parameter,
        News::Refused(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn a_new_text_is_taken_up_when_its_time_has_come_and_not_before() {
    let source = Source::of(&[EUROPE]);
    let (standing, news) = start(&source).unwrap();
    assert_eq!(news.iter().map(taken_up).collect::<Vec<_>>(), [Some(1)]);
    source.put(TOKYO);

    let before = at(&standing, 4);
    assert_eq!((regions(&before.policy).as_str(), before.errors), ("eu-west-1", 0));
    assert!(before.news.is_none());
    assert_eq!(source.asked(), [Wanted::First]);

    let after = at(&standing, 5);
    assert_eq!((regions(&after.policy).as_str(), after.errors), ("ap-northeast-1", 0));
    assert_eq!(after.news.as_ref().map(taken_up), Some(Some(2)));
    assert_ne!(before.policy.version().digest, after.policy.version().digest);
    assert_eq!(source.asked(), [Wanted::Newest]);
    assert!(at(&standing, 10).news.is_none());
}

#[test]
fn an_unchanged_text_is_no_news_and_the_next_look_comes_a_ttl_later() {
    let source = Source::of(&[EUROPE]);
    let standing = started(&source);
    let first = at(&standing, 0).policy;
    for minutes in [5, 6, 9, 10] {
        let now = at(&standing, minutes);
        assert!(now.news.is_none());
        assert!(Arc::ptr_eq(&first, &now.policy));
    }
    assert_eq!(source.asked(), [Wanted::First, Wanted::Newest, Wanted::Newest]);
}

#[test]
fn a_bad_text_is_told_once_and_counted_until_it_is_mended() {
    let source = Source::of(&[EUROPE]);
    let standing = started(&source);
    source.put(BAD);

    let refused = at(&standing, 5);
    assert_eq!((regions(&refused.policy).as_str(), refused.errors), ("eu-west-1", 1));
    assert_eq!(refused.policy.version().parameter, Some(1));
    let told = refusal(&refused.news.unwrap());
    for part in ["version 2 of /my/policy", "/my/policy:2:1: ", "/my/policy:3:12: "] {
        assert!(told.contains(part), "{part} in {told}");
    }
    for minutes in [6, 10, 15] {
        let still = at(&standing, minutes);
        assert_eq!(still.errors, 1, "minute {minutes}");
        assert!(still.news.is_none(), "minute {minutes}");
    }
    source.put("read_only_verbs = 1");
    assert!(refusal(&at(&standing, 20).news.unwrap()).contains("version 3"));

    source.put(TOKYO);
    let mended = at(&standing, 25);
    assert_eq!((regions(&mended.policy).as_str(), mended.errors), ("ap-northeast-1", 0));
    assert_eq!(mended.news.as_ref().map(taken_up), Some(Some(4)));
    source.put(BAD);
    assert!(at(&standing, 30).news.is_some(), "it was mended in between");
}

#[test]
fn a_source_that_is_down_changes_nothing_but_the_count() {
    let source = Source::of(&[EUROPE]);
    let standing = started(&source);
    source.down(|| {
        let down = at(&standing, 5);
        assert_eq!((regions(&down.policy).as_str(), down.errors), ("eu-west-1", 1));
        assert_eq!(
            refusal(&down.news.unwrap()),
            "the policy in /my/policy could not be read: down"
        );
        assert_eq!(at(&standing, 9).errors, 1);
        assert!(at(&standing, 10).news.is_none());
    });
    // Not before another ttl has passed: an outage must not cost every invocation a call.
    source.asked();
    assert_eq!((at(&standing, 14).errors, source.asked().len()), (1, 0));
    let back = at(&standing, 15);
    assert_eq!((back.errors, source.asked().len()), (0, 1));
    assert!(back.news.is_none(), "the text is the one in force");
    source.down(|| assert!(at(&standing, 20).news.is_some(), "another outage is news again"));
}

#[test]
fn an_outage_does_not_whitewash_a_bad_text() {
    let source = Source::of(&[EUROPE]);
    let standing = started(&source);
    source.put(BAD);
    at(&standing, 5);
    source.down(|| assert!(at(&standing, 10).news.is_some()));
    let back = at(&standing, 15);
    assert_eq!(back.errors, 1);
    assert!(back.news.is_none(), "it was told already");
}

#[test]
fn a_source_made_anew_is_read_though_its_version_is_the_same() {
    let source = Source::of(&[EUROPE]);
    let standing = started(&source);
    *source.versions.lock().unwrap() = Source::of(&[TOKYO]).versions.into_inner().unwrap();
    let anew = at(&standing, 5);
    assert_eq!(regions(&anew.policy), "ap-northeast-1");
    assert_eq!(anew.policy.version().parameter, Some(1));
}

#[test]
fn a_cold_start_goes_back_to_the_last_good_version_and_tells_the_fault() {
    let source = Source::of(&[TOKYO, EUROPE, BAD, BAD]);
    let (standing, news) = start(&source).unwrap();
    assert!(refusal(&news[0]).contains("version 4 of /my/policy"));
    assert_eq!(taken_up(&news[1]), Some(2));
    assert_eq!(news.len(), 2);
    assert_eq!(source.asked(), [Wanted::First, Wanted::Version(3), Wanted::Version(2)]);

    let now = at(&standing, 0);
    assert_eq!((regions(&now.policy).as_str(), now.errors), ("eu-west-1", 1));
    let later = at(&standing, 5);
    assert!(later.news.is_none(), "the cold start told it");
    assert_eq!(later.errors, 1);
}

#[test]
fn a_cold_start_without_a_good_policy_fails_and_says_why() {
    let fault = |source: &Source| start(source).map(drop).unwrap_err().to_string();
    assert_eq!(fault(&Source::default()), "the policy in /my/policy could not be read: down");
    let alone = fault(&Source::of(&[BAD]));
    assert!(alone.contains("/my/policy:2:1: ") && alone.ends_with("there is none"), "{alone}");
    let many = Source::of(&[EUROPE].into_iter().chain([BAD; 11]).collect::<Vec<_>>());
    let fault_of_many = fault(&many);
    assert!(fault_of_many.ends_with("versions 2 to 11 are no policies either"), "{fault_of_many}");
    assert_eq!(many.asked().len(), 11);
    let gap = Source::of(&[EUROPE, BAD, BAD]);
    gap.versions.lock().unwrap().remove(&2);
    assert!(fault(&gap).ends_with("version 2 cannot be read: down"));
}

#[test]
fn approved_regions_of_the_settings_override_those_of_each_text() {
    let source = Source::of(&[EUROPE]);
    let approved = Some(Patterns::regions(&["sa-east-1"]).unwrap());
    let started = pollster::block_on(Standing::start(&source, TTL, approved.clone(), minute(0)));
    let (standing, _) = started.unwrap();
    assert_eq!(regions(&at(&standing, 0).policy), "sa-east-1");
    source.put(TOKYO);
    let renewed = at(&standing, 5).policy;
    assert_eq!((regions(&renewed).as_str(), renewed.version().parameter), ("sa-east-1", Some(2)));

    let (standing, news) = Standing::<&Source>::embedded(approved, minute(0)).unwrap();
    assert_eq!(news.iter().map(taken_up).collect::<Vec<_>>(), [None]);
    let embedded = at(&standing, 1_000_000);
    assert_eq!((regions(&embedded.policy).as_str(), embedded.errors), ("sa-east-1", 0));
}

#[test]
fn without_a_ttl_every_invocation_looks_and_a_clock_set_back_stops_nothing() {
    let source = Source::of(&[EUROPE]);
    let start = Standing::start(&source, SignedDuration::ZERO, None, minute(0));
    let (standing, _) = pollster::block_on(start).unwrap();
    at(&standing, 0);
    at(&standing, 0);
    assert_eq!(source.asked().len(), 3);

    let standing = started(&source);
    source.asked();
    at(&standing, -1);
    assert_eq!(source.asked(), [Wanted::Newest]);
}
