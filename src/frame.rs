//! One JSON value at a time out of a stream, in bounded memory.
//!
//! A batch of CloudTrail records inflates to tens of megabytes, an S3 object to hundreds, and
//! neither is ever needed whole. [`Frames`] slides a window over the stream and hands out the text
//! of one value after the other. It counts brackets and skips strings, no more: whether a value is
//! valid JSON is judged by whoever reads it. A value beyond the caller's limit is passed over
//! without being held.

mod string;

use std::borrow::Cow;
use std::io::{self, Read};

/// Why a stream could not be cut into values. Offsets count the bytes of the (inflated) stream.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The source failed; holds [`crate::inflate::InflateError`] where the gzip data is at fault.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Something else stands where the JSON grammar wants `expected`.
    #[error("byte {offset} of the JSON text is not {expected}")]
    Unexpected {
        /// Offset of the byte that does not fit.
        offset: u64,
        /// What should stand there.
        expected: &'static str,
    },
    /// The stream ends inside a value.
    #[error("the JSON text ends at byte {offset}, inside a value")]
    Ended {
        /// Length of the stream.
        offset: u64,
    },
}

/// The text of one value, as found by [`Frames::value`].
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The whole value, without white space around it.
    Whole(&'a [u8]),
    /// A value beyond the limit; its first bytes, and how long it was.
    Oversize {
        /// At most [`HEAD`] bytes from the start of the value.
        head: &'a [u8],
        /// Length of the whole value in bytes.
        length: u64,
    },
}

/// The first bytes of a value, which somebody has looked at; none as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    /// Bytes of an object, the last of which begins a string in it.
    pub head: usize,
    /// Bytes behind that which stand in the string, are ASCII, and do not end within an escape.
    pub inside: usize,
}

/// What stands behind a head, as [`Frames::value_behind`] finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The string that begins with it is the last one in the value.
    String {
        /// Whether all of it is ASCII.
        ascii: bool,
    },
    /// Other strings follow, or there is no head.
    Other,
}

/// How much of an oversize value is kept to tell it by.
pub const HEAD: usize = 512;

/// The first size of the window, as a rule; it grows only for a value that is larger.
pub const WINDOW: usize = 128 * 1024;

/// Object keys longer than this are an error.
const LONGEST_KEY: usize = 64 * 1024;

/// Cuts a stream into JSON values.
pub struct Frames<R> {
    source: R,
    window: Vec<u8>,
    start: usize,
    end: usize,
    /// Stream offset of the window's first byte.
    passed: u64,
    head: Vec<u8>,
    /// Why no more could be read when somebody looked ahead.
    fault: Option<io::Error>,
}

impl<R: Read> Frames<R> {
    /// Frames over `source`.
    pub fn new(source: R) -> Self {
        Frames::with_window(source, WINDOW)
    }

    /// Frames over `source`, through a window that begins with that many bytes, at least one.
    pub fn with_window(source: R, bytes: usize) -> Self {
        let window = vec![0; bytes.max(1)];
        Frames { source, window, start: 0, end: 0, passed: 0, head: Vec::new(), fault: None }
    }

    /// Offset of the next byte in the stream; at the end, the stream's length.
    pub fn offset(&self) -> u64 {
        self.passed + self.start as u64
    }

