// SPDX-License-Identifier: Apache-2.0

//! Operations on one region: those of `Bytes` and questions to it.

use serde_json::{json, Value};
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddress, GuestMemoryRegion, MemoryRegionAddress};

use crate::aim;
use crate::bytes_ops::{self, Place};
use crate::dirty::Tracking;
use crate::layout::World;
use crate::number::{size, uint};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;

pub fn random<B: Tracking>(rng: &mut Rng, world: &World<B>) -> Vec<Op> {
    let k = rng.size(0, world.extents.len() - 1);
    let raw = aim::offset(rng, world.extents[k].size);
    let left = world.extents[k].size.saturating_sub(raw) as usize;
    if rng.chance(30) {
        return vec![question(rng, world, k, raw)];
    }
    bytes_ops::random(
        rng,
        &Place {
            level: "r",
            bytes: world.region(k),
            addr: MemoryRegionAddress(raw),
            args: vec![k.into(), uint(raw)],
            reach: if left == 0 { 64 } else { left },
            room: left,
            most: usize::MAX,
            host: None,
            dirty: &|| world.dirty_count(),
            spans_regions: false,
        },
    )
}

fn question<B: Tracking>(rng: &mut Rng, world: &World<B>, k: usize, raw: u64) -> Op {
    let region = world.region(k);
    let offset = MemoryRegionAddress(raw);
    let left = world.extents[k].size.saturating_sub(raw) as usize;
    match rng.below(24) {
        0..=3 => {
            let count = aim::count(rng, left);
            let outcome =
                Outcome::of(|| Outcome::from(region.get_slice(offset, count), |s| s.len().into()));
            Op::reading(
                "r.get_slice",
                vec![k.into(), uint(raw), size(count)],
                outcome,
            )
            .tag_zero(count)
        }
        4..=5 => ask("check_address", k, [uint(raw)], || {
            optional(region.check_address(offset))
        }),
        6..=8 => {
            let more = aim::count(rng, left);
            ask("checked_offset", k, [uint(raw), size(more)], || {
                optional(region.checked_offset(offset, more))
            })
        }
        9..=12 => {
            let addr = aim::address(rng, &world.extents);
            ask("to_region_addr", k, [uint(addr)], || {
                optional(region.to_region_addr(GuestAddress(addr)))
            })
        }
        13..=14 => ask("address_in_range", k, [uint(raw)], || {
            region.address_in_range(offset).into()
        }),
        15..=17 => {
            let outcome = Outcome::of(|| {
                Outcome::from(region.get_host_address(offset), |host| {
                    json!(host as usize - world.host(k))
                })
            });
            Op::reading("r.get_host_address", vec![k.into(), uint(raw)], outcome)
        }
        18 => ask("len", k, [], || region.len().into()),
        19 => ask("start_addr", k, [], || uint(region.start_addr().0)),
        20 => ask("last_addr", k, [], || uint(region.last_addr().0)),
        21..=22 => ask("dirty_at", k, [uint(raw)], || {
            GuestMemoryRegion::bitmap(region)
                .dirty_at(raw as usize)
                .into()
        }),
        _ => {
            let len = aim::length(rng, left);
            let outcome = Outcome::of(|| {
                GuestMemoryRegion::bitmap(region).mark_dirty(raw as usize, len);
                Outcome::ok(Value::Null)
            });
            Op::writing(
                "r.mark_dirty",
                vec![k.into(), uint(raw), len.into()],
                outcome,
            )
        }
    }
}

fn ask<const N: usize>(
    name: &str,
    k: usize,
    args: [Value; N],
    answer: impl FnOnce() -> Value,
) -> Op {
    let outcome = Outcome::of(|| Outcome::ok(answer()));
    let args = std::iter::once(k.into()).chain(args).collect();
    Op::reading(format!("r.{name}"), args, outcome)
}

fn optional(offset: Option<MemoryRegionAddress>) -> Value {
    offset.map_or(Value::Null, |o| uint(o.0))
}
