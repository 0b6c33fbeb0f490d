// SPDX-License-Identifier: Apache-2.0

//! Sequences on `GuestRegionCollection`, and on a `GuestMemoryAtomic` that publishes it.

mod bare_region;
mod published;

use std::sync::Arc;

use serde_json::{json, Value};
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionCollection, MemoryRegionAddress,
};

use crate::aim::{self, Extent};
use crate::number::{size, uint};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::pattern;
use crate::rng::Rng;
use crate::trace::Trace;
use bare_region::BareRegion;
use published::Published;

type Collection = GuestRegionCollection<BareRegion>;

pub fn record(rng: &mut Rng, trace: &mut Trace, operations: u64) {
    trace.layout("collection", json!({}));
    let mut state = State {
        current: Collection::new(),
        published: Published::new(),
    };
    while trace.played() < operations {
        let op = state.step(rng);
        trace.step(vec![op], || None);
    }
    trace.end(json!({"regions": list(&state.current)}));
}

/// What the operations work on.
struct State {
    /// Replaced by every operation that makes a collection; it starts out empty.
    current: Collection,
    published: Published,
}

impl State {
    fn step(&mut self, rng: &mut Rng) -> Op {
        match rng.below(100) {
            0..=13 => self.make(rng),
            14..=37 => self.insert_region(rng),
            38..=54 => self.remove_region(rng),
            55..=69 => self.question(rng),
            70..=76 => self.bare_access(rng),
            77..=82 => mmap_from_ranges(rng),
            _ => self.published.step(rng, &self.current),
        }
    }

    fn make(&mut self, rng: &mut Rng) -> Op {
        let ranges = ranges(rng);
        let args = vec![ranges_json(&ranges)];
        let outcome = Outcome::of(|| {
            let regions = ranges
                .iter()
                .map(|e| BareRegion {
                    start: e.base,
                    len: e.size,
                })
                .collect();
            let made = Collection::from_regions(regions);
            Outcome::from(made, |made| self.replace(made))
        });
        Op::reading("c.from_regions", args, outcome)
    }

    fn insert_region(&mut self, rng: &mut Rng) -> Op {
        let Extent { base, size: len } = self.candidate(rng);
        let outcome = Outcome::of(|| {
            let region = Arc::new(BareRegion { start: base, len });
            Outcome::from(self.current.insert_region(region), |made| {
                self.replace(made)
            })
        });
        Op::reading("c.insert_region", vec![uint(base), uint(len)], outcome)
    }

    fn remove_region(&mut self, rng: &mut Rng) -> Op {
        let present = self.extents();
        let Extent { base, size: len } = if present.is_empty() || rng.chance(10) {
            self.candidate(rng)
        } else {
            let mut wanted = rng.pick(&present);
            match rng.below(6) {
                0 => wanted.base += 1,
                1 => wanted.size += 1,
                2 => wanted.size = rng.between(1, wanted.size),
                _ => {}
            }
            wanted
        };
        let outcome = Outcome::of(|| {
            let removed = self.current.remove_region(GuestAddress(base), len);
            Outcome::from(removed, |(made, region)| {
                json!([self.replace(made), [uint(region.start), uint(region.len)]])
            })
        });
        Op::reading("c.remove_region", vec![uint(base), uint(len)], outcome)
    }

    fn replace(&mut self, made: Collection) -> Value {
        self.current = made;
        list(&self.current)
    }

    fn extents(&self) -> Vec<Extent> {
        self.current
            .iter()
            .map(|r| Extent {
                base: r.start,
                size: r.len,
            })
            .collect()
    }

    /// A region that fits in, touches or overlaps those present.
    fn candidate(&self, rng: &mut Rng) -> Extent {
        let present = self.extents();
        let size = length(rng);
        if present.is_empty() || rng.chance(20) {
            return Extent {
                base: rng.below(1 << 40),
                size,
            };
        }
        let neighbour = rng.pick(&present);
        let base = match rng.below(8) {
            0..=3 => neighbour.end(),
            4 => neighbour.end() + rng.below(1 << 16),
            5 => neighbour.base.saturating_sub(size),
            6 => neighbour.base,
            _ => neighbour.base + rng.below(neighbour.size),
        };
        Extent { base, size }
    }

    fn question(&self, rng: &mut Rng) -> Op {
        let current = &self.current;
        let present = self.extents();
        let raw = if present.is_empty() {
            rng.below(1 << 32)
        } else {
            aim::address(rng, &present)
        };
        let addr = GuestAddress(raw);
        let index = |r: &BareRegion| present.iter().position(|e| e.base == r.start);
        let (name, args, answer) = match rng.below(8) {
            0..=1 => (
                "find_region",
                vec![uint(raw)],
                json!(current.find_region(addr).and_then(index)),
            ),
            2..=3 => (
                "to_region_addr",
                vec![uint(raw)],
                current
                    .to_region_addr(addr)
                    .map_or(Value::Null, |(r, o)| json!([index(r), uint(o.0)])),
            ),
            4 => {
                let offset = aim::count(rng, aim::reach(&present, raw));
                let found = current.checked_offset(addr, offset);
                (
                    "checked_offset",
                    vec![uint(raw), size(offset)],
                    found.map_or(Value::Null, |a| uint(a.0)),
                )
            }
            5 => (
                "address_in_range",
                vec![uint(raw)],
                current.address_in_range(addr).into(),
            ),
            6 => ("last_addr", vec![], uint(current.last_addr().0)),
            _ => ("num_regions", vec![], current.num_regions().into()),
        };
        Op::reading(format!("c.{name}"), args, Outcome::ok(answer))
    }

