// SPDX-License-Identifier: Apache-2.0

//! Sequences on an `IommuMemory` and the `Iotlb` that it translates through.

mod tlb;

use serde_json::{json, Value};
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::{GuestAddress, GuestMemory, GuestMemoryMmap, IommuMemory, Iotlb, Permissions};

use crate::aim::{self, Extent};
use crate::bytes_ops::{self, Place};
use crate::dirty;
use crate::layout::{Plan, World};
use crate::memory::{pieces, DIRTY_INTERVAL, HASH_INTERVAL};
use crate::number::{size, uint};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;
use crate::trace::Trace;
use tlb::TlbOnly;

/// I/O virtual addresses above this would wrap around in the crate, which does not check.
const HIGHEST: u64 = 1 << 62;

/// Mappings stay within what a double counts exactly.
const EXACT: u64 = (1 << 53) - 1;

const PERMISSIONS: [(&str, Permissions); 4] = [
    ("no", Permissions::No),
    ("r", Permissions::Read),
    ("w", Permissions::Write),
    ("rw", Permissions::ReadWrite),
];

pub fn record(rng: &mut Rng, trace: &mut Trace, operations: u64) {
    let plan = Plan::random(rng, true);
    let page = rng.pick(&[128, 1000, 4096, 4096, 65536]);
    // Where mappings are made; the bitmap covers it only if it is low.
    let window = rng.pick(&[0, 0, 0x1000, 0x10000, 1 << 31, (1 << 32) - 0x8000, 1 << 40]);
    let byte_size = rng.size(0x8000, 0x60000);
    let enabled = rng.chance(90);
    let mut setup = plan.setup();
    setup["iova"] = json!({"byteSize": byte_size, "page": page});
    setup["enabled"] = enabled.into();
    trace.layout("iommu", setup);

    let world = plan.build::<AtomicBitmap>();
    let bitmap = dirty::bitmap(byte_size, page);
    let mut it = Translated {
        memory: IommuMemory::new(world.mem.clone(), TlbOnly::default(), enabled, bitmap),
        world,
        window,
        mapped: Vec::new(),
        next: window,
    };
    while trace.played() < operations {
        // A few mappings to begin with, so that translations succeed.
        let ops = if trace.played() < 8 {
            vec![it.set_mapping(rng)]
        } else {
            it.step(rng)
        };
        trace.step(ops, || Some(it.dirty_counts()));
        if trace.due(DIRTY_INTERVAL) {
            trace.check("dirty", it.dirty_runs());
        }
        if trace.due(HASH_INTERVAL) {
            trace.check("hash", it.world.digest());
        }
    }
    trace.check("dirty", it.dirty_runs());
    trace.end(json!({"sha256": it.world.sha256()}));
}

struct Translated {
    memory: IommuMemory<GuestMemoryMmap<AtomicBitmap>, TlbOnly>,
    world: World<AtomicBitmap>,
    /// The lowest I/O virtual address that is mapped on purpose.
    window: u64,
    /// Ranges that were mapped at some time.
    mapped: Vec<Extent>,
    /// The end of the last mapping.
    next: u64,
}

impl Translated {
    fn step(&mut self, rng: &mut Rng) -> Vec<Op> {
        match rng.below(100) {
            0..=9 => vec![self.set_mapping(rng)],
            10..=13 => vec![self.invalidate(rng)],
            14 if rng.chance(15) => vec![self.invalidate_all()],
            14..=29 => vec![self.lookup(rng)],
            30..=35 => vec![self.check_range(rng)],
            36..=43 => vec![self.get_slices(rng)],
            44..=45 => vec![self.set_enabled(rng)],
            46 => vec![self.reset_dirty()],
            _ => self.access(rng),
        }
    }

    /// An I/O virtual address: in or around a mapping, or a physical address while there is no translation.
    fn iova(&self, rng: &mut Rng) -> u64 {
        let physical = !self.memory.get_iommu_enabled() && rng.chance(70);
        let addr = if physical {
            aim::address(rng, &self.world.extents)
        } else if self.mapped.is_empty() {
            self.window + rng.below(0x20000)
        } else {
            let recent = &self.mapped[self.mapped.len().saturating_sub(16)..];
            aim::address(rng, recent)
        };
        addr.min(HIGHEST)
    }

    fn reach(&self, iova: u64) -> usize {
        if self.memory.get_iommu_enabled() {
            aim::reach(&self.mapped, iova)
        } else {
            aim::reach(&self.world.extents, iova)
        }
    }

    /// The most bytes that can follow one another: two mappings may lead to the same memory.
    fn room(&self) -> usize {
        if self.memory.get_iommu_enabled() {
            self.mapped.iter().map(|e| e.size as usize).sum()
        } else {
            self.world.total()
        }
    }

