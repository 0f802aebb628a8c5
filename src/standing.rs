//! The policy that stands in force, and how a newer one takes its place without a deployment.
//!
//! A [`PolicySource`] holds the text that people change. What it holds comes into force only when
//! it compiles; whatever goes wrong, the last good policy stays, and everybody hears of it: each
//! invocation counts the error, and each fault is news once. A cold start finds its way back to
//! the last good text among the versions before, so that all containers judge alike.
//!
//! Nothing is logged here, and there is no clock: [`News`] is for the caller to tell.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::policy::{Patterns, Policy, PolicyFaults};

/// Where the text of a policy is kept, each change as a version of its own.
pub trait PolicySource: Sync {
    /// What people know it by.
    fn name(&self) -> &str;

    /// Reads a text. How often it is tried, and for how long, is the source's to decide.
    fn read(&self, wanted: Wanted) -> impl Future<Output = Result<PolicyText, SourceError>> + Send;
}

/// Which text is wanted, and who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The newest, for a cold start, which is nothing without it.
    First,
    /// This version, for a cold start that cannot use the newest.
    Version(i64),
    /// The newest, for an invocation, which must not wait long.
    Newest,
}

/// What a source holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// The policy, as TOML.
    pub text: String,
    /// Counts the changes, from 1.
    pub version: i64,
}

/// A source that gave no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Why the newest text is not in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows what it says.
    #[error("the policy in {name} could not be read: {error}")]
    Unreadable {
        /// The source.
        name: String,
        /// What is wrong with it.
        error: SourceError,
    },
    /// It is no policy.
    #[error("version {version} of {name} is no policy:\n{faults}")]
    Invalid {
        /// The source.
        name: String,
        /// The version of the text.
        version: i64,
        /// All that is wrong with it.
        faults: PolicyFaults,
    },
}

/// A cold start that found no policy to stand on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The source gave nothing.
    #[error(transparent)]
    Unreadable(Refusal),
    /// The newest text is no policy, and none before it could take its place.
    #[error("{newest}\nand no earlier version takes its place: {earlier}")]
    NoneGood {
        /// What is wrong with the newest.
        newest: Refusal,
        /// What was found before it.
        earlier: String,
    },
}

/// What people should hear of.
#[derive(Debug, Clone)]
pub enum News {
    /// This policy is in force from now on.
    TakenUp(Arc<Policy>),
    /// The newest text is not; the policy before it stays. Told once as long as it lasts.
    Refused(Refusal),
}

/// What an invocation judges by.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The last good policy.
    pub policy: Arc<Policy>,
    /// 1 as long as the newest text is not in force, else 0.
    pub errors: u64,
    /// What changed just now.
    pub news: Option<News>,
}

/// The policy in force, and the source of the next one.
pub struct Standing<S> {
    source: Option<S>,
    /// Regions that count whatever a text says.
    approved: Option<Patterns>,
    ttl: SignedDuration,
    state: Mutex<State>,
}

struct State {
    policy: Arc<Policy>,
    /// What the policy was compiled from.
    text: Option<PolicyText>,
    /// When the source was last asked.
    asked: Timestamp,
    refused: bool,
    /// Refusals told since the newest text was last in force.
    told: BTreeSet<String>,
}

/// Versions that a cold start tries before the newest.
const MOST_EARLIER: i64 = 10;

/// Different refusals remembered as told; beyond that, one may be told again.
const MOST_TOLD: usize = 32;

impl<S: PolicySource> Standing<S> {
    /// The default policy, for ever.
    ///
    /// # Errors
    /// Never, as [`Policy::embedded`] says.
    pub fn embedded(
        approved: Option<Patterns>,
        now: Timestamp,
    ) -> Result<(Self, Vec<News>), PolicyFaults> {
        let policy = Arc::new(with_approved(Policy::embedded()?, approved.as_ref()));
        let news = vec![News::TakenUp(policy.clone())];
        let state = Mutex::new(State::new(policy, None, now));
        Ok((Standing { source: None, approved, ttl: SignedDuration::MAX, state }, news))
    }

