//! AWS behind the traits of the core. Clocks, timers and the SDK live here and nowhere above.

pub mod dynamodb;
mod fault;
mod sdk;
pub mod sns;
pub mod ssm;

pub use aws_config::SdkConfig;
pub use dynamodb::{DynamoItems, DynamoLedger};
pub use sdk::sdk_config;
pub use sns::SnsPublisher;
pub use ssm::SsmPolicy;