    /// The next byte that is not white space, which stays where it is; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<u8>, FrameError> {
        loop {
            let ahead = self.window.get(self.start..self.end).unwrap_or_default();
            if let Some(space) = ahead.iter().position(|b| !is_space(*b)) {
                self.start += space;
                return Ok(self.window.get(self.start).copied());
            }
            self.start = self.end;
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// The bytes up to the next newline or the end of the stream, which stay where they are; at
    /// most about `limit` of them.
    pub fn peek_line(&mut self, limit: usize) -> Result<&[u8], FrameError> {
        let mut searched = 0;
        let length = loop {
            let ahead = self.window.get(self.start + searched..self.end).unwrap_or_default();
            if let Some(newline) = ahead.iter().position(|b| *b == b'\n') {
                break searched + newline;
            }
            searched += ahead.len();
            if searched > limit || !self.more()? {
                break searched;
            }
        };
        Ok(self.window.get(self.start..self.start + length).unwrap_or_default())
    }

    /// The next bytes, which stay where they are: `length` of them unless the stream ends or fails
    /// before. Why it fails is told when its turn comes, to whoever needs more than there is.
    pub fn peek_ahead(&mut self, length: usize) -> &[u8] {
        while self.fault.is_none() && self.end - self.start < length {
            match self.more() {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => self.fault = Some(fault),
            }
        }
        let end = self.end.min(self.start + length);
        self.window.get(self.start..end).unwrap_or_default()
    }

    /// What is read already of the bytes that come next. They stay where they are.
    pub fn at_hand(&self) -> &[u8] {
        self.window.get(self.start..self.end).unwrap_or_default()
    }

    /// Passes over the rest of the line.
    pub fn skip_line(&mut self) -> Result<(), FrameError> {
        loop {
            let ahead = self.window.get(self.start..self.end).unwrap_or_default();
            if let Some(newline) = ahead.iter().position(|b| *b == b'\n') {
                self.start += newline + 1;
                return Ok(());
            }
            self.start = self.end;
            if !self.more()? {
                return Ok(());
            }
        }
    }

    /// Takes `byte`, which must come next; `expected` names it for the error.
    pub fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), FrameError> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.start += 1;
                Ok(())
            }
            Some(_) => Err(FrameError::Unexpected { offset: self.offset(), expected }),
            None => Err(FrameError::Ended { offset: self.offset() }),
        }
    }

    /// Inside an object: the next key, with its colon taken; `None` once the object is closed.
    /// `first` says whether a comma must come before the key, and is kept for the caller.
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<String>, FrameError> {
        if !self.next_item(b'}', first)? {
            return Ok(None);
        }
        let offset = self.offset();
        let not_a_key = FrameError::Unexpected { offset, expected: "an object key" };
        if self.peek()? != Some(b'"') {
            return Err(not_a_key);
        }
        let Frame::Whole(text) = self.value(LONGEST_KEY)? else { return Err(not_a_key) };
        let Ok(key) = serde_json::from_slice::<Cow<'_, str>>(text) else { return Err(not_a_key) };
        let key = key.into_owned();
        self.take(b':', "a colon")?;
        Ok(Some(key))
    }

    /// Inside an array: whether another element comes; `false` once the array is closed.
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, FrameError> {
        self.next_item(b']', first)
    }

    fn next_item(&mut self, close: u8, first: &mut bool) -> Result<bool, FrameError> {
        if self.peek()? == Some(close) {
            self.start += 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.take(b',', "a comma or the closing bracket")?;
        }
        Ok(true)
    }

    /// Takes the next value; one of more than `limit` bytes is passed over and told as oversize.
    pub fn value(&mut self, limit: usize) -> Result<Frame<'_>, FrameError> {
        Ok(self.value_behind(Looked::default(), limit)?.0)
    }

    /// As [`Frames::value`], for a value of which the caller has looked at the first bytes.
    pub fn value_behind(
        &mut self,
        looked: Looked,
        limit: usize,
    ) -> Result<(Frame<'_>, Tail), FrameError> {
        match self.measure(looked, limit, Lines::Any)? {
            Some(Measured { length, last_string, ascii }) => {
                let is_string = looked.head > 0 && last_string + 1 == looked.head;
                let tail = if is_string { Tail::String { ascii } } else { Tail::Other };
                Ok((Frame::Whole(self.take_bytes(length)), tail))
            }
            None => Ok((self.pass_over()?, Tail::Other)),
        }
    }

    /// The next value, which stays where it is; `None` where it has more than `limit` bytes.
    pub fn peek_value(&mut self, limit: usize, lines: Lines) -> Result<Option<&[u8]>, FrameError> {
        let measured = self.measure(Looked::default(), limit, lines)?;
        Ok(measured.and_then(|value| self.window.get(self.start..self.start + value.length)))
    }

    /// Takes the next bytes, which were peeked at before.
    pub fn take_bytes(&mut self, length: usize) -> &[u8] {
        let taken = self.start..self.end.min(self.start + length);
        self.start = taken.end;
        self.window.get(taken).unwrap_or_default()
    }

    /// The size of the next value; `None` where it has more than `limit` bytes.
    fn measure(
        &mut self,
        looked: Looked,
        limit: usize,
        lines: Lines,
    ) -> Result<Option<Measured>, FrameError> {
        self.peek()?;
        let mut scan = Scan::behind(looked, lines);
        let mut length = looked.head + looked.inside;
        loop {
            let ahead = self.window.get(self.start + length..self.end).unwrap_or_default();
            let step = scan.feed(ahead);
            length += step.passed(ahead);
            if length > limit {
                return Ok(None);
            }
            match step {
                Step::More => {}
                Step::End(_) => return Ok(Some(scan.measured(length))),
                Step::Fault { expected, .. } => {
                    let offset = self.offset() + length as u64;
                    return Err(FrameError::Unexpected { offset, expected });
                }
            }
            if !self.more()? {
                return match scan.state {
                    State::Scalar => Ok(Some(scan.measured(length))),
                    _ => Err(FrameError::Ended { offset: self.offset() + length as u64 }),
                };
            }
        }
    }

    /// Lets go of a value that is too large to hold, but for its head.
    fn pass_over(&mut self) -> Result<Frame<'_>, FrameError> {
        let head = self.window.get(self.start..self.end.min(self.start + HEAD));
        self.head = head.unwrap_or_default().to_vec();
        let mut scan = Scan::behind(Looked::default(), Lines::Any);
        let mut length = 0;
        loop {
            let ahead = self.window.get(self.start..self.end).unwrap_or_default();
            let step = scan.feed(ahead);
            let passed = step.passed(ahead);
            self.start += passed;
            length += passed as u64;
            match step {
                Step::More if self.more()? => {}
                Step::More if !matches!(scan.state, State::Scalar) => {
                    return Err(FrameError::Ended { offset: self.offset() });
                }
                Step::More | Step::End(_) => {
                    return Ok(Frame::Oversize { head: &self.head, length });
                }
                Step::Fault { expected, .. } => {
                    return Err(FrameError::Unexpected { offset: self.offset(), expected });
                }
            }
        }
    }

    /// Reads more of the stream behind what the window still holds; `false` at the end.
    fn more(&mut self) -> io::Result<bool> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.start > 0 {
            self.window.copy_within(self.start..self.end, 0);
            self.passed += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.window.len() {
            self.window.resize(self.window.len() * 2, 0);
        }
        let free = self.window.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.source.read(free) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Whether a value may have line breaks between its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// As JSON allows it.
    Any,
    /// It must end on the line that it began on.
    One,
}

