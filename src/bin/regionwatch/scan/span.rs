//! `--since` and `--until`: a date, a time, or how long ago, all in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};

/// The first moment that is meant.
pub fn since(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    parse(text, now).map(|(from, _)| from)
}

/// The moment behind the last one that is meant.
pub fn until(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    parse(text, now).map(|(_, end)| end)
}

/// What a text means, from and until: of a date the whole day.
fn parse(text: &str, now: Timestamp) -> Result<(Timestamp, Timestamp), String> {
    let whole_day = |date: Date| {
        let begin = |date: Date| TimeZone::UTC.to_timestamp(date.to_datetime(Default::default()));
        Some((begin(date).ok()?, begin(date.checked_add(1.day()).ok()?).ok()?))
    };
    let ago = |span: Span| {
        let then = TimeZone::UTC.to_datetime(now).checked_sub(span.abs()).ok()?;
        let then = TimeZone::UTC.to_timestamp(then).ok()?;
        Some((then, then))
    };
    let time = text.parse::<Timestamp>().ok().map(|time| (time, time));
    let day = || text.parse::<Date>().ok().filter(|_| text.len() == DATE).and_then(whole_day);
    let before = || text.parse::<Span>().ok().and_then(ago);
    time.or_else(day).or_else(before).ok_or_else(|| {
        format!("`{text}` is no date (2026-11-20), time (2026-11-20T09:00:00Z) or span (30d, 12h)")
    })
}

/// Characters of a date; a longer text would tell a time of day, too, and no zone.
const DATE: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_days_and_spans_go_back_from_now() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let parsed = |text: &str| {
            let (since, until) = (since(text, now).unwrap(), until(text, now).unwrap());
            format!("{since} {until}")
        };
        assert_eq!(parsed("2026-11-01"), "2026-11-01T00:00:00Z 2026-11-02T00:00:00Z");
        let time = "2026-11-01T08:00:00Z 2026-11-01T08:00:00Z";
        assert_eq!(parsed("2026-11-01T08:00:00Z"), time);
        assert_eq!(parsed("2026-11-01T09:00:00+01:00"), time);
        assert_eq!(parsed("30d"), "2026-10-21T12:00:00Z 2026-10-21T12:00:00Z");
        assert_eq!(parsed("1 month"), "2026-10-20T12:00:00Z 2026-10-20T12:00:00Z");
        for wrong in ["", "yesterday", "2026-11-01T08:00:00", "2026-13-01", "30"] {
            assert!(since(wrong, now).unwrap_err().contains("is no date"), "{wrong}");
        }
    }
}
