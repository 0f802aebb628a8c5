//! One binary for all tests; its modules mirror the rooms.

mod corpus;
