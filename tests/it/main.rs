//! One binary for all tests; its modules mirror the rooms.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and says on stderr what it skipped"
)]

mod alert;
mod batches;
mod cli;
mod corpus;
mod differences;
mod differential;
mod digest;
mod docs;
mod e2e;
mod explain;
mod export;
mod generated;
mod handler;
mod hostile;
mod house;
mod judge;
mod judgement;
mod kinesis;
mod ledger;
mod metrics;
mod operations;
mod oracle;
mod page;
mod policy;
mod principal;
mod properties;
mod quick;
mod redrive;
mod samples;
mod scan;
mod schema;
mod simulation;
mod skim;
mod standing;
mod suggest;
mod template;
#[path = "../../benches/pipeline/trail.rs"]
mod trail;
mod undelivered;
