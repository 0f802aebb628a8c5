//! Goes through JSON that stands inside a JSON string, without unescaping it.
//!
//! In there a quote is `\"`, and a backslash of the text is `\\`. Other escapes of the string around
//! it, and white space between tokens, are allowed and not written by CloudTrail: they are
//! odd, and so is whatever is no JSON. What was passed without a complaint is valid.

use memchr::memchr;

use crate::envelope::Escaped;

/// A place in the text.
pub(super) struct Walk<'m> {
    /// What was not passed yet.
    rest: &'m str,
}

/// Something that is not written as CloudTrail writes it.
#[derive(Debug)]
pub(super) struct Odd;

/// A quote of the text.
const QUOTE: &str = "\\\"";

/// Values nested deeper are odd: the kinds of the brackets that are open must fit into a word.
const DEEPEST: u32 = 64;

impl<'m> Walk<'m> {
    pub(super) fn through(message: Escaped<'m>) -> Self {
        Walk { rest: message.inside() }
    }

    /// How many bytes of the message were passed.
    pub(super) fn passed(&self, message: Escaped<'m>) -> usize {
        message.inside().len() - self.rest.len()
    }

    /// Takes the opening bracket of an object.
    pub(super) fn enter(&mut self) -> Result<(), Odd> {
        self.take("{")
    }

    /// Inside an object: the next key, its colon taken; `None` once the object is closed.
    /// A key with escapes in it is odd, for it may be any.
    pub(super) fn next_key(&mut self, first: &mut bool) -> Result<Option<&'m str>, Odd> {
        if !std::mem::replace(first, false) {
            if self.take_if("}") {
                return Ok(None);
            }
            self.take(",")?;
        } else if self.take_if("}") {
            return Ok(None);
        }
        let key = self.plain_string()?;
        self.take(":")?;
        Ok(Some(key))
    }

    /// The end of the message.
    pub(super) fn end(&self) -> Result<(), Odd> {
        if self.rest.is_empty() { Ok(()) } else { Err(Odd) }
    }

    /// A string with something in it; `None` for an empty one and for null. Another value is odd,
    /// and so is a string with escapes in it.
    pub(super) fn text(&mut self) -> Result<Option<&'m str>, Odd> {
        if self.take_if("null") {
            return Ok(None);
        }
        let text = self.plain_string()?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A bool, where one comes next.
    pub(super) fn bool(&mut self) -> Option<bool> {
        if self.take_if("true") {
            return Some(true);
        }
        self.take_if("false").then_some(false)
    }

    /// Passes over a value of any kind.
    pub(super) fn pass_over(&mut self) -> Result<(), Odd> {
        let mut open = Brackets::default();
        while !(self.pass_over_start(&mut open)? && self.pass_over_ends(&mut open)?) {}
        Ok(())
    }

    /// Passes over a scalar or an empty bracket, and is `true`; or over the start of a bracket.
    fn pass_over_start(&mut self, open: &mut Brackets) -> Result<bool, Odd> {
        match self.peek().ok_or(Odd)? {
            b'\\' => self.pass_over_string()?,
            b'{' => {
                self.take("{")?;
                if !self.take_if("}") {
                    open.open(Bracket::Object)?;
                    self.pass_over_key()?;
                    return Ok(false);
                }
            }
            b'[' => {
                self.take("[")?;
                if !self.take_if("]") {
                    open.open(Bracket::Array)?;
                    return Ok(false);
                }
            }
            b't' => self.take("true")?,
            b'f' => self.take("false")?,
            b'n' => self.take("null")?,
            _ => self.pass_over_number()?,
        }
        Ok(true)
    }

    /// Behind a value: passes over the brackets that close, and is `true` where all are closed;
    /// or up to the next value in the innermost one.
    fn pass_over_ends(&mut self, open: &mut Brackets) -> Result<bool, Odd> {
        while let Some(bracket) = open.innermost() {
            match (bracket, self.take_byte()?) {
                (Bracket::Object, b',') => {
                    self.pass_over_key()?;
                    return Ok(false);
                }
                (Bracket::Array, b',') => return Ok(false),
                (Bracket::Object, b'}') | (Bracket::Array, b']') => open.close(),
                _ => return Err(Odd),
            }
        }
        Ok(true)
    }

    fn pass_over_key(&mut self) -> Result<(), Odd> {
        self.pass_over_string()?;
        self.take(":")
    }

    /// A string without escapes.
    fn plain_string(&mut self) -> Result<&'m str, Odd> {
        self.take(QUOTE)?;
        let end = memchr(b'\\', self.rest.as_bytes()).ok_or(Odd)?;
        let (text, behind) = self.rest.split_at_checked(end).ok_or(Odd)?;
        self.rest = behind;
        self.take(QUOTE)?;
        Ok(text)
    }

    fn pass_over_string(&mut self) -> Result<(), Odd> {
        self.take(QUOTE)?;
        loop {
            let escape = memchr(b'\\', self.rest.as_bytes()).ok_or(Odd)?;
            self.rest = self.rest.get(escape..).ok_or(Odd)?;
            if self.take_if(QUOTE) {
                return Ok(());
            }
            self.take("\\\\")?;
            self.pass_over_escaped()?;
        }
    }

    /// What stands behind a backslash of the text.
    fn pass_over_escaped(&mut self) -> Result<(), Odd> {
        if self.take_if(QUOTE) || self.take_if("\\\\") {
            return Ok(());
        }
        match self.take_byte()? {
            b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let (digits, behind) = self.rest.split_at_checked(4).ok_or(Odd)?;
                self.rest = behind;
                if digits.bytes().all(|b| b.is_ascii_hexdigit()) { Ok(()) } else { Err(Odd) }
            }
            _ => Err(Odd),
        }
    }

    /// `-12.5e+3`.
    fn pass_over_number(&mut self) -> Result<(), Odd> {
        self.take_if("-");
        if !self.take_if("0") {
            self.digits()?;
        }
        if self.take_if(".") {
            self.digits()?;
        }
        if self.take_if("e") || self.take_if("E") {
            if !self.take_if("+") {
                self.take_if("-");
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Odd> {
        let behind = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if behind.len() == self.rest.len() {
            return Err(Odd);
        }
        self.rest = behind;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    fn take_byte(&mut self) -> Result<u8, Odd> {
        let byte = self.peek().ok_or(Odd)?;
        self.rest = self.rest.get(1..).ok_or(Odd)?;
        Ok(byte)
    }

    fn take(&mut self, token: &str) -> Result<(), Odd> {
        if self.take_if(token) { Ok(()) } else { Err(Odd) }
    }

    fn take_if(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(behind) => {
                self.rest = behind;
                true
            }
            None => false,
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
