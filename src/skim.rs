//! May this be dropped? Answered over the message as it stands in the batch, still escaped.
//!
//! Most records are ignored, and to unescape and parse one costs more than to inflate it. So
//! [`Skimmer::skim`] goes through the members of the record, reads those that decide, and stops as
//! soon as the judge's answer is certain. Only members of the record itself count, and of
//! `userIdentity` those that the judge reads: what stands deeper was written by whoever made the
//! call. On anything odd, and wherever a watch may match or the call may alert, it is unsure, and
//! the record is read and judged. Every reason is the judge's own.
//!
//! What was passed is valid JSON and names no field twice. What stands behind the place where it
//! stopped nobody has looked at: there, a damaged end or a repeated field goes unnoticed.

mod walk;

use crate::envelope::Escaped;
use crate::policy::{Foresight, Policy, Reason, Unforeseen};
use crate::record::{Record, UserIdentity, flag};

use walk::{Odd, Walk};

/// Skims the records of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Skimmer<'p> {
    foresight: Foresight<'p>,
    /// The fields that the question for approved regions needs.
    needed: Fields,
}

/// What skimming a record came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skim {
    /// The judge would ignore it, for this reason.
    Ignore(Reason),
    /// Nobody knows before it is read.
    Unsure,
}

impl<'p> Skimmer<'p> {
    /// Skims under `policy`.
    pub fn new(policy: &'p Policy) -> Self {
        let foresight = Foresight::of(policy);
        let mut needed = Fields::SOURCE.and(Fields::NAME).and(Fields::REGION);
        if foresight.needs_principal() {
            needed = needed.and(Fields::IDENTITY);
        }
        if foresight.needs_account() {
            needed = needed.and(Fields::IDENTITY).and(Fields::ACCOUNT);
        }
        Skimmer { foresight, needed }
    }

    /// Skims one message. `batch_owner` is the account that owns the log group.
    pub fn skim(&self, message: Escaped<'_>, batch_owner: &str) -> Skim {
        match self.reason(&mut Walk::through(message), batch_owner) {
            Ok(reason) => Skim::Ignore(reason),
            Err(Unsure) => Skim::Unsure,
        }
    }

    /// As [`Skimmer::skim`], and how many bytes of the message it went through, the opening quote
    /// not among them.
    pub fn skim_to(&self, message: Escaped<'_>, batch_owner: &str) -> (Skim, usize) {
        let mut walk = Walk::through(message);
        let skim = match self.reason(&mut walk, batch_owner) {
            Ok(reason) => Skim::Ignore(reason),
            Err(Unsure) => Skim::Unsure,
        };
        (skim, walk.passed(message))
    }

    fn reason(&self, walk: &mut Walk<'_>, batch_owner: &str) -> Result<Reason, Unsure> {
        let mut record = Record::default();
        let mut seen = Fields::NONE;
        let mut open = true;
        walk.enter()?;
        let mut first = true;
        while let Some(key) = walk.next_key(&mut first)? {
            seen.add(read_field(key, walk, &mut record)?)?;
            if open && seen.has_all(self.needed) {
                if let Some(reason) = self.foresight.by_region(&record, batch_owner)? {
                    return Ok(reason);
                }
                open = false;
            }
        }
        walk.end()?;
        Ok(self.foresight.by_all(&record, batch_owner)?)
    }
}

/// Skimming came to nothing; why, nobody asks.
struct Unsure;

impl From<Odd> for Unsure {
    fn from(Odd: Odd) -> Self {
        Unsure
    }
}

impl From<Unforeseen> for Unsure {
    fn from(Unforeseen: Unforeseen) -> Self {
        Unsure
    }
}

/// Fields of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fields(u32);

impl Fields {
    /// None, or one that nobody reads.
    const NONE: Fields = Fields(0);
    const SOURCE: Fields = Fields(1);
    const NAME: Fields = Fields(1 << 1);
    const REGION: Fields = Fields(1 << 2);
    const IDENTITY: Fields = Fields(1 << 3);
    const ACCOUNT: Fields = Fields(1 << 4);

    const fn bit(bit: u32) -> Fields {
        Fields(1 << bit)
    }

    const fn and(self, others: Fields) -> Fields {
        Fields(self.0 | others.0)
    }

    fn has_all(self, others: Fields) -> bool {
        self.0 & others.0 == others.0
    }

    /// A field that stands there twice makes a record unreadable, and an identity nobody's.
    fn add(&mut self, field: Fields) -> Result<(), Odd> {
        if self.0 & field.0 != 0 {
            return Err(Odd);
        }
        self.0 |= field.0;
        Ok(())
    }
}

