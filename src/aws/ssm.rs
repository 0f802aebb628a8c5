//! A policy in a parameter of the Systems Manager, each change of which is a version.
//!
//! A cold start waits for it, with retries, for without a policy there is nothing to do. An
//! invocation waits a second at most, since it has one: the last good policy.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::{Builder, Region};

use super::fault::in_words;
use crate::config::Parameter;
use crate::standing::{PolicySource, PolicyText, SourceError, Wanted};

/// Reads one parameter.
pub struct SsmPolicy {
    client: Client,
    parameter: Parameter,
}

/// Attempts at a cold start.
const PATIENT_ATTEMPTS: u32 = 3;

/// One attempt at a cold start.
const PATIENT_ATTEMPT: Duration = Duration::from_secs(2);

/// A read at a cold start, which Lambda ends after 10 seconds (Lambda guide, "Understanding the
/// Lambda execution environment lifecycle").
const PATIENT_READ: Duration = Duration::from_secs(8);

/// A read that an invocation waits for, whatever happens in it.
const HASTY_READ: Duration = Duration::from_secs(1);

/// The second attempt is for a connection that was closed while Lambda held the container frozen,
/// which shows at once. Both have to fit into [`HASTY_READ`].
const HASTY_ATTEMPTS: u32 = 2;

/// The longest wait between the two.
const HASTY_WAIT: Duration = Duration::from_millis(50);

impl SsmPolicy {
    /// A reader in the parameter's region.
    pub fn new(sdk: &SdkConfig, parameter: Parameter) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(PATIENT_ATTEMPT)
            .operation_timeout(PATIENT_READ)
            .build();
        let mut config = Builder::from(sdk)
            .retry_config(RetryConfig::standard().with_max_attempts(PATIENT_ATTEMPTS))
            .timeout_config(timeouts);
        if let Some(region) = &parameter.region {
            config = config.region(Region::new(region.clone()));
        }
        SsmPolicy { client: Client::from_conf(config.build()), parameter }
    }
}

impl PolicySource for SsmPolicy {
    fn name(&self) -> &str {
        &self.parameter.name
    }

    async fn read(&self, wanted: Wanted) -> Result<PolicyText, SourceError> {
        let name = match wanted {
            Wanted::First | Wanted::Newest => self.parameter.name.clone(),
            Wanted::Version(version) => format!("{}:{version}", self.parameter.name),
        };
        let request = self.client.get_parameter().name(name).with_decryption(true);
        let answer = match wanted {
            Wanted::First | Wanted::Version(_) => request.send().await,
            Wanted::Newest => request.customize().config_override(hasty()).send().await,
        };
        let answer = answer.map_err(|error| SourceError(in_words(&error, hint)))?;
        let parameter = answer.parameter;
        let text = parameter.and_then(|found| Some((found.value?, found.version)));
        let (text, version) =
            text.ok_or_else(|| SourceError("the answer holds no value".to_owned()))?;
        Ok(PolicyText { text, version })
    }
}

fn hasty() -> Builder {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(HASTY_READ)
        .operation_timeout(HASTY_READ)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(HASTY_ATTEMPTS)
        .with_initial_backoff(HASTY_WAIT)
        .with_max_backoff(HASTY_WAIT);
    Builder::new().timeout_config(timeouts).retry_config(retries)
}

/// What to do about an error (Systems Manager API Reference, "GetParameter", errors). A key that
/// refuses shows as denied access too.
fn hint(code: &str) -> Option<&'static str> {
    if code == "ParameterNotFound" {
        return Some("create it in this account and region, or name the one that you mean");
    }
    if code == "ParameterVersionNotFound" {
        return Some("versions beyond the last hundred are not kept");
    }
    if code.contains("AccessDenied") {
        return Some(
            "the function's role needs ssm:GetParameter on it, and kms:Decrypt where a key of \
             your own encrypts it",
        );
    }
    if code == "InvalidKeyId" || code.starts_with("KMS") {
        return Some(
            "the KMS key that encrypts it must exist, be enabled and let the role decrypt",
        );
    }
    None
}