    fn set_mapping(&mut self, rng: &mut Rng) -> Op {
        let iova = match rng.below(10) {
            0..=4 => self.next,
            5 => self.next + rng.between(1, 5000),
            6..=7 => self.window + (rng.below(0x40000) & !4095),
            _ => self.window + rng.below(0x40000),
        };
        let mut length = match rng.below(10) {
            0..=5 => 4096 * rng.between(1, 4),
            6 => rng.between(1, 64),
            _ => rng.between(1, 20_000),
        };
        let target = rng.pick(&self.world.extents);
        let follows = self.mapped.len() < 2 || !rng.chance(90);
        let mut to = match rng.below(10) {
            0..=5 => target.base + (rng.below(target.size) & !4095),
            6..=7 => target.base,
            8 => target.base + rng.below(target.size),
            _ if follows => target.end().saturating_sub(rng.below(64)),
            _ => aim::address(rng, &self.world.extents),
        };
        if to >= target.base && to < target.end() && rng.chance(80) {
            length = length.min(target.end() - to);
        }
        to = to.min(EXACT - length);
        let (name, permissions) = match rng.below(10) {
            0..=6 => PERMISSIONS[3],
            _ => rng.pick(&PERMISSIONS),
        };
        self.next = iova + length;
        self.mapped.push(Extent {
            base: iova,
            size: length,
        });
        let outcome = Outcome::of(|| {
            let (from, to) = (GuestAddress(iova), GuestAddress(to));
            let mut tlb = self.memory.iommu().write();
            let set = tlb.set_mapping(from, to, length as usize, permissions);
            set.expect("mappings cannot be refused");
            Outcome::ok(Value::Null)
        });
        let args = vec![uint(iova), uint(to), uint(length), name.into()];
        Op::reading("t.set_mapping", args, outcome)
    }

    fn invalidate(&mut self, rng: &mut Rng) -> Op {
        let iova = self.iova(rng).min(EXACT);
        // The crate panics where the length is zero.
        let length = match rng.below(3) {
            0 => 4096 * rng.between(1, 3),
            _ => rng.between(1, 6000),
        };
        let outcome = Outcome::of(|| {
            let mut tlb = self.memory.iommu().write();
            tlb.invalidate_mapping(GuestAddress(iova), length as usize);
            Outcome::ok(Value::Null)
        });
        let args = vec![uint(iova), uint(length)];
        Op::reading("t.invalidate_mapping", args, outcome)
    }

    fn invalidate_all(&mut self) -> Op {
        self.next = self.window;
        let outcome = Outcome::of(|| {
            self.memory.iommu().write().invalidate_all();
            Outcome::ok(Value::Null)
        });
        Op::reading("t.invalidate_all", vec![], outcome)
    }

    /// A length that does not wrap around.
    fn count(&self, rng: &mut Rng, iova: u64) -> usize {
        aim::count(rng, self.reach(iova)).min(HIGHEST as usize)
    }

    fn lookup(&self, rng: &mut Rng) -> Op {
        let iova = self.iova(rng);
        let length = self.count(rng, iova);
        let (name, access) = rng.pick(&PERMISSIONS);
        let tlb = self.memory.iommu().read();
        let outcome = Outcome::of(|| {
            let found = Iotlb::lookup(&*tlb, GuestAddress(iova), length, access);
            Outcome::from(found, |ranges| {
                ranges
                    .map(|r| json!([uint(r.base.0), size(r.length)]))
                    .collect()
            })
        });
        let args = vec![uint(iova), size(length), name.into()];
        Op::reading("t.lookup", args, outcome).tag_zero(length)
    }

    fn check_range(&self, rng: &mut Rng) -> Op {
        let iova = self.iova(rng);
        let length = self.count(rng, iova);
        let (name, access) = rng.pick(&PERMISSIONS);
        let outcome = Outcome::of(|| {
            let answer = self.memory.check_range(GuestAddress(iova), length, access);
            Outcome::ok(answer)
        });
        let refused = outcome.field("ok") == Some(&Value::Bool(false));
        let args = vec![uint(iova), size(length), name.into()];
        let op = Op::reading("v.check_range", args, outcome);
        if length == 0 && refused {
            op.tagged("zero")
        } else {
            op
        }
    }

    fn get_slices(&self, rng: &mut Rng) -> Op {
        let iova = self.iova(rng);
        let length = self.count(rng, iova);
        let (name, access) = rng.pick(&PERMISSIONS);
        let outcome =
            Outcome::of(
                || match self.memory.get_slices(GuestAddress(iova), length, access) {
                    Ok(slices) => pieces(&self.world, slices),
                    Err(error) => Outcome::fault(&error),
                },
            );
        let args = vec![uint(iova), size(length), name.into()];
        Op::reading("v.get_slices", args, outcome).tag_zero(length)
    }

    fn set_enabled(&mut self, rng: &mut Rng) -> Op {
        let enabled = rng.chance(80);
        self.memory.set_iommu_enabled(enabled);
        let outcome = Outcome::ok(Value::Null);
        Op::reading("v.set_iommu_enabled", vec![enabled.into()], outcome)
    }

    fn reset_dirty(&self) -> Op {
        let outcome = Outcome::of(|| {
            self.memory.bitmap().reset();
            for k in 0..self.world.extents.len() {
                (**self.world.region(k)).bitmap().reset();
            }
            Outcome::ok(Value::Null)
        });
        Op::writing("reset_dirty", vec![], outcome)
    }

    fn access(&self, rng: &mut Rng) -> Vec<Op> {
        let iova = self.iova(rng);
        bytes_ops::random(
            rng,
            &Place {
                level: "v",
                bytes: &self.memory,
                addr: GuestAddress(iova),
                args: vec![uint(iova)],
                reach: self.reach(iova),
                room: self.room(),
                most: HIGHEST as usize,
                host: None,
                dirty: &|| Some(self.dirty_counts()),
                spans_regions: true,
            },
        )
    }

    /// `[pages dirty in the regions, pages dirty in the I/O virtual space]`
    fn dirty_counts(&self) -> Value {
        json!([self.world.dirty_count(), dirty::count(self.memory.bitmap())])
    }

    fn dirty_runs(&self) -> Value {
        json!({
            "regions": self.world.dirty_runs(),
            "iova": dirty::runs(self.memory.bitmap()),
        })
    }
}
