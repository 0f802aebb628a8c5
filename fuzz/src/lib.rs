//! What the fuzz targets share: policies to judge by, pieces to build from, and what must hold.

pub mod batch;
pub mod message;
pub mod record;

use std::sync::LazyLock;

use regionwatch::policy::{Keys, Policy, PolicyFile};

/// The account that owns the log group.
pub const OWNER: &str = "111122223333";

/// A policy, and the keys that explain it.
pub struct Judge {
    pub policy: Policy,
    pub keys: Keys,
}

/// The default policy, one that asks of every field, and one that watches principals alone: each has
/// the skimmer wait for other fields.
pub static JUDGES: LazyLock<Vec<Judge>> = LazyLock::new(|| {
    const PRINCIPALS: &str = "approved_regions = [\"us-east-1\"]\n\
        [[watch]]\nid = \"p\"\nreason = \"r\"\nprincipals = [\"*/admin-?\", \"*:root\"]\n";
    ["", include_str!("../strict.toml"), PRINCIPALS].into_iter().map(judge).collect()
});

fn judge(user: &str) -> Judge {
    let files = [PolicyFile::embedded().unwrap(), PolicyFile::parse("fuzz", user).unwrap()];
    let files: Vec<&PolicyFile> = files.iter().collect();
    let policy = Policy::compile(&files).unwrap();
    Judge { policy, keys: Keys::in_force(&files).unwrap() }
}
