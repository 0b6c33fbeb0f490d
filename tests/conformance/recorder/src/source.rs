// SPDX-License-Identifier: Apache-2.0

//! Streams to read from, and a log of the calls that they answered.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use serde_json::{json, Value};
use vm_memory::bitmap::BitmapSlice;
use vm_memory::{Bytes, ReadVolatile, VolatileMemoryError, VolatileSlice};

use crate::fd;
use crate::pattern;
use crate::rng::Rng;

/// A pipe is never filled beyond this, whatever its capacity is on the host.
const PIPE_LIMIT: usize = 4096;

/// A stream that gives at most one chunk a call, and errors where its script says so: what a socket does.
pub struct Chunks {
    data: Vec<u8>,
    given: usize,
    /// Bytes of the next chunk, or a negated errno.
    script: VecDeque<i64>,
}

impl ReadVolatile for Chunks {
    fn read_volatile<B: BitmapSlice>(
        &mut self,
        buf: &mut VolatileSlice<B>,
    ) -> Result<usize, VolatileMemoryError> {
        let Some(&step) = self.script.front() else {
            return Ok(0);
        };
        if step < 0 {
            self.script.pop_front();
            let error = io::Error::from_raw_os_error(-step as i32);
            return Err(VolatileMemoryError::IOError(error));
        }
        let n = buf.len().min(step as usize);
        buf.write_slice(&self.data[self.given..self.given + n], 0)?;
        self.given += n;
        if n == step as usize {
            self.script.pop_front();
        } else {
            self.script[0] -= n as i64;
        }
        Ok(n)
    }
}

