//! End to end: the function's own binary between a Runtime API and an SNS topic.
//!
//! [`deliver`], [`kinesis`], [`subscribers`], [`fates`], [`faults`], [`ledger`], [`reload`], [`memory`],
//! [`cargo_lambda`], [`redrive`], [`deployed`] and [`smoke`] are the tests. They stand on [`function`] (the binary as a child),
//! [`runtime_api`] (what Lambda is to it), [`moto`] (SNS, SQS, S3, SSM, DynamoDB, Kinesis, CloudWatch Logs and
//! CloudFormation on this machine), [`http`] (for servers of our own) and [`tools`] (what `make build` left, and
//! how a server ends with the test). One release build serves them all; without it they are skipped.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails, and says why")]

mod cargo_lambda;
mod deliver;
mod deployed;
mod fates;
mod faults;
mod function;
mod http;
mod kinesis;
mod ledger;
mod memory;
mod moto;
mod redrive;
mod reload;
mod runtime_api;
mod smoke;
mod subscribers;
mod tools;

pub use deliver::run_instances;
pub use tools::{absent, tool};