/// A value, not taken yet.
struct Measured {
    length: usize,
    last_string: usize,
    ascii: bool,
}

/// A scan for the end of a value; it goes on from its state when more bytes come.
struct Scan {
    lines: Lines,
    state: State,
    /// How many bytes were fed before.
    fed: usize,
    /// Where the last string began.
    last_string: usize,
    /// Whether all strings are ASCII.
    ascii: bool,
}

#[derive(Clone, Copy)]
enum State {
    Start,
    Inside { depth: u32 },
    String { depth: u32, escaped: bool },
    Scalar,
}

enum Step {
    More,
    /// The value ends before this byte.
    End(usize),
    Fault {
        at: usize,
        expected: &'static str,
    },
}

impl Step {
    /// How many of the bytes that were fed belong to the value.
    fn passed(&self, fed: &[u8]) -> usize {
        match *self {
            Step::More => fed.len(),
            Step::End(at) | Step::Fault { at, .. } => at,
        }
    }
}

impl Scan {
    fn behind(looked: Looked, lines: Lines) -> Self {
        let Looked { head, inside } = looked;
        let string = State::String { depth: 1, escaped: false };
        let state = if head == 0 { State::Start } else { string };
        Scan { lines, state, fed: head + inside, last_string: head.saturating_sub(1), ascii: true }
    }

    fn measured(&self, length: usize) -> Measured {
        Measured { length, last_string: self.last_string, ascii: self.ascii }
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        let step = self.run(bytes);
        self.fed += bytes.len();
        step
    }