enum Stream {
    /// `&[u8]`, and how far it has been read.
    Bytes(Vec<u8>, usize),
    Cursor(Cursor<Vec<u8>>),
    Chunks(Chunks),
    File(File),
    /// The read end, the bytes that went in, and the write end while it is open.
    Pipe(OwnedFd, usize, #[allow(dead_code)] Option<OwnedFd>),
    /// `/dev/zero`.
    Zero(File),
    /// A descriptor that is not open for reading, and its peer.
    Unreadable(OwnedFd, #[allow(dead_code)] OwnedFd),
}

/// As many bytes as are `wanted`, or fewer, or more.
pub fn around(rng: &mut Rng, wanted: usize) -> usize {
    match rng.below(10) {
        0..=4 => wanted,
        5..=6 => rng.size(0, wanted),
        7..=8 => wanted + rng.size(1, 300),
        _ => rng.size(0, 16),
    }
}

/// A read that the stream answered.
#[derive(Clone, Copy)]
pub struct Call {
    pub asked: usize,
    /// Bytes given, or `None` for an error.
    pub got: Option<usize>,
}

/// A stream to read from.
pub struct Source {
    stream: Stream,
    spec: Value,
    calls: Vec<Call>,
}

impl Source {
    /// A stream with about `wanted` bytes, of which some may end at the `boundary` of a region.
    pub fn random(rng: &mut Rng, wanted: usize, boundary: usize) -> Self {
        match rng.below(16) {
            0..=3 => Source::plain(rng, wanted),
            4..=8 => Source::chunks(rng, wanted, boundary),
            9..=10 => {
                let (seed, len) = (rng.pattern_seed(), around(rng, wanted));
                let pos = rng.size(0, len / 4);
                let mut file = fd::file(&pattern::bytes(seed, len));
                file.seek(SeekFrom::Start(pos as u64))
                    .expect("seek a memfd");
                Source::new(json!(["file", seed, len, pos]), Stream::File(file))
            }
            11..=12 => Source::pipe(rng, wanted, false),
            13 => {
                let len = rng.pick(&[boundary, wanted]);
                Source::pipe(rng, len, true)
            }
            14 => Source::new(
                json!(["zero"]),
                Stream::Zero(File::open("/dev/zero").expect("open /dev/zero")),
            ),
            _ => {
                let (read_end, write_end) = fd::pipe();
                Source::new(
                    json!(["unreadable"]),
                    Stream::Unreadable(write_end, read_end),
                )
            }
        }
    }

    /// The same without a descriptor behind it.
    pub fn plain(rng: &mut Rng, wanted: usize) -> Self {
        let (seed, len) = (rng.pattern_seed(), around(rng, wanted));
        if rng.chance(50) {
            return Source::new(
                json!(["bytes", seed, len]),
                Stream::Bytes(pattern::bytes(seed, len), 0),
            );
        }
        let pos = match rng.below(4) {
            0 => rng.size(0, len + 4),
            _ => rng.size(0, len / 4),
        };
        let mut cursor = Cursor::new(pattern::bytes(seed, len));
        cursor.set_position(pos as u64);
        Source::new(json!(["cursor", seed, len, pos]), Stream::Cursor(cursor))
    }

    fn new(spec: Value, stream: Stream) -> Self {
        Source {
            stream,
            spec,
            calls: Vec::new(),
        }
    }

    fn chunks(rng: &mut Rng, wanted: usize, boundary: usize) -> Self {
        let (seed, len) = (rng.pattern_seed(), around(rng, wanted));
        let mut script = VecDeque::new();
        let mut left = len;
        while left > 0 && script.len() < 6 {
            if rng.chance(15) {
                let errno = rng.pick(&[
                    libc::EINTR,
                    libc::EINTR,
                    libc::EINTR,
                    libc::EAGAIN,
                    libc::ECONNRESET,
                ]);
                script.push_back(-i64::from(errno));
            }
            let chunk = match rng.below(10) {
                0..=2 => left,
                3..=4 => left.min(boundary),
                _ => rng.size(1, left),
            };
            script.push_back(chunk as i64);
            left -= chunk;
        }
        Source::new(
            json!(["chunks", seed, script]),
            Stream::Chunks(Chunks {
                data: pattern::bytes(seed, len),
                given: 0,
                script,
            }),
        )
    }

    fn pipe(rng: &mut Rng, wanted: usize, open: bool) -> Self {
        let (seed, len) = (rng.pattern_seed(), wanted.min(PIPE_LIMIT));
        let (read_end, write_end) = fd::pipe();
        let mut writer = File::from(write_end);
        writer
            .write_all(&pattern::bytes(seed, len))
            .expect("fill a pipe");
        let (name, writer) = if open {
            ("openPipe", Some(writer.into()))
        } else {
            ("pipe", None)
        };
        Source::new(
            json!([name, seed, len]),
            Stream::Pipe(read_end, len, writer),
        )
    }

    pub fn spec(&self) -> Value {
        self.spec.clone()
    }

    /// The bytes taken from the stream; `None` where that means nothing.
    pub fn used(&mut self) -> Option<usize> {
        match &mut self.stream {
            Stream::Bytes(_, used) => Some(*used),
            Stream::Cursor(cursor) => Some(cursor.position() as usize),
            Stream::Chunks(chunks) => Some(chunks.given),
            Stream::File(file) => Some(file.stream_position().expect("seek a memfd") as usize),
            Stream::Pipe(end, len, _) => Some(*len - fd::unread(end)),
            Stream::Zero(_) | Stream::Unreadable(..) => None,
        }
    }

    /// The reads answered by `read_volatile`, without those that were interrupted.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Whether a further read would give more bytes or an error, not the end.
    pub fn has_more(&self) -> bool {
        match &self.stream {
            Stream::Chunks(chunks) => !chunks.script.is_empty(),
            Stream::Pipe(end, _, open) => open.is_some() || fd::unread(end) > 0,
            _ => false,
        }
    }

    pub fn is_descriptor(&self) -> bool {
        matches!(
            self.stream,
            Stream::File(_) | Stream::Pipe(..) | Stream::Zero(_) | Stream::Unreadable(..)
        )
    }
}

/// Hands both methods on to the stream itself, so that its own overrides are what is recorded.
impl ReadVolatile for Source {
    fn read_volatile<B: BitmapSlice>(
        &mut self,
        buf: &mut VolatileSlice<B>,
    ) -> Result<usize, VolatileMemoryError> {
        let result = match &mut self.stream {
            Stream::Bytes(data, used) => {
                let mut rest = &data[*used..];
                let result = rest.read_volatile(buf);
                *used = data.len() - rest.len();
                result
            }
            Stream::Cursor(cursor) => cursor.read_volatile(buf),
            Stream::Chunks(chunks) => chunks.read_volatile(buf),
            Stream::File(file) | Stream::Zero(file) => file.read_volatile(buf),
            Stream::Pipe(end, ..) | Stream::Unreadable(end, _) => end.read_volatile(buf),
        };
        let interrupted = matches!(
            &result,
            Err(VolatileMemoryError::IOError(e)) if e.kind() == io::ErrorKind::Interrupted
        );
        if !interrupted {
            self.calls.push(Call {
                asked: buf.len(),
                got: result.as_ref().ok().copied(),
            });
        }
        result
    }

    fn read_exact_volatile<B: BitmapSlice>(
        &mut self,
        buf: &mut VolatileSlice<B>,
    ) -> Result<(), VolatileMemoryError> {
        match &mut self.stream {
            Stream::Bytes(data, used) => {
                let mut rest = &data[*used..];
                let result = rest.read_exact_volatile(buf);
                *used = data.len() - rest.len();
                result
            }
            Stream::Cursor(cursor) => cursor.read_exact_volatile(buf),
            Stream::Chunks(chunks) => chunks.read_exact_volatile(buf),
            Stream::File(file) | Stream::Zero(file) => file.read_exact_volatile(buf),
            Stream::Pipe(end, ..) | Stream::Unreadable(end, _) => end.read_exact_volatile(buf),
        }
    }
}
