//! The line that says how one record was judged: a contract, one JSON object.

use serde::Serialize;

use crate::alert::text::clean;
use crate::policy::Verdict;
use crate::record::Record;

/// The line of a record.
#[derive(Serialize)]
pub struct Decision {
    event_id: Option<String>,
    service: Option<String>,
    event_name: Option<String>,
    region: Option<String>,
    verdict: &'static str,
    reason: String,
    severity: Option<&'static str>,
}

impl Decision {
    /// That of a record.
    pub fn of(record: &Record<'_>, verdict: &Verdict) -> Self {
        let severity = match verdict {
            Verdict::Alert(_, severity) => Some(severity.as_str()),
            Verdict::Ignore(_) | Verdict::Reject => None,
        };
        Decision {
            event_id: record.event_id.as_deref().map(harmless),
            service: record.event_source.is_some().then(|| harmless(&record.service())),
            event_name: record.event_name.as_deref().map(harmless),
            region: Some(harmless(&record.region())),
            verdict: verdict.as_str(),
            reason: verdict.reason(),
            severity,
        }
    }

    /// That of something which is no record.
    pub fn unreadable() -> Self {
        Decision {
            event_id: None,
            service: None,
            event_name: None,
            region: None,
            verdict: Verdict::Reject.as_str(),
            reason: Verdict::Reject.reason(),
            severity: None,
        }
    }

    /// Appends it, and a line break.
    pub fn write_to(&self, lines: &mut String) {
        // Texts and words only: there is nothing that JSON could not say.
        lines.push_str(&serde_json::to_string(self).unwrap_or_default());
        lines.push('\n');
    }
}

/// Terminals obey more characters than JSON escapes.
fn harmless(text: &str) -> String {
    clean(text, usize::MAX)
}