    fn run(&mut self, bytes: &[u8]) -> Step {
        use State::{Inside, Scalar, Start, String};
        let (mut state, mut at) = (self.state, 0);
        while let Some(&byte) = bytes.get(at) {
            state = match (state, byte) {
                (String { depth, escaped }, _) => {
                    let ahead = bytes.get(at..).unwrap_or_default();
                    let searched = string::search(ahead, escaped);
                    at += searched.passed;
                    self.ascii &= searched.ascii;
                    match searched.end {
                        string::End::Quote if depth == 0 => return Step::End(at + 1),
                        string::End::Quote => Inside { depth },
                        string::End::Control => {
                            return Step::Fault {
                                at,
                                expected: "allowed unescaped inside a string",
                            };
                        }
                        string::End::None { escaped } => String { depth, escaped },
                    }
                }
                (Inside { depth }, b'"') => self.string(depth, at),
                (Inside { depth }, b'{' | b'[') => Inside { depth: depth + 1 },
                (Inside { depth: 1 }, b'}' | b']') => return Step::End(at + 1),
                (Inside { depth }, b'}' | b']') => Inside { depth: depth - 1 },
                (Inside { .. }, b'\n') if self.lines == Lines::One => {
                    return Step::Fault { at, expected: "the end of the value, on its own line" };
                }
                (Inside { depth }, _) => Inside { depth },
                (Start, b'{' | b'[') => Inside { depth: 1 },
                (Start, b'"') => self.string(0, at),
                (Start, b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => Scalar,
                (Start, _) => return Step::Fault { at, expected: "the start of a value" },
                (Scalar, b',' | b'}' | b']') => return Step::End(at),
                (Scalar, space) if is_space(space) => return Step::End(at),
                (Scalar, _) => Scalar,
            };
            at += 1;
        }
        self.state = state;
        Step::More
    }

    fn string(&mut self, depth: u32, at: usize) -> State {
        self.last_string = self.fed + at;
        State::String { depth, escaped: false }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflate::tests::Fails;

    /// Hands out one byte at a time: every boundary is a window boundary.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let one = self.0.len().min(1);
            self.0.read(&mut out[..one])
        }
    }

    fn values(text: &[u8], limit: usize) -> Result<Vec<String>, FrameError> {
        let mut frames = Frames::new(Drip(text));
        let mut seen = Vec::new();
        while frames.peek()?.is_some() {
            seen.push(match frames.value(limit)? {
                Frame::Whole(value) => String::from_utf8(value.to_vec()).unwrap(),
                Frame::Oversize { head, length } => {
                    format!("{length} bytes: {}", String::from_utf8(head.to_vec()).unwrap())
                }
            });
        }
        Ok(seen)
    }

    #[test]
    fn cuts_values_of_every_kind() {
        let text = br#" {"a":"}\\\"}"} [1,[2]] "s,t" -1.5e3 true
 null"#;
        let expected = [r#"{"a":"}\\\"}"}"#, "[1,[2]]", r#""s,t""#, "-1.5e3", "true", "null"];
        assert_eq!(values(text, 100).unwrap(), expected);
    }

    #[test]
    fn passes_over_what_is_too_large_and_goes_on() {
        assert_eq!(values(br#"{"a":1} [2]"#, 3).unwrap(), [r#"7 bytes: {"a""#, "[2]"]);
    }

    #[test]
    fn names_the_byte_that_does_not_fit() {
        let fault = |text: &[u8]| values(text, 100).unwrap_err().to_string();
        assert_eq!(fault(b"[1] ]"), "byte 4 of the JSON text is not the start of a value");
        assert_eq!(fault(b"{\"a\": "), "the JSON text ends at byte 6, inside a value");
        assert_eq!(
            fault(b"\"a\nb\""),
            "byte 2 of the JSON text is not allowed unescaped inside a string"
        );
    }

    #[test]
    fn whoever_looks_ahead_of_a_failure_leaves_it_to_whoever_gets_there() {
        let mut frames = Frames::new(Fails(vec![b" [3]", b"", b"[1] [2]"]));
        assert_eq!(frames.peek_ahead(100), b"[1] [2]");
        assert_eq!(frames.peek_ahead(100), b"[1] [2]");
        assert_eq!(frames.value(10).unwrap(), Frame::Whole(b"[1]"));
        assert_eq!(frames.value(10).unwrap(), Frame::Whole(b"[2]"));
        assert_eq!(frames.peek().unwrap_err().to_string(), "it fails");
    }

    #[test]
    fn walks_objects_and_arrays() {
        let mut frames = Frames::new(&br#"{ "a" : [1, 2] , "\u0062":3}"#[..]);
        frames.take(b'{', "an object").unwrap();
        let mut first = true;
        assert_eq!(frames.next_key(&mut first).unwrap().as_deref(), Some("a"));
        frames.take(b'[', "an array").unwrap();
        let (mut first_element, mut sum) = (true, 0);
        while frames.next_element(&mut first_element).unwrap() {
            let Frame::Whole(n) = frames.value(10).unwrap() else { panic!("oversize") };
            sum += serde_json::from_slice::<u32>(n).unwrap();
        }
        assert_eq!(sum, 3);
        assert_eq!(frames.next_key(&mut first).unwrap().as_deref(), Some("b"));
        assert_eq!(frames.value(10).unwrap(), Frame::Whole(b"3"));
        assert_eq!(frames.next_key(&mut first).unwrap(), None);
        assert_eq!(frames.peek().unwrap(), None);
    }
}
