//! Counts by who, where and day.
//!
//! A [`Cell`] is what one principal did in one region of one account. There are as many as there
//! are principals times the regions that they use, thousands in a large organisation; beyond
//! [`MOST_CELLS`] everybody else shares one.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::alert::text::clean;
use crate::record::{Access, Principal};

/// Cells that are told apart.
const MOST_CELLS: usize = 200_000;

/// Regions and days that are told apart: all regions for decades.
const MOST_DAYS: usize = 500_000;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Characters of a name.
const LONGEST_NAME: usize = 256;

/// Stands for everybody and everywhere beyond [`MOST_CELLS`].
pub const OTHERS: &str = "(others)";

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Calls, all told.
    pub calls: u64,
    /// Those that change something, or might.
    pub mutating: u64,
    /// Those that alert.
    pub alerts: u64,
    /// The first one's time.
    pub first: Option<Timestamp>,
    /// The last one's time.
    pub last: Option<Timestamp>,
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Who {
    /// The short name a person would use.
    pub name: String,
    /// `userIdentity.type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The role's ARN for an assumed role, else the principal's own.
    pub arn: Option<String>,
}

/// What one principal did in one region of one account. All texts are harmless.
pub struct Cell {
    /// Tells it from all others.
    key: String,
    pub account: String,
    pub region: String,
    pub who: Who,
    pub activity: Activity,
}

/// All cells.
#[derive(Default)]
pub struct Cells {
    known: HashMap<String, usize>,
    pub list: Vec<Cell>,
    regions: Regions,
    /// Numbers by region and day.
    known_days: HashMap<Day, usize>,
    /// What was done where on which day.
    days: Vec<(Day, Activity)>,
}

/// The number of a region, and that of a day since 1970; none for what tells no time.
type Day = (usize, Option<i64>);

/// Regions by number.
#[derive(Default)]
struct Regions {
    known: HashMap<String, usize>,
    names: Vec<String>,
    /// That of each cell.
    of_cell: Vec<usize>,
    /// The number of the day in each that was counted last: as a rule it is the next one, too.
    last_day: Vec<usize>,
}

impl Cell {
    /// An empty cell.
    pub fn new(key: String, account: &str, region: &str, principal: Principal<'_>) -> Self {
        let who = Who {
            name: clean(&principal.name(), LONGEST_NAME),
            kind: clean(principal.kind(), LONGEST_NAME),
            arn: principal.arn().map(|arn| clean(arn, LONGEST_NAME)),
        };
        Cell {
            key,
            account: clean(account, LONGEST_NAME),
            region: clean(region, LONGEST_NAME),
            who,
            activity: Activity::default(),
        }
    }

    fn of_others() -> Self {
        let others = || OTHERS.to_owned();
        let who = Who { name: others(), kind: others(), arn: None };
        let activity = Activity::default();
        Cell { key: String::new(), account: others(), region: others(), who, activity }
    }
}

impl Cells {
    /// The numbers of a sheet's cells.
    pub fn of(&mut self, cells: Vec<Cell>) -> Vec<usize> {
        cells.into_iter().map(|cell| self.number(cell)).collect()
    }

    fn number(&mut self, mut cell: Cell) -> usize {
        if let Some(known) = self.known.get(&cell.key) {
            return *known;
        }
        if self.list.len() >= MOST_CELLS {
            cell = Cell::of_others();
            if let Some(known) = self.known.get(&cell.key) {
                return *known;
            }
        }
        let number = self.list.len();
        self.known.insert(std::mem::take(&mut cell.key), number);
        self.regions.add(&cell.region);
        self.list.push(cell);
        number
    }

    /// Counts one call.
    pub fn count(&mut self, number: usize, time: Option<Timestamp>, access: Access, alerts: bool) {
        let Some(cell) = self.list.get_mut(number) else { return };
        cell.activity.add(time, access, alerts);
        let region = self.regions.of_cell.get(number).copied().unwrap_or_default();
        let day = self.day((region, time.map(|time| time.as_second().div_euclid(DAY))));
        if let Some((_, done)) = self.days.get_mut(day) {
            done.add(time, access, alerts);
        }
    }

    /// The number of a day in a region.
    fn day(&mut self, day: Day) -> usize {
        let last = self.regions.last_day.get(day.0).copied().unwrap_or_default();
        if self.days.get(last).is_some_and(|(known, _)| *known == day) {
            return last;
        }
        let day = match self.days.len() < MOST_DAYS || self.known_days.contains_key(&day) {
            true => day,
            false => (day.0, None),
        };
        let number = *self.known_days.entry(day).or_insert_with(|| {
            self.days.push((day, Activity::default()));
            self.days.len() - 1
        });
        if let Some(last) = self.regions.last_day.get_mut(day.0) {
            *last = number;
        }
        number
    }

    /// What was done, by what `word` says of a cell.
    pub fn by<K: Ord>(&self, word: impl Fn(&Cell) -> K) -> BTreeMap<K, Activity> {
        let mut sums: BTreeMap<K, Activity> = BTreeMap::new();
        for cell in &self.list {
            sums.entry(word(cell)).or_default().join(&cell.activity);
        }
        sums
    }

    /// What was done where on which day; without a day, what tells no time.
    pub fn by_day(&self) -> impl Iterator<Item = (&str, Option<Date>, Activity)> {
        let name = |number: usize| self.regions.names.get(number).map_or(OTHERS, String::as_str);
        self.days.iter().map(move |((region, day), done)| {
            let date = day.and_then(|day| Timestamp::from_second(day * DAY).ok()).map(date_of);
            (name(*region), date, *done)
        })
    }
}

impl Regions {
    /// Notes the region of the next cell.
    fn add(&mut self, region: &str) {
        let number = match self.known.get(region) {
            Some(known) => *known,
            None => {
                let number = self.names.len();
                self.known.insert(region.to_owned(), number);
                self.names.push(region.to_owned());
                self.last_day.push(0);
                number
            }
        };
        self.of_cell.push(number);
    }
}

impl Activity {
    fn add(&mut self, time: Option<Timestamp>, access: Access, alerts: bool) {
        self.calls += 1;
        self.mutating += u64::from(access == Access::Mutating);
        self.alerts += u64::from(alerts);
        if let Some(time) = time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = self.last.max(Some(time));
        }
    }

    /// Adds what was done elsewhere.
    pub fn join(&mut self, other: &Activity) {
        self.calls += other.calls;
        self.mutating += other.mutating;
        self.alerts += other.alerts;
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
    }
}

fn date_of(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

/// Different calls that are told of an exemption.
const MOST_CALLS: usize = 1_000;

/// What an exemption hid.
#[derive(Default)]
pub struct Hidden {
    /// `ec2:RunInstances` and the like, with their counts.
    pub calls: BTreeMap<String, u64>,
    /// How many came with names beyond the limit.
    pub others: u64,
    /// The last one's time.
    pub last: Option<Timestamp>,
}

impl Hidden {
    /// Counts one more.
    pub fn add(&mut self, call: &str, time: Option<Timestamp>) {
        let call = clean(call, LONGEST_NAME);
        if self.calls.len() < MOST_CALLS || self.calls.contains_key(&call) {
            *self.calls.entry(call).or_default() += 1;
        } else {
            self.others += 1;
        }
        self.last = self.last.max(time);
    }
}
