//! AWS behind the traits of the core. Clocks, timers and the SDK live here and nowhere above.

pub mod dynamodb;
mod fault;
#[cfg(feature = "aws")]
pub mod s3;
mod sdk;
pub mod sns;
#[cfg(feature = "aws")]
pub mod sqs;
pub mod ssm;

pub use aws_config::SdkConfig;
pub use dynamodb::{DynamoItems, DynamoLedger};
#[cfg(feature = "aws")]
pub use s3::S3Objects;
pub use sdk::sdk_config;
pub use sns::SnsPublisher;
#[cfg(feature = "aws")]
pub use sqs::SqsMessages;
pub use ssm::SsmPolicy;
