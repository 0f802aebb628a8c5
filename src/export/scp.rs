//! A policy as a service control policy, which denies what the policy alerts on.
//!
//! Such a policy sees who calls what where, and nothing that CloudTrail finds out afterwards: not
//! whether a call only looks, what its parameters are, and what becomes of it. An action is a
//! service and a name; a name may have wildcards and a service may not (Organizations guide, "SCP
//! syntax"), so the reads that pass are listed, service by service. What cannot be told apart
//! passes: nothing is denied that the policy lets pass, and the alert is there for the rest.

mod action;
mod statement;

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::policy::calls::CallAccess;
use crate::policy::rule::{Exempt, Test};
use crate::policy::{Global, Pattern, Patterns, Policy, Watch};
use crate::record::access::has_verb;
use crate::record::{Access, region};

use super::{Export, is_told, listed};
use action::{action, hold, of_call};
use statement::{ACCOUNT, Document, PRINCIPAL, REGION, Statement, TARGET};

/// Characters that a service control policy has at most, white space included ("Quotas and service
/// limits for AWS Organizations").
pub const LONGEST: usize = 5120;

/// It does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} characters, and a service control policy has {LONGEST} at most: let fewer reads pass, or have fewer rules"
)]
pub struct TooLong(usize);

/// Reads that are made outside of the approved regions: services and names.
pub type Reads = BTreeSet<(String, String)>;

/// The policy that denies what `policy` alerts on: in one account, or in all that have no list of
/// regions of their own. Exemptions that ended before `today` are none.
///
/// # Errors
/// Where it does not fit.
pub fn of(
    policy: &Policy,
    account: Option<&str>,
    reads: &Reads,
    today: Date,
) -> Result<Export, TooLong> {
    let mut usual: Vec<&str> = USUAL_READERS.split_whitespace().collect();
    loop {
        let (document, mut notes) = Scp::of(policy, account, reads, &usual, today).document();
        let (pretty, short) = document.to_json();
        let text = if pretty.len() <= LONGEST { pretty } else { short };
        if text.len() <= LONGEST {
            let seen = if reads.is_empty() { "" } else { ", and those that the history has" };
            let usual = listed(&usual);
            notes.push(format!(
                "outside of the approved regions the reads of {usual} pass{seen}; others are denied"
            ));
            return Ok(Export { text, notes });
        }
        if usual.pop().is_none() {
            return Err(TooLong(text.len()));
        }
    }
}

/// Services at which consoles, inventories and scanners look in every region, as IAM calls them.
/// The last are left out first.
const USUAL_READERS: &str = "ec2 s3 cloudwatch logs cloudtrail config rds lambda dynamodb kms sns sqs \
    elasticloadbalancing autoscaling cloudformation ecs eks ecr secretsmanager ssm guardduty \
    securityhub access-analyzer tag servicequotas elasticache elasticfilesystem acm events \
    backup redshift glue";

/// Verbs of their reads.
const USUAL_VERBS: [&str; 3] = ["Describe", "Get", "List"];

/// What it is made of.
struct Scp<'p> {
    policy: &'p Policy,
    today: Date,
    /// The global services of the partition that is worked in.
    globals: Vec<&'p Global>,
    regions: Vec<String>,
    /// Reads and global services.
    passing: BTreeSet<String>,
    /// What exemptions let pass.
    exempt: BTreeSet<String>,
    principals: Vec<String>,
    accounts: Vec<String>,
    notes: Vec<String>,
}

