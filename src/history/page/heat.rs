//! Activity by region and day.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};
use maud::{Markup, html};

use super::super::counts::Activity;
use super::super::report::{Approved, Region, Report};
use super::{counted, number};

/// Columns; where there are more days, a column is several.
const MOST_COLUMNS: i64 = 92;

/// Columns up to which there is room on any screen, numbers and all.
const SO_FEW_COLUMNS: usize = 5;

/// Columns up to which there is room for numbers.
const FEW_COLUMNS: usize = 14;

/// Columns up to which there is room on small screens.
const SOME_COLUMNS: usize = 45;

/// Regions that have a row.
const MOST_ROWS: usize = 40;

/// Shades of a colour.
const SHADES: f64 = 5.0;

/// Days, some of which share a column.
struct Columns {
    first: Date,
    days_each: i64,
    count: usize,
}

impl Columns {
    fn of(report: &Report<'_>) -> Option<Self> {
        let mut days = report.days.iter().filter_map(|day| day.day);
        let first = days.next()?;
        let last = days.next_back().unwrap_or(first);
        let all = days_between(first, last) + 1;
        let days_each = (all + MOST_COLUMNS - 1) / MOST_COLUMNS;
        let count = usize::try_from((all + days_each - 1) / days_each).unwrap_or_default();
        Some(Columns { first, days_each, count })
    }

    fn at(&self, day: Date) -> Option<usize> {
        usize::try_from(days_between(self.first, day) / self.days_each).ok()
    }

    fn start(&self, column: usize) -> Option<Date> {
        let days = self.days_each.checked_mul(i64::try_from(column).ok()?)?;
        self.first.checked_add(Span::new().try_days(days).ok()?).ok()
    }

    /// What stands over a column: the first day, and each new month; of few, each day.
    fn title(&self, column: usize) -> String {
        let Some(start) = self.start(column) else { return String::new() };
        let before = column.checked_sub(1).and_then(|before| self.start(before));
        let is_new = before.is_none_or(|before| before.month() != start.month());
        match (is_new, self.count <= FEW_COLUMNS) {
            (true, _) => start.strftime("%-d %b").to_string(),
            (false, true) => start.strftime("%-d").to_string(),
            (false, false) => String::new(),
        }
    }

    /// The days of a column.
    fn in_words(&self, column: usize) -> String {
        let Some(start) = self.start(column) else { return String::new() };
        let end = start.checked_add((self.days_each - 1).days()).unwrap_or(start);
        match self.days_each {
            1 => start.to_string(),
            _ => format!("{start} to {end}"),
        }
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_hours() / 24
}

/// The map.
pub fn section(report: &Report<'_>) -> Markup {
    let Some(columns) = Columns::of(report) else {
        return html! { section { h2 { "Where" } p.nothing { "No call tells where and when it was made." } } };
    };
    let mut cells: BTreeMap<(&str, usize), Activity> = BTreeMap::new();
    for day in &report.days {
        if let Some(column) = day.day.and_then(|date| columns.at(date)) {
            cells.entry((&day.region, column)).or_default().join(&day.activity);
        }
    }
    let most = cells.values().map(|done| done.calls).max().unwrap_or_default();
    let more = report.regions.len().saturating_sub(MOST_ROWS);
    html! {
        section {
            h2 { "Where" }
            p.dim { "Calls by region and day; orange where some would have alerted. ✓ marks approved regions." }
            div.wide { table class=(class(&columns)) {
                thead { tr { th {} @for column in 0..columns.count { th { (columns.title(column)) } } } }
                tbody { @for region in report.regions.iter().take(MOST_ROWS) {
                    tr {
                        th scope="row" { (name(region)) }
                        @for column in 0..columns.count {
                            (cell(cells.get(&(region.region.as_str(), column)), most, &columns, column))
                        }
                    }
                } }
            } }
            (legend(&columns))
            @if more > 0 { p.note { (counted(more as u64, "more region", "more regions")) ": " code { "--format json" } " has all of them." } }
        }
    }
}

/// How wide it may be, whatever the screen.
fn class(columns: &Columns) -> &'static str {
    match columns.count {
        count if count <= SO_FEW_COLUMNS => "heat few",
        count if count <= FEW_COLUMNS => "heat",
        count if count <= SOME_COLUMNS => "heat some",
        _ => "heat many",
    }
}

fn name(region: &Region) -> Markup {
    let mark = match region.approved {
        Approved::All => "✓ ",
        Approved::Some => "(✓) ",
        Approved::None => "",
    };
    html! {
        span.yes { (mark) } (region.region)
        @if let Some(name) = region.name { " " span.full { (name) } }
    }
}

fn cell(done: Option<&Activity>, most: u64, columns: &Columns, column: usize) -> Markup {
    let Some(Activity { calls, mutating, alerts, .. }) = done else { return html! { td {} } };
    let hue = if *alerts > 0 { 'a' } else { 'n' };
    let class = format!("{hue}{}", shade(*calls, most));
    let title = format!(
        "{}: {}, of them {} to change something, and {}",
        columns.in_words(column),
        counted(*calls, "call", "calls"),
        number(*mutating),
        counted(*alerts, "alert", "alerts")
    );
    let shown = (columns.count <= FEW_COLUMNS).then(|| number(*calls));
    html! { td class=(class) title=(title) { @if let Some(shown) = shown { (shown) } } }
}

/// 1 to 5: each shade is some times as many as the one before.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a shade is no count"
)]
fn shade(calls: u64, most: u64) -> u8 {
    let part = (calls as f64 + 1.0).ln() / (most as f64 + 1.0).ln();
    (part * SHADES).ceil().clamp(1.0, SHADES) as u8
}

fn legend(columns: &Columns) -> Markup {
    let shades = |hue: char| html! { @for shade in 1..=5 { i class=(format!("{hue}{shade}")) {} } };
    html! {
        div.legend {
            span { (shades('n')) " few to many calls" }
            span { (shades('a')) " some of them alert" }
            @if columns.days_each > 1 { span { "A column is " (columns.days_each) " days." } }
        }
    }
}
