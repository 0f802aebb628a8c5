//! The ledger's items in a DynamoDB table.
//!
//! The key is `id`, a string. Of an item's other attributes `version` and `memory` are the ledger's,
//! and `expires` is for the table's time to live. One action is needed, `dynamodb:PutItem`: a write
//! whose condition fails answers with the item that stands there (DynamoDB API Reference, "PutItem",
//! ReturnValuesOnConditionCheckFailure).
//!
//! A ledger must not eat the invocation: a request ends after two seconds.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;

use super::fault::in_words;
use crate::config::LedgerTable;
use crate::ledger::{Item, Items, LedgerError, SharedLedger, Write, Written};

/// The ledger in a table.
pub type DynamoLedger = SharedLedger<DynamoItems>;

/// Items of one table.
pub struct DynamoItems {
    client: Client,
    table: LedgerTable,
}

/// One request, whatever happens in it. DynamoDB answers within ten milliseconds or so.
const REQUEST: Duration = Duration::from_secs(2);

/// One attempt, so that two fit into a request.
const ATTEMPT: Duration = Duration::from_millis(900);

/// One attempt, where no invocation waits.
const PATIENT_ATTEMPT: Duration = Duration::from_secs(5);

/// One request, where no invocation waits.
const PATIENT_REQUEST: Duration = Duration::from_secs(15);

/// The first attempt may meet a connection that was closed while Lambda held the container frozen.
const ATTEMPTS: u32 = 3;

/// The longest wait between two attempts.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// The table's key.
const ID: &str = "id";
const VERSION: &str = "version";
const MEMORY: &str = "memory";
/// A key that no incident has: their ids are hexadecimal.
const NO_INCIDENT: &str = "none";
/// Seconds since 1970, as the time to live wants it (DynamoDB guide, "Using time to live").
const EXPIRES: &str = "expires";

impl DynamoItems {
    /// The table's items.
    pub fn new(sdk: &SdkConfig, table: LedgerTable) -> Self {
        DynamoItems::within(sdk, table, ATTEMPT, REQUEST)
    }

    /// The same where no invocation waits: what the ledger does not answer is told, and may have
    /// been told before.
    pub fn patient(sdk: &SdkConfig, table: LedgerTable) -> Self {
        DynamoItems::within(sdk, table, PATIENT_ATTEMPT, PATIENT_REQUEST)
    }

    fn within(sdk: &SdkConfig, table: LedgerTable, attempt: Duration, request: Duration) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(attempt)
            .operation_timeout(request)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(RETRY_WAIT)
            .with_max_backoff(RETRY_WAIT);
        let config = Builder::from(sdk).retry_config(retries).timeout_config(timeouts).build();
        DynamoItems { client: Client::from_conf(config), table }
    }

    /// Makes sure that there is a table which can be written, by a write that is refused: no item
    /// stands under the key that it asks for one.
    ///
    /// # Errors
    /// The table is not there, is another's, refuses or does not answer.
    pub async fn check(&self) -> Result<(), String> {
        let id = AttributeValue::S(format!("{}{NO_INCIDENT}", self.table.prefix));
        let request = self.client.put_item().table_name(&self.table.name).item(ID, id);
        let request = request.condition_expression("attribute_exists(#id)");
        match request.expression_attribute_names("#id", ID).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(in_words(&error, table_hint)),
            },
        }
    }

    fn in_words(&self, fault: &str) -> LedgerError {
        LedgerError(format!("table {}: {fault}", self.table.name))
    }
}

impl Items for DynamoItems {
    async fn write(&self, write: Write<'_>) -> Result<Written, LedgerError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let expires = AttributeValue::N(write.expires.as_second().to_string());
        let request = self
            .client
            .put_item()
            .table_name(&self.table.name)
            .item(ID, text(&format!("{}{}", self.table.prefix, write.incident)))
            .item(VERSION, text(&write.item.version))
            .item(MEMORY, text(&write.item.text))
            .item(EXPIRES, expires)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#version", VERSION);
        let request = match write.replaces {
            Some(version) => request
                .condition_expression("#version = :version")
                .expression_attribute_values(":version", text(version)),
            // No item, or one whose version is none of ours: that must not stay.
            None => request
                .condition_expression(
                    "attribute_not_exists(#version) OR NOT attribute_type(#version, :string)",
                )
                .expression_attribute_values(":string", text("S")),
        };
        let error = match request.send().await {
            Ok(_) => return Ok(Written::Done),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(conflict)) => {
                Ok(Written::Conflict(conflict.item().and_then(item)))
            }
            _ => Err(self.in_words(&in_words(&error, hint))),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "only this side of the traits has a clock")]
    fn is_past(&self, time: Timestamp) -> bool {
        Timestamp::now() > time
    }
}

/// The item, if it has a version. One without a memory has a memory that nobody can read.
fn item(attributes: &HashMap<String, AttributeValue>) -> Option<Item> {
    let text = |name: &str| attributes.get(name)?.as_s().ok().cloned();
    Some(Item { version: text(VERSION)?, text: text(MEMORY).unwrap_or_default() })
}

/// What to do about an error (DynamoDB API Reference, "PutItem" and "Common errors").
fn hint(code: &str) -> Option<&'static str> {
    if code == "ResourceNotFoundException" {
        return Some("create it in the function's account and region, or unset LEDGER_TABLE");
    }
    if code.contains("AccessDenied") {
        return Some("the function's role needs dynamodb:PutItem on it");
    }
    other_hint(code)
}

/// The same for whoever names a table on the command line.
fn table_hint(code: &str) -> Option<&'static str> {
    if code == "ResourceNotFoundException" {
        return Some("the stack's output LedgerTable is its name; set AWS_REGION to its region");
    }
    if code.contains("AccessDenied") {
        return Some("you need dynamodb:PutItem on it");
    }
    other_hint(code)
}

fn other_hint(code: &str) -> Option<&'static str> {
    if code == "ValidationException" {
        return Some("its partition key must be `id`, a string, and it must have no sort key");
    }
    if code.contains("Throttl") || code.contains("LimitExceeded") || code.contains("Throughput") {
        return Some("give it on-demand capacity, or more of it");
    }
    None
}