/// Reads the field, or passes over it, and says which it was: of those that [`Record`] has.
fn read_field<'m>(key: &str, walk: &mut Walk<'m>, record: &mut Record<'m>) -> Result<Fields, Odd> {
    let field = match key {
        "eventSource" => {
            record.event_source = walk.text()?.map(Into::into);
            return Ok(Fields::SOURCE);
        }
        "eventName" => {
            record.event_name = walk.text()?.map(Into::into);
            return Ok(Fields::NAME);
        }
        "awsRegion" => {
            record.aws_region = walk.text()?.map(Into::into);
            return Ok(Fields::REGION);
        }
        "userIdentity" => {
            read_identity(walk, &mut record.user_identity)?;
            return Ok(Fields::IDENTITY);
        }
        "recipientAccountId" => {
            record.recipient_account_id = walk.text()?.map(Into::into);
            return Ok(Fields::ACCOUNT);
        }
        "eventType" => {
            record.event_type = walk.text()?.map(Into::into);
            return Ok(Fields::bit(5));
        }
        "eventCategory" => {
            record.event_category = walk.text()?.map(Into::into);
            return Ok(Fields::bit(6));
        }
        "readOnly" => {
            record.read_only = read_flag(walk)?;
            return Ok(Fields::bit(7));
        }
        "eventTime" => Fields::bit(8),
        "eventID" => Fields::bit(9),
        "sourceIPAddress" => Fields::bit(10),
        "userAgent" => Fields::bit(11),
        "errorCode" => Fields::bit(12),
        "sessionCredentialFromConsole" => Fields::bit(13),
        "requestParameters" => Fields::bit(14),
        "responseElements" => Fields::bit(15),
        "resources" => Fields::bit(16),
        _ => Fields::NONE,
    };
    walk.pass_over()?;
    Ok(field)
}

fn read_flag(walk: &mut Walk<'_>) -> Result<Option<bool>, Odd> {
    match walk.bool() {
        Some(read_only) => Ok(Some(read_only)),
        None => Ok(walk.text()?.and_then(flag)),
    }
}

fn read_identity<'m>(walk: &mut Walk<'m>, identity: &mut UserIdentity<'m>) -> Result<(), Odd> {
    let mut seen = Fields::NONE;
    let mut first = true;
    walk.enter()?;
    while let Some(key) = walk.next_key(&mut first)? {
        let field = match key {
            "type" => {
                identity.kind = walk.text()?.map(Into::into);
                Fields::bit(0)
            }
            "arn" => {
                identity.arn = walk.text()?.map(Into::into);
                Fields::bit(1)
            }
            "accountId" => {
                identity.account_id = walk.text()?.map(Into::into);
                Fields::bit(2)
            }
            "invokedBy" => {
                identity.invoked_by = walk.text()?.map(Into::into);
                Fields::bit(3)
            }
            "sessionContext" => {
                read_session(walk, identity)?;
                Fields::bit(4)
            }
            passed => {
                walk.pass_over()?;
                match passed {
                    "principalId" => Fields::bit(5),
                    "accessKeyId" => Fields::bit(6),
                    "userName" => Fields::bit(7),
                    "onBehalfOf" => Fields::bit(8),
                    "identityProvider" => Fields::bit(9),
                    _ => Fields::NONE,
                }
            }
        };
        seen.add(field)?;
    }
    Ok(())
}

fn read_session<'m>(walk: &mut Walk<'m>, identity: &mut UserIdentity<'m>) -> Result<(), Odd> {
    let mut seen = Fields::NONE;
    let mut first = true;
    walk.enter()?;
    while let Some(key) = walk.next_key(&mut first)? {
        let field = match key {
            "sessionIssuer" => {
                read_issuer(walk, identity)?;
                Fields::bit(0)
            }
            passed => {
                walk.pass_over()?;
                if passed == "attributes" { Fields::bit(1) } else { Fields::NONE }
            }
        };
        seen.add(field)?;
    }
    Ok(())
}

fn read_issuer<'m>(walk: &mut Walk<'m>, identity: &mut UserIdentity<'m>) -> Result<(), Odd> {
    let mut seen = Fields::NONE;
    let mut first = true;
    walk.enter()?;
    while let Some(key) = walk.next_key(&mut first)? {
        let field = match key {
            "arn" => {
                identity.issuer_arn = walk.text()?.map(Into::into);
                Fields::bit(0)
            }
            passed => {
                walk.pass_over()?;
                if passed == "userName" { Fields::bit(1) } else { Fields::NONE }
            }
        };
        seen.add(field)?;
    }
    Ok(())
}
