//! What is read of a record while skimming it: fields of the record itself, their text as it stands.
//!
//! `userIdentity` is passed over at first, and read when a question needs it.

use crate::record::{Record, Text, UserIdentity, flag};

use super::memory::{Memory, place};
use super::walk::{Odd, Walk};

/// A record, as far as it was read.
#[derive(Default)]
pub(super) struct Glance<'m> {
    seen: Fields,
    source: Option<&'m [u8]>,
    name: Option<&'m [u8]>,
    region: Option<&'m [u8]>,
    account: Option<&'m [u8]>,
    kind: Option<&'m [u8]>,
    category: Option<&'m [u8]>,
    read_only: Option<bool>,
    identity: Option<Walk<'m>>,
    /// The first field of [`Fields::CALL`]: behind its key, and what was seen before.
    call_start: Option<(Walk<'m>, Fields)>,
    begins_with_source: bool,
    call: &'m [u8],
}

/// Values of `userIdentity` that were passed over before.
pub(super) type Identities = Memory<()>;

/// Fields of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fields(u32);

impl Fields {
    /// One that nobody reads.
    const OTHER: Fields = Fields(0);
    const SOURCE: Fields = Fields::bit(0);
    const NAME: Fields = Fields::bit(1);
    const REGION: Fields = Fields::bit(2);
    /// `eventSource`, `eventName` and `awsRegion`.
    pub(super) const CALL: Fields = Fields::SOURCE.and(Fields::NAME).and(Fields::REGION);
    /// `userIdentity`.
    pub(super) const IDENTITY: Fields = Fields::bit(3);
    /// `recipientAccountId`.
    pub(super) const ACCOUNT: Fields = Fields::bit(4);
    /// `eventTime`.
    const TIME: Fields = Fields::bit(8);

    const fn bit(bit: u32) -> Fields {
        Fields(1 << bit)
    }

    pub(super) const fn and(self, others: Fields) -> Fields {
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

impl<'m> Glance<'m> {
    /// Whether these fields were read.
    pub(super) fn has_all(&self, fields: Fields) -> bool {
        self.seen.has_all(fields)
    }

    /// Whether [`Glance::call`] may begin with the value behind this key.
    pub(super) fn may_begin_call(&self, key: &[u8]) -> bool {
        self.call_start.is_none() && key == b"eventSource"
    }

    /// The text from the value of `eventSource` to that of the last field of [`Fields::CALL`], where it
    /// is the first of them, all were read, and none that anybody reads besides.
    pub(super) fn call(&self) -> Option<&'m [u8]> {
        let (_, before) = self.call_start.filter(|_| self.begins_with_source)?;
        (self.seen == before.and(Fields::CALL)).then_some(self.call)
    }

    /// Takes note of `eventTime`, which was passed.
    pub(super) fn passed_time(&mut self) -> Result<(), Odd> {
        self.seen.add(Fields::TIME)
    }

    /// Reads the field behind this key, or passes over it.
    pub(super) fn read_field(
        &mut self,
        key: &[u8],
        walk: &mut Walk<'m>,
        identities: &mut Identities,
    ) -> Result<(), Odd> {
        let field = match key {
            b"eventSource" => self.read_call(Fields::SOURCE, walk)?,
            b"eventName" => self.read_call(Fields::NAME, walk)?,
            b"awsRegion" => self.read_call(Fields::REGION, walk)?,
            b"userIdentity" => {
                self.identity = Some(*walk);
                pass_over_identity(walk, identities)?;
                Fields::IDENTITY
            }
            b"recipientAccountId" => {
                self.account = walk.text()?;
                Fields::ACCOUNT
            }
            b"eventType" => {
                self.kind = walk.text()?;
                Fields::bit(5)
            }
            b"eventCategory" => {
                self.category = walk.text()?;
                Fields::bit(6)
            }
            b"readOnly" => {
                self.read_only = read_flag(walk)?;
                Fields::bit(7)
            }
            passed => {
                walk.pass_over()?;
                unread(passed)
            }
        };
        self.seen.add(field)
    }

    fn read_call(&mut self, field: Fields, walk: &mut Walk<'m>) -> Result<Fields, Odd> {
        self.begins_with_source |= self.call_start.is_none() && field == Fields::SOURCE;
        let (start, _) = *self.call_start.get_or_insert((*walk, self.seen));
        let text = walk.text()?;
        match field {
            Fields::SOURCE => self.source = text,
            Fields::NAME => self.name = text,
            _ => self.region = text,
        }
        self.call = start.up_to(walk);
        Ok(field)
    }

    /// The record, as far as the fields of [`Fields::CALL`] make one.
    pub(super) fn call_record(&self) -> Result<Record<'m>, Odd> {
        Ok(Record {
            event_source: utf8(self.source)?,
            event_name: utf8(self.name)?,
            aws_region: utf8(self.region)?,
            ..Record::default()
        })
    }

    /// The record, as far as it was read.
    pub(super) fn record(&self) -> Result<Record<'m>, Odd> {
        Ok(Record {
            recipient_account_id: utf8(self.account)?,
            event_type: utf8(self.kind)?,
            event_category: utf8(self.category)?,
            read_only: self.read_only,
            user_identity: self.identity.map(read_identity).transpose()?.unwrap_or_default(),
            ..self.call_record()?
        })
    }
}

