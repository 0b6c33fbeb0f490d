// SPDX-License-Identifier: Apache-2.0

//! Sequences on an `AtomicBitmap`.

use serde_json::{json, Value};
use vm_memory::bitmap::{AtomicBitmap, Bitmap, RefSlice};

use crate::dirty;
use crate::memory::DIRTY_INTERVAL;
use crate::number::size;
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;
use crate::trace::Trace;

/// A bitmap is not enlarged beyond this many pages.
const MOST_PAGES: usize = 4000;

pub fn record(rng: &mut Rng, trace: &mut Trace, operations: u64) {
    let page = rng.pick(&[1, 64, 128, 1000, 4096, 4096, 65536, 1 << 21]);
    let byte_size = match rng.below(8) {
        0 => 0,
        1 => rng.size(1, page),
        2 => page * 64,
        3 => page * 64 + 1,
        _ => rng.size(1, page * 600),
    };
    trace.layout("bitmap", json!({"byteSize": byte_size, "page": page}));
    let mut it = Tracked {
        bitmap: dirty::bitmap(byte_size, page),
        page,
    };
    while trace.played() < operations {
        let op = it.step(rng);
        trace.step(vec![op], || Some(dirty::count(&it.bitmap).into()));
        if trace.due(DIRTY_INTERVAL) {
            trace.check("dirty", json!([dirty::runs(&it.bitmap)]));
        }
    }
    trace.end(json!({"dirty": [dirty::runs(&it.bitmap)]}));
}

struct Tracked {
    bitmap: AtomicBitmap,
    page: usize,
}

impl Tracked {
    /// A byte offset, sometimes beyond the end.
    fn byte(&self, rng: &mut Rng) -> usize {
        let len = self.bitmap.byte_size();
        match rng.below(20) {
            0 => rng.huge() as usize,
            1..=2 => len.saturating_sub(rng.size(0, 2)),
            3..=4 => len + rng.size(0, 2 * self.page),
            5..=9 => rng.size(0, self.bitmap.len()) * self.page,
            _ => rng.size(0, len),
        }
    }

    /// A page number, sometimes beyond the end.
    fn bit(&self, rng: &mut Rng) -> usize {
        match rng.below(20) {
            0 => rng.huge() as usize,
            1..=3 => self.bitmap.len() + rng.size(0, 70),
            _ => rng.size(0, self.bitmap.len()),
        }
    }

    fn len(&self, rng: &mut Rng) -> usize {
        match rng.below(20) {
            // Longer than a double counts would be another thing elsewhere.
            0 => rng.pick(&[1 << 32, (1 << 53) - 1]),
            1..=2 => 0,
            3 => self.bitmap.byte_size(),
            4..=10 => rng.size(1, 3) * self.page,
            11..=13 => rng.size(1, self.page * 100),
            _ => rng.size(1, self.page),
        }
    }

    fn step(&mut self, rng: &mut Rng) -> Op {
        let (start, len, bit) = (self.byte(rng), self.len(rng), self.bit(rng));
        let bitmap = &self.bitmap;
        match rng.below(50) {
            0..=6 => write("set_addr_range", [start, len], || {
                bitmap.set_addr_range(start, len)
            }),
            7..=11 => write("reset_addr_range", [start, len], || {
                bitmap.reset_addr_range(start, len)
            }),
            12..=14 => write("set_bit", [bit], || bitmap.set_bit(bit)),
            15..=17 => write("reset_bit", [bit], || bitmap.reset_bit(bit)),
            18..=21 => read("is_bit_set", [bit], || bitmap.is_bit_set(bit).into()),
            22..=25 => read("is_addr_set", [start], || bitmap.is_addr_set(start).into()),
            26..=29 => write("mark_dirty", [start, len], || bitmap.mark_dirty(start, len)),
            30..=31 => read("dirty_at", [start], || bitmap.dirty_at(start).into()),
            32..=37 => self.slice_mark(rng, len),
            38..=41 => self.slice_look(rng),
            42 => self.enlarge(rng),
            43 => write_value("get_and_reset", || {
                dirty::word_runs(&bitmap.get_and_reset())
            }),
            44 => write("reset", [], || bitmap.reset()),
            45..=46 => read("len", [], || bitmap.len().into()),
            47..=48 => read("byte_size", [], || bitmap.byte_size().into()),
            _ => read("clone_set_bit", [bit], || {
                let clone = bitmap.clone();
                clone.set_bit(bit);
                json!([clone.is_bit_set(bit), bitmap.is_bit_set(bit)])
            }),
        }
    }

    fn enlarge(&mut self, rng: &mut Rng) -> Op {
        let room = MOST_PAGES.saturating_sub(self.bitmap.len()) * self.page;
        let more = match rng.below(3) {
            0 => rng.size(0, self.page),
            _ => rng.size(0, self.page * 200),
        };
        let more = more.min(room);
        write("enlarge", [more], || self.bitmap.enlarge(more))
    }

    /// Up to three nested `slice_at`; their sum does not wrap.
    fn nested(&self, rng: &mut Rng) -> (Vec<usize>, RefSlice<'_, AtomicBitmap>) {
        let offsets: Vec<usize> = (0..rng.size(1, 3))
            .map(|_| match rng.below(3) {
                0 => rng.size(0, self.page),
                1 => rng.size(0, self.bitmap.byte_size() / 2),
                _ => rng.size(0, 8) * self.page,
            })
            .collect();
        let first = self.bitmap.slice_at(offsets[0]);
        let slice = offsets[1..].iter().fold(first, |s, &o| s.slice_at(o));
        (offsets, slice)
    }

    fn slice_mark(&self, rng: &mut Rng, len: usize) -> Op {
        let (offsets, slice) = self.nested(rng);
        let start = rng.size(0, self.bitmap.byte_size());
        let outcome = Outcome::of(|| {
            slice.mark_dirty(start, len);
            Outcome::ok(Value::Null)
        });
        let args = vec![json!(offsets), start.into(), size(len)];
        Op::writing("b.slice_mark_dirty", args, outcome)
    }

    fn slice_look(&self, rng: &mut Rng) -> Op {
        let (offsets, slice) = self.nested(rng);
        let start = rng.size(0, self.bitmap.byte_size());
        let outcome = Outcome::of(|| Outcome::ok(slice.dirty_at(start)));
        Op::reading(
            "b.slice_dirty_at",
            vec![json!(offsets), start.into()],
            outcome,
        )
    }
}

fn read<const N: usize>(name: &str, args: [usize; N], answer: impl FnOnce() -> Value) -> Op {
    let outcome = Outcome::of(|| Outcome::ok(answer()));
    Op::reading(format!("b.{name}"), args.map(size).into(), outcome)
}

fn write<const N: usize>(name: &str, args: [usize; N], change: impl FnOnce()) -> Op {
    let outcome = Outcome::of(|| {
        change();
        Outcome::ok(Value::Null)
    });
    Op::writing(format!("b.{name}"), args.map(size).into(), outcome)
}

fn write_value(name: &str, change: impl FnOnce() -> Value) -> Op {
    let outcome = Outcome::of(|| Outcome::ok(change()));
    Op::writing(format!("b.{name}"), vec![], outcome)
}
