//! Goes through JSON that stands inside a JSON string, without unescaping it.
//!
//! In there a quote is `\"`, and a backslash of the text is `\\`. Other escapes of the string around
//! it, and white space between tokens, are allowed and not written by CloudTrail: they are
//! odd, and so is whatever is no JSON. What was passed without a complaint is valid, as long as it is
//! UTF-8. The end of the message is not known: a quote that is none of the text ends it, and is odd
//! before that.

use std::ops::Range;

use crate::blocks::end_of_plain;

/// A place in the text.
#[derive(Clone, Copy)]
pub(super) struct Walk<'m> {
    /// What was not passed yet.
    rest: &'m [u8],
    /// Whether what was passed is ASCII.
    ascii: bool,
}

/// Something that is not written as CloudTrail writes it.
#[derive(Debug)]
pub(super) struct Odd;

/// A quote of the text.
const QUOTE: &[u8; 2] = br#"\""#;

/// Characters of a time: `2026-11-20T10:00:00Z`.
const TIME: usize = 20;

/// Values nested deeper are odd: the kinds of the brackets that are open must fit into a word.
const DEEPEST: u32 = 64;

impl<'m> Walk<'m> {
    /// Through what stands behind the first quote of a message.
    pub(super) fn through(ahead: &'m [u8]) -> Self {
        Walk { rest: ahead, ascii: true }
    }

    /// Whether all that was passed is ASCII.
    pub(super) fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// What stands between this place and a later one.
    pub(super) fn up_to(self, later: &Walk<'m>) -> &'m [u8] {
        let length = self.rest.len() - later.rest.len();
        self.rest.get(..length).unwrap_or_default()
    }

    /// What stands at this distance.
    pub(super) fn ahead(&self, distance: Range<usize>) -> Option<&'m [u8]> {
        self.rest.get(distance)
    }

