//! What is no fault of a policy, and still worth saying: rules that do nothing any more.

use jiff::{SignedDuration, Timestamp};

use super::fault::{Place, PolicyFault};
use super::reader::At;
use super::rule::{Exempt, Matcher, Test, utc_date};
use super::{Keys, Patterns};

/// Days before its end at which an exemption is spoken of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

impl Keys {
    /// Exemptions that have expired, will soon, or can never match.
    pub fn remarks(&self, now: Timestamp) -> Vec<PolicyFault> {
        let mut remarks = Vec::new();
        for At { place, value: exempt } in &self.exempts {
            let expiry = expiry(exempt, now);
            let idle = expiry.is_none().then(|| self.idle(exempt)).flatten();
            if let Some((what, hint)) = expiry.or(idle) {
                let hint = Some(hint.to_owned());
                remarks.push(PolicyFault { place: place.clone(), what, hint });
            }
        }
        remarks
    }

    /// An exemption for regions that are approved anyway.
    fn idle(&self, exempt: &Exempt) -> Option<(String, &'static str)> {
        let approved = &self.approved_regions.as_ref()?.value;
        let own_lists = self.accounts.values().any(|account| account.approved_regions.is_some());
        let regions = exempt.matcher.regions()?;
        let all =
            regions.iter().all(|region| !region.is_glob() && approved.matches(region.as_str()));
        let idle = exempt.watches.is_empty() && !own_lists && all;
        idle.then(|| {
            let what = format!(
                "exempt `{}` silences nothing, for these are approved: {regions}",
                exempt.id
            );
            (what, "remove it, or name the `watches` that it is meant to silence")
        })
    }

    /// What is in force, in one line.
    pub fn summary(&self) -> String {
        let approved = self.approved_regions.as_ref().map(|at| at.value.to_string());
        let own = self.accounts.values().filter(|a| a.approved_regions.is_some()).count();
        let own = match own {
            0 => String::new(),
            1 => ", 1 account has its own list".to_owned(),
            many => format!(", {many} accounts have their own lists"),
        };
        format!(
            "approved: {}{own}; rules: {} watches, {} exemptions, {} of global services",
            approved.unwrap_or_default(),
            self.watches.len(),
            self.exempts.len(),
            self.globals.len(),
        )
    }

    /// Where the regions stand that are approved for an account.
    pub fn place_of_regions(&self, account: &str) -> Option<&Place> {
        let own = self.accounts.get(account).and_then(|own| own.approved_regions.as_ref());
        own.or(self.approved_regions.as_ref()).map(|at| &at.place)
    }

    /// Whether an account has approved regions of its own.
    pub fn has_own_regions(&self, account: &str) -> bool {
        self.accounts.get(account).is_some_and(|account| account.approved_regions.is_some())
    }
}

fn expiry(exempt: &Exempt, now: Timestamp) -> Option<(String, &'static str)> {
    let until = exempt.until?;
    if exempt.has_expired(now) {
        let what =
            format!("exempt `{}` ended on {until}: it silences nothing of later days", exempt.id);
        return Some((what, "remove it, or set a later date"));
    }
    let soon = utc_date(now.checked_add(SOON).ok()?);
    (until <= soon).then(|| {
        (
            format!("exempt `{}` ends on {until}", exempt.id),
            "what it silences will alert from the day after",
        )
    })
}

impl Matcher {
    fn regions(&self) -> Option<&Patterns> {
        self.0.iter().find_map(|test| match test {
            Test::Regions(regions) => Some(regions),
            _ => None,
        })
    }
}
