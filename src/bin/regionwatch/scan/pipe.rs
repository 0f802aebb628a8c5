//! What may keep its reader waiting: standard input, and whatever else is no plain file.
//!
//! Whoever reads a pipe sleeps until somebody writes, and nothing wakes him. So a thread of its own
//! does that, and [`Pipe`] looks now and then whether it should stop: then it ends as a file does
//! that cannot be read on, and all that came before is judged.

use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;

use super::readers::LOOK;
use crate::input::Input;

/// Bytes read at a time: what a pipe holds.
const PIECE: usize = 64 * 1024;

/// Reads an input that may have nothing to read for a while.
pub struct Pipe<S> {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
    stops: S,
}

impl<S: Fn() -> bool> Pipe<S> {
    /// Opens and reads the input until `stops` says that somebody broke it off.
    pub fn of(input: Input, stops: S) -> Self {
        // One piece is read while the one before it is judged.
        let (to, pieces) = sync_channel(1);
        // Not waited for: it may sleep for ever, and ends with the command.
        thread::spawn(move || read_on(&input, &to));
        Pipe { pieces, piece: Cursor::default(), stops }
    }

    /// The next piece, an empty one at the end.
    fn next(&self) -> io::Result<Vec<u8>> {
        loop {
            if (self.stops)() {
                return Err(io::Error::other("interrupted"));
            }
            match self.pieces.recv_timeout(LOOK) {
                Ok(piece) => return piece,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
            }
        }
    }
}

impl<S: Fn() -> bool> Read for Pipe<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 {
            self.piece = Cursor::new(self.next()?);
        }
        self.piece.read(into)
    }
}

/// Hands over piece after piece, and at last why it ends where that is not the end.
fn read_on(input: &Input, to: &SyncSender<io::Result<Vec<u8>>>) {
    let mut opened = match input.open() {
        Ok(opened) => opened,
        Err(fault) => return drop(to.send(Err(fault))),
    };
    loop {
        let mut piece = vec![0; PIECE];
        let read = match opened.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                piece.truncate(length);
                Ok(piece)
            }
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => Err(fault),
        };
        let is_last = read.is_err();
        if to.send(read).is_err() || is_last {
            return;
        }
    }
}