    /// Takes a text in ASCII that was passed before.
    pub(super) fn take_known(&mut self, text: &[u8]) -> bool {
        let behind = self.rest.strip_prefix(text);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// Takes `eventTime`, and `eventSource` up to its value: what nearly all records have behind
    /// `userIdentity`.
    pub(super) fn take_time_up_to_source(&mut self) -> bool {
        let behind = self.rest.strip_prefix(br#",\"eventTime\":\""#);
        let Some((time, behind)) = behind.and_then(<[u8]>::split_first_chunk::<TIME>) else {
            return false;
        };
        match behind.strip_prefix(br#"\",\"eventSource\":"#) {
            Some(behind) if end_of_plain(time).is_none() => {
                self.rest = behind;
                true
            }
            _ => false,
        }
    }

    /// Whether an object comes next.
    pub(super) fn is_at_object(&self) -> bool {
        self.rest.starts_with(b"{")
    }

    /// Enters an object: its first key, the colon taken; `None` where it is empty.
    pub(super) fn enter(&mut self) -> Result<Option<&'m [u8]>, Odd> {
        self.take(b"{")?;
        if self.take_if(b"}") { Ok(None) } else { self.key(QUOTE).map(Some) }
    }

    /// Behind a member of an object: the next key, its colon taken; `None` once the object is
    /// closed. A key with escapes in it is odd, for it may be any, and so is one beyond ASCII.
    pub(super) fn next_key(&mut self) -> Result<Option<&'m [u8]>, Odd> {
        if self.take_if(b"}") { Ok(None) } else { self.key(br#",\""#).map(Some) }
    }

    fn key<const N: usize>(&mut self, start: &[u8; N]) -> Result<&'m [u8], Odd> {
        self.take(start)?;
        self.plain_string_to(br#"\":"#)
    }

    /// The end of the message.
    pub(super) fn end(&self) -> Result<(), Odd> {
        if self.rest.starts_with(b"\"") { Ok(()) } else { Err(Odd) }
    }

    /// A string with something in it; `None` for an empty one and for null. Another value is odd,
    /// and so is a string with escapes in it, or beyond ASCII.
    pub(super) fn text(&mut self) -> Result<Option<&'m [u8]>, Odd> {
        if !self.take_if(QUOTE) {
            return self.take(b"null").map(|()| None);
        }
        let text = self.plain_string_to(QUOTE)?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A bool, where one comes next.
    pub(super) fn bool(&mut self) -> Option<bool> {
        if self.take_if(b"true") {
            return Some(true);
        }
        self.take_if(b"false").then_some(false)
    }

    /// Passes over a value of any kind.
    pub(super) fn pass_over(&mut self) -> Result<(), Odd> {
        if self.take_if(QUOTE) {
            return self.pass_over_string_to(QUOTE);
        }
        let mut open = Brackets::default();
        while !(self.pass_over_start(&mut open)? && self.pass_over_ends(&mut open)?) {}
        Ok(())
    }

    /// Passes over a scalar or an empty bracket, and is `true`; or over the start of a bracket.
    fn pass_over_start(&mut self, open: &mut Brackets) -> Result<bool, Odd> {
        match self.rest.first().ok_or(Odd)? {
            b'\\' => {
                self.take(QUOTE)?;
                self.pass_over_string_to(QUOTE)?;
            }
            b'{' => {
                self.take(b"{")?;
                if !self.take_if(b"}") {
                    open.open(Bracket::Object)?;
                    self.take(QUOTE)?;
                    return self.pass_over_members();
                }
            }
            b'[' => {
                self.take(b"[")?;
                if !self.take_if(b"]") {
                    open.open(Bracket::Array)?;
                    return Ok(false);
                }
            }
            b't' => self.take(b"true")?,
            b'f' => self.take(b"false")?,
            b'n' => self.take(b"null")?,
            _ => self.pass_over_number()?,
        }
        Ok(true)
    }

    /// Behind a value: passes over the brackets that close, and is `true` where all are closed;
    /// or up to the next value in the innermost one.
    fn pass_over_ends(&mut self, open: &mut Brackets) -> Result<bool, Odd> {
        while let Some(bracket) = open.innermost() {
            match (bracket, self.rest.first()) {
                (Bracket::Object, Some(b',')) => {
                    self.take(br#",\""#)?;
                    if self.pass_over_members()? {
                        continue;
                    }
                    return Ok(false);
                }
                (Bracket::Array, Some(b',')) => {
                    self.take(b",")?;
                    return Ok(false);
                }
                (Bracket::Object, Some(b'}')) => self.take(b"}")?,
                (Bracket::Array, Some(b']')) => self.take(b"]")?,
                _ => return Err(Odd),
            }
            open.close();
        }
        Ok(true)
    }

    /// Behind the quote of a key: passes over members as long as their values are strings, which most
    /// are, and is `true`; or up to the value of one that is none.
    fn pass_over_members(&mut self) -> Result<bool, Odd> {
        loop {
            self.pass_over_string_to(br#"\":"#)?;
            if !self.take_if(QUOTE) {
                return Ok(false);
            }
            self.pass_over_string_to(QUOTE)?;
            if !self.take_if(br#",\""#) {
                return Ok(true);
            }
        }
    }

    /// The rest of a string in ASCII without escapes; its `end` is taken, too.
    fn plain_string_to<const N: usize>(&mut self, end: &[u8; N]) -> Result<&'m [u8], Odd> {
        let length = end_of_plain(self.rest).ok_or(Odd)?;
        let (text, behind) = self.rest.split_at_checked(length).ok_or(Odd)?;
        self.rest = behind;
        self.take(end)?;
        Ok(text)
    }

    fn pass_over_string_to<const N: usize>(&mut self, end: &[u8; N]) -> Result<(), Odd> {
        loop {
            let end_of_plain = end_of_plain(self.rest).ok_or(Odd)?;
            self.rest = self.rest.get(end_of_plain..).ok_or(Odd)?;
            if self.take_if(end) {
                return Ok(());
            }
            if self.take_if(br"\\") {
                self.pass_over_escaped()?;
            } else {
                self.pass_over_beyond_ascii()?;
            }
        }
    }

    /// Characters beyond ASCII, of which few texts have any.
    #[cold]
    fn pass_over_beyond_ascii(&mut self) -> Result<(), Odd> {
        let length = self.rest.iter().take_while(|byte| !byte.is_ascii()).count();
        self.rest = self.rest.get(length..).filter(|_| length > 0).ok_or(Odd)?;
        self.ascii = false;
        Ok(())
    }

    /// What stands behind a backslash of the text.
    fn pass_over_escaped(&mut self) -> Result<(), Odd> {
        if self.take_if(QUOTE) || self.take_if(br"\\") {
            return Ok(());
        }
        let (escape, behind) = self.rest.split_first().ok_or(Odd)?;
        self.rest = behind;
        match escape {
            b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let (digits, behind) = self.rest.split_at_checked(4).ok_or(Odd)?;
                self.rest = behind;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(Odd) }
            }
            _ => Err(Odd),
        }
    }

    /// `-12.5e+3`.
    fn pass_over_number(&mut self) -> Result<(), Odd> {
        self.take_if(b"-");
        if !self.take_if(b"0") {
            self.digits()?;
        }
        if self.take_if(b".") {
            self.digits()?;
        }
        if self.take_if(b"e") || self.take_if(b"E") {
            if !self.take_if(b"+") {
                self.take_if(b"-");
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Odd> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.rest = self.rest.get(digits..).filter(|_| digits > 0).ok_or(Odd)?;
        Ok(())
    }

    fn take<const N: usize>(&mut self, token: &[u8; N]) -> Result<(), Odd> {
        if self.take_if(token) { Ok(()) } else { Err(Odd) }
    }

    /// Arrays are compared in one go.
    fn take_if<const N: usize>(&mut self, token: &[u8; N]) -> bool {
        match self.rest.split_first_chunk() {
            Some((start, behind)) if start == token => {
                self.rest = behind;
                true
            }
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Object,
    Array,
}

/// The brackets that are open: a bit for each, set for objects, the innermost the lowest.
#[derive(Debug, Default)]
struct Brackets {
    depth: u32,
    objects: u64,
}

impl Brackets {
    fn innermost(&self) -> Option<Bracket> {
        let kind = if self.objects & 1 == 1 { Bracket::Object } else { Bracket::Array };
        (self.depth > 0).then_some(kind)
    }

    fn open(&mut self, kind: Bracket) -> Result<(), Odd> {
        if self.depth == DEEPEST {
            return Err(Odd);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(kind == Bracket::Object);
        Ok(())
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
    }
}
