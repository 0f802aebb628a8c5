//! Asked before a record was read to its end: is it certain already that the judge ignores it?
//!
//! Nine of ten records end at the question for approved regions, which needs three fields and the
//! certainty that no watch comes before it. What a watch asks of fields that nobody has read yet is
//! taken to hold: it may alert, and so the record is read. The answers are the judge's own, asked
//! of the same functions.

use super::calls::CallAccess;
use super::rule::{Call, Matcher, Test};
use super::{Ground, Policy, Reason, Verdict, judge_without_call};
use crate::record::Record;

/// A policy that is asked ahead.
#[derive(Debug, Clone, Copy)]
pub struct Foresight<'p> {
    policy: &'p Policy,
    needs_account: bool,
    needs_principal: bool,
}

/// Nothing can be said before the record is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unforeseen;

impl<'p> Foresight<'p> {
    /// What can be said ahead under `policy`.
    pub fn of(policy: &'p Policy) -> Self {
        let asks = |kind: fn(&Test) -> bool| policy.watches().any(|watch| watch.matcher.has(kind));
        let own_regions = policy.accounts.values().any(|account| account.approved.is_some());
        Foresight {
            policy,
            needs_account: own_regions || asks(|test| matches!(test, Test::Accounts(_))),
            needs_principal: asks(|test| matches!(test, Test::Principals(_))),
        }
    }

    /// Whether nothing can be foreseen before the record's account is known.
    pub fn needs_account(&self) -> bool {
        self.needs_account
    }

    /// Whether nothing can be foreseen before `userIdentity` is known.
    pub fn needs_principal(&self) -> bool {
        self.needs_principal
    }

    /// Questions 1 to 3, of a record whose `eventSource`, `eventName` and `awsRegion` were read,
    /// and what is needed besides. `None` where they leave it open.
    ///
    /// # Errors
    /// A watch may match, or the region stands in the parameters of the request.
    pub fn by_region(
        &self,
        record: &Record<'_>,
        batch_owner: &str,
    ) -> Result<Option<Reason>, Unforeseen> {
        if record.event_name.is_none() || record.event_source.is_none() {
            return Ok(None);
        }
        let call = Call::of(record, batch_owner);
        if record.switches_region() || self.may_be_watched(&call) {
            return Err(Unforeseen);
        }
        let approved = self.policy.ignores(Ground::ApprovedRegion, &call);
        Ok(approved.then_some(Reason::ApprovedRegion))
    }

    /// Questions 1 to 7, of a record that was read but for the parameters of its request, the
    /// address it came from, and its error. `region_asked`: [`Foresight::by_region`] left it open, so
    /// that its region and the watches need no second look.
    ///
    /// # Errors
    /// It may alert, or be no record at all.
    pub fn by_all(
        &self,
        record: &Record<'_>,
        batch_owner: &str,
        region_asked: bool,
    ) -> Result<Reason, Unforeseen> {
        if record.event_name.is_none() || record.event_source.is_none() {
            return match judge_without_call(record) {
                Verdict::Ignore(reason) => Ok(reason),
                Verdict::Alert(..) | Verdict::Reject => Err(Unforeseen),
            };
        }
        let call = Call::of(record, batch_owner);
        let by_request = matches!(self.policy.calls.entry(&call), Some((_, CallAccess::When(..))));
        let in_doubt = || record.switches_region() || self.may_be_watched(&call);
        if by_request || (!region_asked && in_doubt()) {
            return Err(Unforeseen);
        }
        self.policy.candidate(&call).err().ok_or(Unforeseen)
    }

    fn may_be_watched(&self, call: &Call<'_>) -> bool {
        self.policy.watches.first(call, |watch| watch.matcher.may_match(call)).is_some()
    }
}

impl Matcher {
    fn has(&self, kind: fn(&Test) -> bool) -> bool {
        self.0.iter().any(kind)
    }

    /// Whether it matches, whatever the fields say that were not read.
    fn may_match(&self, call: &Call<'_>) -> bool {
        self.0.iter().all(|test| match test {
            Test::Outcomes(_) | Test::SourceIps(_) | Test::Request(_) => true,
            Test::Services(_)
            | Test::Calls(_)
            | Test::Regions(_)
            | Test::Accounts(_)
            | Test::Principals(_) => test.holds(call),
        })
    }
}
