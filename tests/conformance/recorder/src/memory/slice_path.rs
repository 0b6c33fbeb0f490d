// SPDX-License-Identifier: Apache-2.0

//! Slices of slices, and how they are named: from where they were taken and step by step.

use serde_json::{json, Value};
use vm_memory::bitmap::BS;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress, VolatileSlice,
};

use crate::dirty::Tracking;
use crate::layout::World;
use crate::number::uint;
use crate::rng::Rng;

/// A slice with its name and place.
pub struct Slice<'a, B: Tracking> {
    pub path: Value,
    pub slice: VolatileSlice<'a, BS<'a, B>>,
    pub region: usize,
    /// Offset in the region.
    pub offset: usize,
}

impl<'a, B: Tracking> Slice<'a, B> {
    pub fn random(rng: &mut Rng, world: &'a World<B>) -> Self {
        let k = rng.size(0, world.extents.len() - 1);
        Slice::in_region(rng, world, k)
    }

    /// A slice of region `k`, by up to three steps.
    pub fn in_region(rng: &mut Rng, world: &'a World<B>, k: usize) -> Self {
        let extent = world.extents[k];
        let (offset, count) = part(rng, extent.size as usize);
        let from_memory = rng.chance(50) && (offset as u64) < extent.size;
        let (root, slice) = if from_memory {
            let addr = extent.base + offset as u64;
            let slice = world.mem.get_slice(GuestAddress(addr), count);
            (json!(["m", uint(addr), count]), slice)
        } else {
            let slice = world
                .region(k)
                .get_slice(MemoryRegionAddress(offset as u64), count);
            (json!(["r", k, offset, count]), slice)
        };
        let mut found = Slice {
            path: json!([root]),
            slice: slice.expect("a part of the region"),
            region: k,
            offset,
        };
        for _ in 0..rng.pick(&[0, 0, 0, 1, 1, 2, 3]) {
            found = found.narrower(rng);
        }
        found
    }

    fn narrower(self, rng: &mut Rng) -> Self {
        let len = self.slice.len();
        let (offset, count) = part(rng, len);
        let (step, slice, skipped) = match rng.below(4) {
            0..=1 => (
                json!(["sub", offset, count]),
                self.slice.subslice(offset, count).expect("a part"),
                offset,
            ),
            2 => (
                json!(["off", offset]),
                self.slice.offset(offset).expect("a part"),
                offset,
            ),
            _ => {
                let (low, high) = self.slice.split_at(offset).expect("a part");
                if rng.chance(50) {
                    (json!(["low", offset]), low, 0)
                } else {
                    (json!(["high", offset]), high, offset)
                }
            }
        };
        let Value::Array(mut path) = self.path else {
            unreachable!("paths are arrays");
        };
        path.push(step);
        Slice {
            path: path.into(),
            slice,
            region: self.region,
            offset: self.offset + skipped,
        }
    }

    pub fn host(&self) -> usize {
        self.slice.ptr_guard().as_ptr() as usize
    }

    /// `[region, offset, length]` of a slice that was taken from this one.
    pub fn place(&self, slice: &VolatileSlice<'_, BS<'a, B>>) -> Value {
        let ahead = slice.ptr_guard().as_ptr() as usize - self.host();
        json!([self.region, self.offset + ahead, slice.len()])
    }
}

/// A part of `len` bytes as `(offset, count)`: mostly much of it, sometimes empty.
fn part(rng: &mut Rng, len: usize) -> (usize, usize) {
    let offset = match rng.below(10) {
        0..=3 => 0,
        4..=6 => rng.size(0, len / 2) & !7,
        _ => rng.size(0, len),
    };
    let left = len - offset;
    let count = match rng.below(10) {
        0..=5 => left,
        6..=7 => left - rng.size(0, left.min(16)),
        _ => rng.size(0, left),
    };
    (offset, count)
}