impl<'p> Scp<'p> {
    fn of(
        policy: &'p Policy,
        account: Option<&str>,
        reads: &Reads,
        usual: &[&str],
        today: Date,
    ) -> Self {
        let approved = account.map_or(&policy.approved, |account| policy.approved_for(account));
        let regions = words(approved);
        let here = regions.first().map_or("aws", |code| region::partition(code));
        let is_here = |global: &&Global| {
            global.homes.iter().any(|home| region::partition(&home.as_str().to_lowercase()) == here)
        };
        let mut scp = Scp {
            policy,
            today,
            globals: policy.globals.iter().filter(is_here).collect(),
            regions,
            passing: BTreeSet::new(),
            exempt: BTreeSet::new(),
            principals: Vec::new(),
            accounts: Vec::new(),
            notes: UNBOUND.map(str::to_owned).to_vec(),
        };
        if account.is_none() {
            scp.leave_out_accounts();
        }
        scp.pass_reads(reads, usual);
        scp.pass_others();
        scp.in_force().for_each(|exempt| scp.pass_exempt(exempt));
        scp
    }

    fn in_force(&self) -> impl Iterator<Item = &'p Exempt> + use<'p> {
        let today = self.today;
        self.policy.exempts().filter(move |exempt| exempt.until().is_none_or(|last| last >= today))
    }

    /// Accounts with regions of their own need a policy of their own.
    fn leave_out_accounts(&mut self) {
        let own = self.policy.accounts.iter().filter(|(_, account)| account.approved.is_some());
        self.accounts = own.map(|(id, _)| id.clone()).collect();
        self.accounts.sort_unstable();
        if !self.accounts.is_empty() {
            let ids = listed(&self.accounts);
            self.notes.push(format!("it does not hold for {ids}: print theirs with --account"));
        }
    }

    /// A read passes with all that has its verb, for want of room.
    fn pass_reads(&mut self, reads: &Reads, usual: &[&str]) {
        let verbs = &self.policy.read_only_verbs;
        for (service, name) in reads {
            let verb = verbs.iter().find(|verb| has_verb(name, verb));
            let name = verb.map_or_else(|| name.clone(), |verb| format!("{verb}*"));
            // What CloudTrail calls HeadObject is s3:GetObject to IAM, and HeadBucket s3:ListBucket.
            let names = if name == "Head*" { vec!["Get*", "List*"] } else { vec![&*name] };
            self.passing.extend(names.into_iter().filter_map(|name| action(service, name)));
        }
        let verbs = USUAL_VERBS.iter().filter(|usual| verbs.iter().any(|verb| verb == *usual));
        let usual =
            verbs.flat_map(|verb| usual.iter().filter_map(move |s| action(s, &format!("{verb}*"))));
        self.passing.extend(usual);
        for (service, name, access) in self.policy.calls.entries() {
            if let CallAccess::Always(Access::ReadOnly) = access {
                self.passing.extend(action(service, &name));
            }
        }
    }

    fn pass_others(&mut self) {
        let services = self.globals.iter().flat_map(|global| global.services.iter());
        self.passing.extend(services.filter_map(|service| action(service.as_str(), "*")));
        // They have a statement of their own.
        self.passing.extend(SWITCHES.map(str::to_owned));
        if !self.policy.alert_on_sign_ins {
            self.passing.extend(action("signin", "*"));
        }
    }

    /// What an exemption lets pass passes, and perhaps more.
    fn pass_exempt(&mut self, exempt: &Exempt) {
        let tests = &exempt.matcher.0;
        let said = tests.iter().filter_map(|test| Some((said_first(test)?, test)));
        let Some((_, said)) = said.min_by_key(|(order, _)| *order) else {
            let note = format!("it knows nothing of the exemption `{}`", exempt.id());
            return self.notes.push(note);
        };
        match said {
            Test::Principals(list) => self.principals.extend(as_written(list)),
            Test::Calls(calls) => self.exempt.extend(calls.iter().filter_map(of_call)),
            Test::Services(list) => {
                self.exempt.extend(list.iter().filter_map(|name| action(name.as_str(), "*")));
            }
            Test::Regions(list) => self.regions.extend(words(list)),
            Test::Accounts(list) => self.accounts.extend(words(list)),
            Test::Outcomes(_) | Test::SourceIps(_) | Test::Request(_) => {}
        }
        let others = tests.iter().map(Test::key).filter(|key| *key != said.key());
        let others: Vec<&str> = others.chain(exempt.until().map(|_| "until")).collect();
        if !others.is_empty() {
            self.notes.push(format!(
                "it lets pass more than the exemption `{}`: it knows its {}, and not its {}",
                exempt.id(),
                said.key(),
                listed(others)
            ));
        }
    }

