// SPDX-License-Identifier: Apache-2.0

//! Sequences on the methods of `Address`.

use serde_json::{json, Value};
use vm_memory::{Address, GuestAddress, MemoryRegionAddress};

use crate::number::uint;
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;
use crate::trace::Trace;

pub fn record(rng: &mut Rng, trace: &mut Trace, operations: u64) {
    trace.layout("address", json!({}));
    while trace.played() < operations {
        let op = if rng.chance(60) {
            step::<GuestAddress>(rng, "guest")
        } else {
            step::<MemoryRegionAddress>(rng, "region")
        };
        trace.step(vec![op], || None);
    }
    trace.end(json!({}));
}

fn value(rng: &mut Rng) -> u64 {
    match rng.below(20) {
        0 => rng.huge(),
        1 => (1 << 53) - 1 - rng.below(5000),
        2 => rng.u64(),
        3..=4 => rng.below(3),
        5..=8 => rng.below(1 << 16),
        9..=12 => rng.below(1 << 32),
        13..=14 => (1 << rng.between(12, 52)) - rng.below(2),
        _ => rng.below(1 << 52),
    }
}

fn step<A: Address<V = u64>>(rng: &mut Rng, kind: &str) -> Op {
    let (a, b) = (value(rng), value(rng));
    let address = A::new(a);
    let power = 1
        << if rng.chance(80) {
            rng.below(22)
        } else {
            rng.below(64)
        };
    let optional = |found: Option<A>| found.map_or(Value::Null, |x| uint(x.raw_value()));
    let flagged = |(x, wrapped): (A, bool)| json!([uint(x.raw_value()), wrapped]);
    let (name, other, answer) = match rng.below(14) {
        0..=1 => ("checked_add", b, optional(address.checked_add(b))),
        2..=3 => ("checked_sub", b, optional(address.checked_sub(b))),
        4 => ("overflowing_add", b, flagged(address.overflowing_add(b))),
        5 => ("overflowing_sub", b, flagged(address.overflowing_sub(b))),
        6..=7 => {
            let distance = address.checked_offset_from(A::new(b));
            ("checked_offset_from", b, distance.map_or(Value::Null, uint))
        }
        8..=9 => {
            let aligned = address.checked_align_up(power);
            ("checked_align_up", power, optional(aligned))
        }
        10 => ("mask", b, uint(address.mask(b))),
        11 => ("and", b, uint((address & b).raw_value())),
        12 => ("or", b, uint((address | b).raw_value())),
        _ => ("cmp", b, json!(address.cmp(&A::new(b)) as i8)),
    };
    let args = vec![kind.into(), uint(a), uint(other)];
    Op::reading(format!("a.{name}"), args, Outcome::ok(answer))
}
