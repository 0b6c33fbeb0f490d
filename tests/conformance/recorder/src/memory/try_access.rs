// SPDX-License-Identifier: Apache-2.0

//! `try_access` with a scripted callback.

use std::cell::RefCell;

use serde_json::{json, Value};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryError};

use crate::aim;
use crate::dirty::Tracking;
use crate::layout::World;
use crate::number::size;
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;

/// What the callback answers to one call.
#[derive(Clone, Copy)]
enum Answer {
    /// As much as it was offered.
    All,
    Bytes(usize),
    /// `HostAddressNotAvailable`
    Error,
}

impl Answer {
    fn random(rng: &mut Rng, reach: usize) -> Self {
        match rng.below(12) {
            0..=5 => Answer::All,
            6..=8 => Answer::Bytes(rng.size(1, reach)),
            9 => Answer::Bytes(rng.size(0, 2 * reach)),
            10 => Answer::Bytes(if rng.chance(50) {
                0
            } else {
                rng.huge() as usize
            }),
            _ => Answer::Error,
        }
    }

    fn json(self) -> Value {
        match self {
            Answer::All => "all".into(),
            Answer::Bytes(n) => size(n),
            Answer::Error => "error".into(),
        }
    }
}

pub fn op<B: Tracking>(rng: &mut Rng, world: &World<B>, addr: GuestAddress, reach: usize) -> Op {
    let count = if rng.chance(5) {
        usize::MAX
    } else {
        aim::count(rng, reach)
    };
    let mut script: Vec<Answer> = (0..rng.below(5))
        .map(|_| Answer::random(rng, reach))
        .collect();
    if count == usize::MAX && rng.chance(50) {
        // From most addresses on this goes past the end of the address space.
        script = vec![Answer::Bytes(usize::MAX - rng.size(1, 2))];
    }
    let calls = RefCell::new(Vec::new());
    let outcome = Outcome::of(|| {
        #[allow(deprecated)]
        let result = world
            .mem
            .try_access(count, addr, |total, len, offset, region| {
                let mut calls = calls.borrow_mut();
                let answer = script.get(calls.len()).copied().unwrap_or(Answer::All);
                calls.push(json!([
                    size(total),
                    len,
                    size(offset.0 as usize),
                    world.index_of(region)
                ]));
                match answer {
                    Answer::All => Ok(len),
                    Answer::Bytes(n) => Ok(n),
                    Answer::Error => Err(GuestMemoryError::HostAddressNotAvailable),
                }
            });
        Outcome::from(result, size)
    });
    let args = vec![
        size(count),
        size(addr.0 as usize),
        script.iter().map(|a| a.json()).collect(),
    ];
    Op::reading(
        "m.try_access",
        args,
        outcome.with("calls", calls.into_inner()),
    )
}
