//! regionwatch: alerts on AWS activity in regions that nobody approved, read-only calls excepted.
//!
//! The rooms stand in reading order, and a room uses only rooms above it (a test reads this file
//! and fails on a breach). The walk of one invocation goes down the list: the batches in a payload
//! are found, inflated, cut into frames and opened to log entries; each entry's record is judged by
//! the policy; triage gathers the alerts to incidents; the ledger says which of them are told; they
//! are published; and a summary says what was done.
//!
//! The library does no I/O of its own, reads no environment and has no clock: sources are passed
//! in as readers, settings as a function, time as a value. `ARCHITECTURE.md` lists the invariants.

pub mod inflate;

pub mod blocks;

pub mod frame;

pub mod envelope;

pub mod record;

pub mod policy;

#[cfg(feature = "cli")]
pub mod export;

pub mod skim;

pub mod standing;

pub mod alert;

pub mod delivery;

pub mod triage;

pub mod ledger;

pub mod publish;

pub mod metrics;

pub mod handler;

pub mod config;

#[cfg(feature = "cli")]
pub mod marks;

#[cfg(feature = "cli")]
pub mod differences;

#[cfg(feature = "cli")]
pub mod suggest;

#[cfg(feature = "cli")]
pub mod source;

#[cfg(feature = "cli")]
pub mod history;

#[cfg(feature = "cli")]
pub mod undelivered;

#[cfg(feature = "sdk")]
pub mod aws;