    /// The newest good text of a source, which is asked again when `ttl` has passed.
    ///
    /// # Errors
    /// There is none, or the source does not answer.
    pub async fn start(
        source: S,
        ttl: SignedDuration,
        approved: Option<Patterns>,
        now: Timestamp,
    ) -> Result<(Self, Vec<News>), StartError> {
        let newest = source.read(Wanted::First).await;
        let newest = newest.map_err(|error| StartError::Unreadable(unreadable(&source, error)))?;
        let mut news = Vec::new();
        let (policy, text) = match compile(&source, &newest, approved.as_ref()) {
            Ok(policy) => (policy, newest),
            Err(refusal) => {
                news.push(News::Refused(refusal.clone()));
                let earlier = last_good(&source, newest.version, approved.as_ref()).await;
                earlier.map_err(|earlier| StartError::NoneGood { newest: refusal, earlier })?
            }
        };
        let mut state = State::new(policy.clone(), Some(text), now);
        if let Some(News::Refused(refusal)) = news.first() {
            state.refuse(refusal);
        }
        news.push(News::TakenUp(policy));
        Ok((Standing { source: Some(source), approved, ttl, state: Mutex::new(state) }, news))
    }

    /// What an invocation that begins `now` judges by. Asks the source when it is time to.
    pub async fn current(&self, now: Timestamp) -> InForce {
        let news = match &self.source {
            Some(source) if self.is_time(now) => self.renew(source).await,
            _ => None,
        };
        let state = self.state();
        InForce { policy: state.policy.clone(), errors: u64::from(state.refused), news }
    }

    /// Whether this invocation is to ask the source; others that run beside it then need not.
    fn is_time(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let passed = now.duration_since(state.asked);
        // A clock that was set back must not postpone it.
        let is_time = passed >= self.ttl || passed.is_negative();
        if is_time {
            state.asked = now;
        }
        is_time
    }

    async fn renew(&self, source: &S) -> Option<News> {
        let text = match source.read(Wanted::Newest).await {
            Ok(text) => text,
            Err(error) => return self.state().refuse(&unreadable(source, error)),
        };
        if self.state().confirm(&text) {
            return None;
        }
        match compile(source, &text, self.approved.as_ref()) {
            Ok(policy) => Some(self.state().take_up(policy, text)),
            Err(refusal) => self.state().refuse(&refusal),
        }
    }

    /// Each change of the state is whole, so a panic elsewhere leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(policy: Arc<Policy>, text: Option<PolicyText>, asked: Timestamp) -> Self {
        State { policy, text, asked, refused: false, told: BTreeSet::new() }
    }

    /// Whether the newest text is the one in force. The version alone does not say so: a source
    /// that was made anew counts from 1 again.
    fn confirm(&mut self, newest: &PolicyText) -> bool {
        let is_in_force = self.text.as_ref() == Some(newest);
        if is_in_force {
            self.settle();
        }
        is_in_force
    }

    fn take_up(&mut self, policy: Arc<Policy>, text: PolicyText) -> News {
        self.settle();
        self.policy = policy.clone();
        self.text = Some(text);
        News::TakenUp(policy)
    }

    fn settle(&mut self) {
        self.refused = false;
        self.told.clear();
    }

    fn refuse(&mut self, refusal: &Refusal) -> Option<News> {
        self.refused = true;
        if self.told.len() >= MOST_TOLD {
            self.told.clear();
        }
        let is_new = self.told.insert(refusal.to_string());
        is_new.then(|| News::Refused(refusal.clone()))
    }
}

/// The last good text before a version; `Err` says what was found instead.
async fn last_good<S: PolicySource>(
    source: &S,
    newest: i64,
    approved: Option<&Patterns>,
) -> Result<(Arc<Policy>, PolicyText), String> {
    let oldest = newest.saturating_sub(MOST_EARLIER).max(1);
    for version in (oldest..newest).rev() {
        let text = source.read(Wanted::Version(version)).await;
        let text = text.map_err(|error| format!("version {version} cannot be read: {error}"))?;
        if let Ok(policy) = compile(source, &text, approved) {
            return Ok((policy, text));
        }
    }
    Err(match newest {
        ..=1 => "there is none".to_owned(),
        _ => format!("versions {oldest} to {} are no policies either", newest - 1),
    })
}

fn compile<S: PolicySource>(
    source: &S,
    text: &PolicyText,
    approved: Option<&Patterns>,
) -> Result<Arc<Policy>, Refusal> {
    let PolicyText { text, version } = text;
    let policy = Policy::with_user_file(source.name(), text).map_err(|faults| {
        Refusal::Invalid { name: source.name().to_owned(), version: *version, faults }
    })?;
    Ok(Arc::new(with_approved(policy, approved).with_parameter_version(*version)))
}

fn with_approved(policy: Policy, approved: Option<&Patterns>) -> Policy {
    match approved {
        Some(approved) => policy.with_approved_regions(approved.clone()),
        None => policy,
    }
}

fn unreadable<S: PolicySource>(source: &S, error: SourceError) -> Refusal {
    Refusal::Unreadable { name: source.name().to_owned(), error }
}