    fn document(mut self) -> (Document, Vec<String>) {
        let passing = self.passing.union(&self.exempt).cloned().collect();
        let everything = Statement::of_all_but("OutsideApprovedRegions", without_held(passing));
        let mut statements = vec![self.among(everything, &self.regions, REGION)];
        statements.extend(self.named_calls());
        let switches = SWITCHES.map(str::to_owned).into_iter();
        let switches = switches.filter(|switch| !hold(&self.exempt, switch)).collect();
        let switches = Statement::of("OpeningOtherRegions", switches);
        statements.push(self.among(switches, &self.regions, TARGET));
        for watch in self.policy.watches() {
            match self.watch(watch) {
                Ok(statement) => statements.push(statement),
                Err(why) => self
                    .notes
                    .push(format!("it does not deny what watch `{}` matches: {why}", watch.id())),
            }
        }
        statements.retain(Statement::denies);
        (Document::new(statements), self.notes)
    }

    /// Denies outside of these regions only, and not who is exempt.
    fn among(&self, statement: Statement, regions: &[String], key: &'static str) -> Statement {
        statement
            .unless(key, regions)
            .unless(PRINCIPAL, &self.principals)
            .unless(ACCOUNT, &self.accounts)
    }

    /// Calls that pass as reads or in a global service, and that the policy tells of by name.
    fn named_calls(&mut self) -> Vec<Statement> {
        let (mut usual, mut global) = (Vec::new(), Vec::new());
        let mut asked = BTreeSet::new();
        for (service, name, access) in self.policy.calls.entries() {
            let passes =
                |action: &String| hold(&self.passing, action) && !hold(&self.exempt, action);
            let Some(action) = action(service, &name).filter(passes) else { continue };
            let is_global = self.globals.iter().any(|global| global.services.matches(service));
            let is_ignored = service == "signin" && !self.policy.alert_on_sign_ins;
            match access {
                _ if is_ignored || !is_told(self.policy, access) => {}
                CallAccess::When(..) => drop(asked.insert(action)),
                _ if is_global => global.push(action),
                _ => usual.push(action),
            }
        }
        if !asked.is_empty() {
            let note = format!("these pass, whatever their parameters: {}", listed(asked));
            self.notes.push(note);
        }
        let mut regions = self.regions.clone();
        for home in self.globals.iter().flat_map(|global| words(&global.homes)) {
            if !regions.contains(&home) {
                regions.push(home);
            }
        }
        let usual = Statement::of("CallsByName", usual);
        let global = Statement::of("CallsOfGlobalServices", global);
        vec![self.among(usual, &self.regions, REGION), self.among(global, &regions, REGION)]
    }

    /// Denies what a watch matches, wherever; `Err` says what it cannot tell.
    fn watch(&mut self, watch: &Watch) -> Result<Statement, String> {
        let tests = &watch.matcher.0;
        let (actions, others) = watched(tests);
        if actions.is_empty() {
            return Err("what it names is no action".to_owned());
        }
        let sid: String = watch.id().split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let mut statement = Statement::of(&format!("Watch{sid}"), actions);
        for test in tests {
            statement = match test {
                Test::Calls(_) => statement,
                Test::Services(_) if !tests.iter().any(|test| test.key() == "calls") => statement,
                Test::Regions(list) => statement.only(REGION, &words(list)),
                Test::Accounts(list) => statement.only(ACCOUNT, &words(list)),
                _ => return Err(format!("it asks for its {}", test.key())),
            };
        }
        let mut whose = Vec::new();
        for exempt in self.in_force().filter(|exempt| exempt.names(watch)) {
            let principals = exempt.matcher.0.iter().find_map(|test| match test {
                Test::Principals(list) if said_first(test).is_some() => Some(as_written(list)),
                _ => None,
            });
            whose.extend(
                principals.ok_or_else(|| {
                    format!("the exemption `{}` lets pass some of it", exempt.id())
                })?,
            );
        }
        if !others.is_empty() {
            let (id, others) = (watch.id(), listed(others));
            self.notes
                .push(format!("of watch `{id}` it does not deny {others}: that is no action"));
        }
        Ok(statement.unless(PRINCIPAL, &whose))
    }
}