    /// Accesses to regions that have no host address.
    fn bare_access(&self, rng: &mut Rng) -> Op {
        let present = self.extents();
        let raw = if present.is_empty() {
            0
        } else {
            aim::address(rng, &present)
        };
        let addr = GuestAddress(raw);
        let len = rng.size(0, 40);
        let first = self.current.iter().next();
        match (rng.below(6), first) {
            (0, _) => Op::reading(
                "c.get_host_address",
                vec![uint(raw)],
                Outcome::from(self.current.get_host_address(addr), |_| Value::Null),
            ),
            (1, _) => Op::reading(
                "c.get_slice",
                vec![uint(raw), len.into()],
                Outcome::from(self.current.get_slice(addr, len), |s| s.len().into()),
            )
            .tag_zero(len),
            (2, _) => Op::reading(
                "c.read",
                vec![uint(raw), len.into()],
                Outcome::from(self.current.read(&mut vec![0; len], addr), size),
            )
            .tag_zero(len),
            (3, Some(region)) => Op::reading(
                "c.first_read",
                vec![uint(raw), len.into()],
                Outcome::from(
                    region.read(&mut vec![0; len], MemoryRegionAddress(raw)),
                    size,
                ),
            )
            .tag_zero(len),
            (4, Some(region)) => Op::reading(
                "c.first_last_addr",
                vec![],
                Outcome::ok(uint(region.last_addr().0)),
            ),
            _ => Op::reading(
                "c.write",
                vec![uint(raw), 1.into(), len.into()],
                Outcome::from(self.current.write(&pattern::bytes(1, len), addr), size),
            )
            .tag_zero(len),
        }
    }
}

/// `GuestMemoryMmap::from_ranges`, which also maps: its memory is dropped again at once.
fn mmap_from_ranges(rng: &mut Rng) -> Op {
    let mut ranges = ranges(rng);
    for range in &mut ranges {
        range.size = range.size.min(1 << 16);
    }
    if !ranges.is_empty() && rng.chance(40) {
        let k = rng.size(0, ranges.len() - 1);
        match rng.below(3) {
            0 => ranges[k].size = 0,
            1 => ranges[k].base = u64::MAX - rng.below(2 * ranges[k].size.max(1)),
            _ => ranges[k].base = u64::MAX - ranges[k].size,
        }
    }
    let args = vec![ranges_json(&ranges)];
    let outcome = Outcome::of(|| {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|e| (GuestAddress(e.base), e.size as usize))
            .collect();
        Outcome::from(GuestMemoryMmap::<()>::from_ranges(&ranges), |mem| {
            mem.iter()
                .map(|r| json!([uint(r.start_addr().0), r.len()]))
                .collect()
        })
    });
    Op::reading("c.mmap_from_ranges", args, outcome)
}

/// A list of regions: in order, out of order, overlapping or empty.
fn ranges(rng: &mut Rng) -> Vec<Extent> {
    if rng.chance(6) {
        return Vec::new();
    }
    let mut end = rng.pick(&[0, 0x1000, 1 << 31, 1 << 32, 1 << 40]);
    let mut ranges: Vec<Extent> = (0..rng.between(1, 8))
        .map(|_| {
            let base = end
                + if rng.chance(50) {
                    0
                } else {
                    rng.below(1 << 30)
                };
            let size = length(rng);
            end = base + size;
            Extent { base, size }
        })
        .collect();
    let last = ranges.len() - 1;
    if last > 0 {
        let k = rng.size(0, last - 1);
        match rng.below(8) {
            0 => ranges.swap(k, k + 1),
            1 => ranges[k].size += ranges[k + 1].base - ranges[k].base,
            2 => ranges[k + 1].base = ranges[k].base,
            3 => ranges[k].size = ranges[k + 1].base - ranges[k].base + 1,
            _ => {}
        }
    }
    ranges
}

fn length(rng: &mut Rng) -> u64 {
    match rng.below(4) {
        0 => rng.between(1, 8),
        1 => rng.between(1, 1 << 30),
        _ => 4096 * rng.between(1, 16),
    }
}

fn ranges_json(ranges: &[Extent]) -> Value {
    ranges
        .iter()
        .map(|e| json!([uint(e.base), uint(e.size)]))
        .collect()
}

/// `[[start, length], ...]`
fn list(collection: &Collection) -> Value {
    collection
        .iter()
        .map(|r| json!([uint(r.start), uint(r.len)]))
        .collect()
}