/// Fields that the full reading takes notice of, which refuses a record that has one of them twice.
fn unread(key: &[u8]) -> Fields {
    match key {
        b"eventTime" => Fields::TIME,
        b"eventID" => Fields::bit(9),
        b"sourceIPAddress" => Fields::bit(10),
        b"userAgent" => Fields::bit(11),
        b"errorCode" => Fields::bit(12),
        b"sessionCredentialFromConsole" => Fields::bit(13),
        b"requestParameters" => Fields::bit(14),
        b"responseElements" => Fields::bit(15),
        b"resources" => Fields::bit(16),
        _ => Fields::OTHER,
    }
}

fn utf8(text: Option<&[u8]>) -> Result<Option<Text<'_>>, Odd> {
    let text = text.map(std::str::from_utf8).transpose().map_err(|_| Odd)?;
    Ok(text.map(Into::into))
}

fn read_flag(walk: &mut Walk<'_>) -> Result<Option<bool>, Odd> {
    match walk.bool() {
        Some(read_only) => Ok(Some(read_only)),
        None => Ok(utf8(walk.text()?)?.and_then(|text| flag(&text))),
    }
}

/// A value that begins with one that was passed over before *is* that one.
fn pass_over_identity(walk: &mut Walk<'_>, identities: &mut Identities) -> Result<(), Odd> {
    pass_over_known(walk, identities, |walk, identities| {
        pass_over_member(b"sessionContext", walk, |walk| {
            // Many sessions share a role.
            pass_over_member(b"sessionIssuer", walk, |walk| {
                pass_over_known(walk, identities, |walk, _| walk.pass_over())
            })
        })
    })
}

/// Passes over a value by what is known of it, or else as it is told.
fn pass_over_known<'m>(
    walk: &mut Walk<'m>,
    identities: &mut Identities,
    pass_over: impl FnOnce(&mut Walk<'m>, &mut Identities) -> Result<(), Odd>,
) -> Result<(), Odd> {
    // Short ones are passed over as fast, and others told apart by what stands here: the names of
    // the role and of its session.
    let place = walk.ahead(64..192).map(place);
    if let Some(place) = place
        && identities.at(place, |known| walk.take_known(known)).is_some()
    {
        return Ok(());
    }
    let start = *walk;
    pass_over(walk, identities)?;
    let passed = start.up_to(walk);
    if let Some(place) = place.filter(|_| passed.len() >= 192 && walk.is_ascii()) {
        identities.keep(place, passed, ());
    }
    Ok(())
}

/// Passes over a value; where it is an object, over one of its members as it is told.
fn pass_over_member<'m>(
    member: &[u8],
    walk: &mut Walk<'m>,
    mut pass_over: impl FnMut(&mut Walk<'m>) -> Result<(), Odd>,
) -> Result<(), Odd> {
    if !walk.is_at_object() {
        return walk.pass_over();
    }
    let mut next = walk.enter()?;
    while let Some(key) = next {
        if key == member {
            pass_over(walk)?
        } else {
            walk.pass_over()?
        }
        next = walk.next_key()?;
    }
    Ok(())
}

fn read_identity(mut walk: Walk<'_>) -> Result<UserIdentity<'_>, Odd> {
    let mut identity = UserIdentity::default();
    let mut seen = Fields::default();
    let mut next = walk.enter()?;
    while let Some(key) = next {
        let mut text = |field: &mut Option<_>| walk.text().and_then(utf8).map(|text| *field = text);
        seen.add(match key {
            b"type" => text(&mut identity.kind).map(|()| Fields::bit(0))?,
            b"arn" => text(&mut identity.arn).map(|()| Fields::bit(1))?,
            b"accountId" => text(&mut identity.account_id).map(|()| Fields::bit(2))?,
            b"invokedBy" => text(&mut identity.invoked_by).map(|()| Fields::bit(3))?,
            b"sessionContext" => {
                identity.issuer_arn = read_session(&mut walk)?;
                Fields::bit(4)
            }
            passed => {
                walk.pass_over()?;
                match passed {
                    b"principalId" => Fields::bit(5),
                    b"accessKeyId" => Fields::bit(6),
                    b"userName" => Fields::bit(7),
                    b"onBehalfOf" => Fields::bit(8),
                    b"identityProvider" => Fields::bit(9),
                    _ => Fields::OTHER,
                }
            }
        })?;
        next = walk.next_key()?;
    }
    Ok(identity)
}

/// The ARN of the session's issuer.
fn read_session<'m>(walk: &mut Walk<'m>) -> Result<Option<Text<'m>>, Odd> {
    let mut arn = None;
    let mut seen = Fields::default();
    let mut next = walk.enter()?;
    while let Some(key) = next {
        seen.add(match key {
            b"sessionIssuer" => {
                arn = read_issuer(walk)?;
                Fields::bit(0)
            }
            passed => {
                walk.pass_over()?;
                if passed == b"attributes" { Fields::bit(1) } else { Fields::OTHER }
            }
        })?;
        next = walk.next_key()?;
    }
    Ok(arn)
}

fn read_issuer<'m>(walk: &mut Walk<'m>) -> Result<Option<Text<'m>>, Odd> {
    let mut arn = None;
    let mut seen = Fields::default();
    let mut next = walk.enter()?;
    while let Some(key) = next {
        seen.add(match key {
            b"arn" => {
                arn = utf8(walk.text()?)?;
                Fields::bit(0)
            }
            passed => {
                walk.pass_over()?;
                if passed == b"userName" { Fields::bit(1) } else { Fields::OTHER }
            }
        })?;
        next = walk.next_key()?;
    }
    Ok(arn)
}
