// SPDX-License-Identifier: Apache-2.0

//! Streams to write to.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use serde_json::{json, Value};
use vm_memory::bitmap::BitmapSlice;
use vm_memory::{Bytes, VolatileMemoryError, VolatileSlice, WriteVolatile};

use crate::fd;
use crate::pattern;
use crate::rng::Rng;
use crate::source::around;

/// A stream that takes at most one chunk a call, and errors where its script says so.
pub struct Chunks {
    taken: Vec<u8>,
    /// Bytes of the next chunk, or a negated errno.
    script: VecDeque<i64>,
}

impl WriteVolatile for Chunks {
    fn write_volatile<B: BitmapSlice>(
        &mut self,
        buf: &VolatileSlice<B>,
    ) -> Result<usize, VolatileMemoryError> {
        let Some(&step) = self.script.front() else {
            return Ok(0);
        };
        if step < 0 {
            self.script.pop_front();
            let error = io::Error::from_raw_os_error(-step as i32);
            return Err(VolatileMemoryError::IOError(error));
        }
        let mut bytes = vec![0; buf.len().min(step as usize)];
        buf.read_slice(&mut bytes, 0)?;
        if bytes.len() == step as usize {
            self.script.pop_front();
        } else {
            self.script[0] -= bytes.len() as i64;
        }
        self.taken.extend_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// A stream to write to.
pub enum Sink {
    /// `&mut [u8]`, and how far it has been written.
    Bytes(Vec<u8>, usize),
    Vec(Vec<u8>),
    /// `Cursor<&mut [u8]>`: the buffer, and the position.
    Cursor(Vec<u8>, u64),
    Chunks(Chunks),
    File(File),
    /// `/dev/full`.
    Full(File),
    /// A pipe that nobody can read any more.
    BrokenPipe(OwnedFd),
    /// A descriptor that is not open for writing, and its peer.
    Unwritable(OwnedFd, #[allow(dead_code)] OwnedFd),
}

impl Sink {
    /// A stream for about `wanted` bytes and its specification; one without a descriptor if `plain`.
    pub fn random(rng: &mut Rng, wanted: usize, plain: bool) -> (Self, Value) {
        let len = around(rng, wanted);
        match if plain { rng.below(6) } else { rng.below(16) } {
            0..=2 => (
                Sink::Bytes(pattern::untouched(len), 0),
                json!(["bytes", len]),
            ),
            3 => (Sink::Vec(Vec::new()), json!(["vec"])),
            4..=5 => {
                let pos = rng.size(0, len / 4 + 2);
                let sink = Sink::Cursor(pattern::untouched(len), pos as u64);
                (sink, json!(["cursor", len, pos]))
            }
            6..=10 => Sink::chunks(rng, len),
            11..=12 => (Sink::File(fd::file(&[])), json!(["file"])),
            13 => {
                let file = OpenOptions::new()
                    .write(true)
                    .open("/dev/full")
                    .expect("open /dev/full");
                (Sink::Full(file), json!(["full"]))
            }
            14 => (Sink::BrokenPipe(fd::pipe().1), json!(["brokenPipe"])),
            _ => {
                let (read_end, write_end) = fd::pipe();
                (Sink::Unwritable(read_end, write_end), json!(["unwritable"]))
            }
        }
    }

    fn chunks(rng: &mut Rng, len: usize) -> (Self, Value) {
        let mut script = VecDeque::new();
        let mut left = len;
        while left > 0 && script.len() < 6 {
            if rng.chance(12) {
                let errno = rng.pick(&[libc::EINTR, libc::EINTR, libc::EINTR, libc::EAGAIN]);
                script.push_back(-i64::from(errno));
            }
            let chunk = if rng.chance(30) {
                left
            } else {
                rng.size(1, left)
            };
            script.push_back(chunk as i64);
            left -= chunk;
        }
        let spec = json!(["chunks", script]);
        let taken = Vec::new();
        (Sink::Chunks(Chunks { taken, script }), spec)
    }

    /// The digest of what the stream holds; `None` where that means nothing.
    pub fn content(&mut self) -> Option<String> {
        match self {
            Sink::Bytes(data, _) | Sink::Vec(data) | Sink::Cursor(data, _) => {
                Some(pattern::digest(data))
            }
            Sink::Chunks(chunks) => Some(pattern::digest(&chunks.taken)),
            Sink::File(file) => {
                let mut data = Vec::new();
                file.seek(SeekFrom::Start(0)).expect("seek a memfd");
                file.read_to_end(&mut data).expect("read a memfd");
                Some(pattern::digest(&data))
            }
            Sink::Full(_) | Sink::BrokenPipe(_) | Sink::Unwritable(..) => None,
        }
    }
}

/// Hands both methods on to the stream itself, so that its own overrides are what is recorded.
impl WriteVolatile for Sink {
    fn write_volatile<B: BitmapSlice>(
        &mut self,
        buf: &VolatileSlice<B>,
    ) -> Result<usize, VolatileMemoryError> {
        match self {
            Sink::Bytes(data, used) => {
                let mut rest = &mut data[*used..];
                let before = rest.len();
                let result = rest.write_volatile(buf);
                *used += before - rest.len();
                result
            }
            Sink::Vec(data) => data.write_volatile(buf),
            Sink::Cursor(data, pos) => {
                let mut cursor = Cursor::new(data.as_mut_slice());
                cursor.set_position(*pos);
                let result = cursor.write_volatile(buf);
                *pos = cursor.position();
                result
            }
            Sink::Chunks(chunks) => chunks.write_volatile(buf),
            Sink::File(file) | Sink::Full(file) => file.write_volatile(buf),
            Sink::BrokenPipe(end) | Sink::Unwritable(end, _) => end.write_volatile(buf),
        }
    }

    fn write_all_volatile<B: BitmapSlice>(
        &mut self,
        buf: &VolatileSlice<B>,
    ) -> Result<(), VolatileMemoryError> {
        match self {
            Sink::Bytes(data, used) => {
                let mut rest = &mut data[*used..];
                let before = rest.len();
                let result = rest.write_all_volatile(buf);
                *used += before - rest.len();
                result
            }
            Sink::Vec(data) => data.write_all_volatile(buf),
            Sink::Cursor(data, pos) => {
                let mut cursor = Cursor::new(data.as_mut_slice());
                cursor.set_position(*pos);
                let result = cursor.write_all_volatile(buf);
                *pos = cursor.position();
                result
            }
            Sink::Chunks(chunks) => chunks.write_all_volatile(buf),
            Sink::File(file) | Sink::Full(file) => file.write_all_volatile(buf),
            Sink::BrokenPipe(end) | Sink::Unwritable(end, _) => end.write_all_volatile(buf),
        }
    }
}
