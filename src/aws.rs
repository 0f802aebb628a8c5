//! AWS behind the traits of the core. Clocks, timers and the SDK live here and nowhere above.

pub mod dynamodb;
mod fault;
pub mod sns;
pub mod ssm;

pub use dynamodb::{DynamoItems, DynamoLedger};
pub use sns::SnsPublisher;
pub use ssm::SsmPolicy;
