//! One binary for all tests; its modules mirror the rooms.

mod alert;
mod cli;
mod corpus;
mod differential;
mod handler;
mod house;
mod judge;
mod policy;
mod properties;
mod samples;
