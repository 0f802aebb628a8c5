//! draft
pub mod inflate;
pub mod frame;
pub mod envelope;
pub mod record;
pub mod policy;
