// SPDX-License-Identifier: Apache-2.0

//! Questions to the map of regions.

use serde_json::{json, Value};
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryError, GuestMemoryRegion, VolatileSlice,
};

use super::try_access;
use crate::aim;
use crate::dirty::Tracking;
use crate::layout::World;
use crate::number::{size, uint};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;

pub fn random<B: Tracking>(rng: &mut Rng, world: &World<B>) -> Op {
    let mem = &world.mem;
    let raw = aim::address(rng, &world.extents);
    let addr = GuestAddress(raw);
    let reach = aim::reach(&world.extents, raw);
    match rng.below(36) {
        0..=4 => {
            let len = aim::count(rng, reach);
            ask("check_range", [uint(raw), size(len)], || {
                mem.check_range(addr, len).into()
            })
        }
        5..=7 => {
            let offset = aim::count(rng, reach);
            ask("checked_offset", [uint(raw), size(offset)], || {
                optional(mem.checked_offset(addr, offset))
            })
        }
        8..=10 => ask("to_region_addr", [uint(raw)], || {
            let found = mem.to_region_addr(addr);
            found.map_or(Value::Null, |(r, offset)| {
                json!([world.index_of(r), uint(offset.0)])
            })
        }),
        11..=12 => ask("find_region", [uint(raw)], || {
            let found = mem.find_region(addr);
            found.map_or(Value::Null, |r| world.index_of(r).into())
        }),
        13 => ask("address_in_range", [uint(raw)], || {
            mem.address_in_range(addr).into()
        }),
        14 => ask("check_address", [uint(raw)], || {
            optional(mem.check_address(addr))
        }),
        15 => match rng.below(3) {
            0 => ask("last_addr", [], || uint(mem.last_addr().0)),
            1 => ask("num_regions", [], || mem.num_regions().into()),
            _ => ask("regions", [], || {
                mem.iter()
                    .map(|r| json!([uint(r.start_addr().raw_value()), r.len()]))
                    .collect()
            }),
        },
        16..=18 => Op::reading(
            "m.get_host_address",
            vec![uint(raw)],
            Outcome::of(|| {
                Outcome::from(mem.get_host_address(addr), |host| json!(world.locate(host)))
            }),
        ),
        19..=22 => {
            let count = aim::count(rng, reach);
            Op::reading(
                "m.get_slice",
                vec![uint(raw), size(count)],
                Outcome::of(|| Outcome::from(mem.get_slice(addr, count), |s| s.len().into())),
            )
            .tag_zero(count)
        }
        23..=27 => get_slices(world, addr, aim::count(rng, reach)),
        28..=29 => {
            let count = aim::count(rng, reach);
            Op::reading(
                "m.get_slices_stop_on_error",
                vec![uint(raw), size(count)],
                Outcome::of(|| {
                    Outcome::from(mem.get_slices(addr, count).stop_on_error(), |slices| {
                        slices.map(|s| piece(world, &s)).collect()
                    })
                }),
            )
        }
        _ => try_access::op(rng, world, addr, reach),
    }
}

fn ask<const N: usize>(name: &str, args: [Value; N], answer: impl FnOnce() -> Value) -> Op {
    let outcome = Outcome::of(|| Outcome::ok(answer()));
    Op::reading(format!("m.{name}"), args.into(), outcome)
}

pub fn optional(addr: Option<GuestAddress>) -> Value {
    addr.map_or(Value::Null, |a| uint(a.0))
}

fn get_slices<B: Tracking>(world: &World<B>, addr: GuestAddress, count: usize) -> Op {
    let outcome = Outcome::of(|| pieces(world, world.mem.get_slices(addr, count)));
    Op::reading("m.get_slices", vec![uint(addr.0), size(count)], outcome)
}

/// The slices that came before the end or an error, and the error.
pub fn pieces<'a, B, S>(
    world: &World<B>,
    slices: impl Iterator<Item = Result<VolatileSlice<'a, S>, GuestMemoryError>>,
) -> Outcome
where
    B: Tracking,
    S: vm_memory::bitmap::BitmapSlice + 'a,
{
    let mut found = Vec::new();
    let mut then = None;
    for item in slices {
        match item {
            Ok(slice) => found.push(piece(world, &slice)),
            Err(error) => then = Some(Outcome::fault(&error).into_value()),
        }
    }
    let outcome = Outcome::ok(found);
    match then {
        Some(error) => outcome.with("then", error),
        None => outcome,
    }
}

/// `[region, offset, length]`
fn piece<B: Tracking, S: vm_memory::bitmap::BitmapSlice>(
    world: &World<B>,
    slice: &VolatileSlice<'_, S>,
) -> Value {
    let (k, offset) = world.locate(slice.ptr_guard().as_ptr());
    json!([k, offset, slice.len()])
}
