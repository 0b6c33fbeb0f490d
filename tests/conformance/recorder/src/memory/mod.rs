// SPDX-License-Identifier: Apache-2.0

//! Sequences on a `GuestMemoryMmap`: the memory itself, its regions and slices of it.

mod array_ops;
mod map_ops;
mod region_ops;
mod slice_ops;
mod slice_path;
mod tracking_ops;
mod try_access;

use vm_memory::bitmap::AtomicBitmap;
use vm_memory::GuestAddress;

use crate::aim;
use crate::bytes_ops::{self, Place};
use crate::dirty::Tracking;
use crate::layout::{Bitmaps, Plan, World};
use crate::number::uint;
use crate::op::Op;
use crate::rng::Rng;
use crate::trace::Trace;

pub use map_ops::pieces;

/// Operations between two records of the dirty state, and between two of the content.
pub const DIRTY_INTERVAL: u64 = 32;
pub const HASH_INTERVAL: u64 = 64;

pub fn record(rng: &mut Rng, trace: &mut Trace, operations: u64) {
    let plan = Plan::random(rng, false);
    trace.layout("memory", plan.setup());
    match plan.bitmaps {
        Bitmaps::None => play(rng, trace, operations, &plan.build::<()>()),
        _ => play(rng, trace, operations, &plan.build::<AtomicBitmap>()),
    }
}

fn play<B: Tracking>(rng: &mut Rng, trace: &mut Trace, operations: u64, world: &World<B>) {
    while trace.played() < operations {
        let ops = step(rng, world);
        trace.step(ops, || world.dirty_count());
        if trace.due(DIRTY_INTERVAL) {
            if let Some(runs) = world.dirty_runs() {
                trace.check("dirty", runs);
            }
        }
        if trace.due(HASH_INTERVAL) {
            trace.check("hash", world.digest());
        }
    }
    if let Some(runs) = world.dirty_runs() {
        trace.check("dirty", runs);
    }
    trace.end(serde_json::json!({"sha256": world.sha256()}));
}

fn step<B: Tracking>(rng: &mut Rng, world: &World<B>) -> Vec<Op> {
    match rng.below(100) {
        0..=43 => {
            let addr = aim::address(rng, &world.extents);
            bytes_ops::random(
                rng,
                &Place {
                    level: "m",
                    bytes: &world.mem,
                    addr: GuestAddress(addr),
                    args: vec![uint(addr)],
                    reach: aim::reach(&world.extents, addr),
                    room: world.total(),
                    most: usize::MAX,
                    host: None,
                    dirty: &|| world.dirty_count(),
                    spans_regions: true,
                },
            )
        }
        44..=55 => vec![map_ops::random(rng, world)],
        56..=74 => region_ops::random(rng, world),
        75..=96 => slice_ops::random(rng, world),
        _ => vec![tracking_ops::random(rng, world)],
    }
}
