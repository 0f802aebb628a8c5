//! What patterns can look like: one that no record can ever match is a slip of the pen.

use crate::record::region;

use super::pattern::is_region;

/// What the patterns of a list have to look like.
pub(super) struct Shape {
    /// Whether one does.
    pub(super) holds: fn(&str) -> bool,
    /// What is wrong with one that does not.
    pub(super) fault: &'static str,
    /// What to write instead.
    pub(super) hint: &'static str,
}

pub(super) const REGION: Shape = Shape {
    holds: |code| is_region(code) || code.eq_ignore_ascii_case(region::UNKNOWN),
    fault: "is no region",
    hint: "write codes like eu-west-1, globs like eu-*, or unknown",
};

pub(super) const ACCOUNT: Shape = Shape {
    holds: is_account,
    fault: "is no account id",
    hint: "account ids have twelve digits, and globs like 1111* stand for such",
};

pub(super) const SERVICE: Shape = Shape {
    holds: is_service,
    fault: "is no service",
    hint: "write it as in ec2, without .amazonaws.com",
};

pub(super) const PRINCIPAL: Shape = Shape {
    holds: is_principal,
    fault: "matches no principal",
    hint: "write an ARN, a glob such as *:user/alice, or a service such as cloudtrail.amazonaws.com",
};

/// Digits, as many as an account id has, or as a glob can stretch to.
fn is_account(id: &str) -> bool {
    let least = id.bytes().filter(|b| *b != b'*').count();
    id.bytes().all(|b| b.is_ascii_digit() || b == b'*' || b == b'?')
        && (least == 12 || (least < 12 && id.contains('*')))
}

/// Whether this, or what it is a pattern for, could be a service's name. A name with its domain
/// would match nothing, in silence.
pub(super) fn is_service(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace) && !name.contains(".amazonaws.com")
}

/// An ARN has six parts, the fifth of which is an account (IAM guide, "Amazon Resource Names"); that
/// of a session has two names behind `assumed-role`. `invokedBy` is a service's domain, or
/// `AWS Internal`.
fn is_principal(pattern: &str) -> bool {
    if pattern.contains(['*', '?']) {
        return true;
    }
    if !pattern.starts_with("arn:") {
        return pattern.contains('.') || pattern.eq_ignore_ascii_case("AWS Internal");
    }
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let [_, _, _, _, account, resource] = parts.as_slice() else { return false };
    let sessions = resource.strip_prefix("assumed-role/");
    (account.is_empty() || is_account(account)) && sessions.is_none_or(|names| names.contains('/'))
}