/// The actions that a watch names, all of them where it names none; and what is no action.
fn watched(tests: &[Test]) -> (Vec<String>, Vec<String>) {
    let calls = tests.iter().find_map(|test| match test {
        Test::Calls(calls) => {
            Some(calls.iter().map(|call| of_call(call).ok_or(call.to_string())).collect())
        }
        _ => None,
    });
    let services = || {
        tests.iter().find_map(|test| match test {
            Test::Services(list) => {
                let names = list.iter().map(|name| name.as_str());
                Some(names.map(|name| action(name, "*").ok_or(name.to_owned())).collect())
            }
            _ => None,
        })
    };
    let named: Vec<Result<String, String>> =
        calls.or_else(services).unwrap_or(vec![Ok("*".to_owned())]);
    let (mut actions, mut others) = (Vec::new(), Vec::new());
    for one in named {
        match one {
            Ok(action) => actions.push(action),
            Err(other) => others.push(other),
        }
    }
    (actions, others)
}

const SWITCHES: [&str; 2] = ["account:EnableRegion", "account:DisableRegion"];

const UNBOUND: [&str; 2] = [
    "it binds neither the management account nor what AWS does itself, service-linked roles included",
    "where IAM has other names than CloudTrail, it goes by CloudTrail's: try it on an account that \
     nobody needs first",
];

/// Which matcher of an exemption is said: the narrowest that can be.
fn said_first(test: &Test) -> Option<u8> {
    match test {
        Test::Principals(list) if list.iter().all(is_principal) => Some(0),
        Test::Calls(calls) if calls.iter().all(|call| of_call(call).is_some()) => Some(1),
        Test::Services(list) if list.iter().all(|name| action(name.as_str(), "*").is_some()) => {
            Some(2)
        }
        Test::Regions(_) => Some(3),
        Test::Accounts(_) => Some(4),
        _ => None,
    }
}

/// Whether what it matches is an `aws:PrincipalArn`. A session's ARN, or its name, and a service of
/// AWS are none.
fn is_principal(pattern: &Pattern) -> bool {
    let text = pattern.as_str().to_ascii_lowercase();
    let is_lasting = ["user/", "role/", ":root"].iter().any(|part| text.contains(part));
    pattern.matches_everything() || (is_lasting && !may_be_session(&text))
}

/// `*role/Admin/alice` is a role with a path, or the session `assumed-role/Admin/alice`.
fn may_be_session(text: &str) -> bool {
    let is_open =
        |(before, behind): (&str, &str)| before.ends_with(['*', '?']) && behind.contains('/');
    text.contains("assumed-role")
        || text.contains(":sts:")
        || text.split_once("role/").is_some_and(is_open)
}

fn as_written(list: &Patterns) -> Vec<String> {
    list.iter().map(|pattern| pattern.as_str().to_owned()).collect()
}

/// Patterns of regions and accounts, as IAM has them.
fn words(list: &Patterns) -> Vec<String> {
    list.iter().map(|pattern| pattern.as_str().to_ascii_lowercase()).collect()
}

/// Actions, without those that others hold.
fn without_held(actions: BTreeSet<String>) -> Vec<String> {
    let is_held = |action: &String| hold(actions.iter().filter(|other| *other != action), action);
    actions.iter().filter(|action| !is_held(action)).cloned().collect()
}
