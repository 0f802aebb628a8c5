//! What went wrong with a request, in words for a log.

use std::error::Error;

use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};

/// The same each time that the same goes wrong: no request ids, no headers. `hint` knows what to do
/// about an error code.
pub(super) fn in_words<E>(error: &SdkError<E>, hint: fn(&str) -> Option<&'static str>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if matches!(error, SdkError::TimeoutError(_)) {
        return "there was no answer in time".to_owned();
    }
    match (error.code(), error.raw_response()) {
        (Some(code), _) => {
            let said = error.message().map(|said| format!(": {said}")).unwrap_or_default();
            let hint = hint(code).map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{code}{said}{hint}")
        }
        (None, Some(answer)) if answer.status().is_success() => {
            format!("the answer, HTTP {}, cannot be read", answer.status().as_u16())
        }
        (None, Some(answer)) => format!("the answer was HTTP {}", answer.status().as_u16()),
        (None, None) => causes(error),
    }
}

/// An error and what is behind it, without the innards that the SDK's own text shows.
fn causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        words = format!("{words}: {cause}");
        behind = cause.source();
    }
    words
}
