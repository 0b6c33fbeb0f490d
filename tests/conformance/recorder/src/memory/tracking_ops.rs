// SPDX-License-Identifier: Apache-2.0

//! Operations on the regions' bitmaps as a whole; other operations where there are none.

use serde_json::Value;
use vm_memory::GuestMemoryBackend;

use super::map_ops;
use crate::aim;
use crate::dirty::{self, Tracking};
use crate::layout::World;
use crate::number::{size, uint};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;

pub fn random<B: Tracking>(rng: &mut Rng, world: &World<B>) -> Op {
    let k = rng.size(0, world.extents.len() - 1);
    let Some(bitmap) = (**world.region(k)).bitmap().pages() else {
        return map_ops::random(rng, world);
    };
    match rng.below(4) {
        0 => Op::writing(
            "reset_dirty",
            vec![],
            Outcome::of(|| {
                for region in world.mem.iter() {
                    if let Some(bitmap) = (**region).bitmap().pages() {
                        bitmap.reset();
                    }
                }
                Outcome::ok(Value::Null)
            }),
        ),
        1..=2 => {
            let start = aim::offset(rng, world.extents[k].size);
            let left = world.extents[k].size.saturating_sub(start) as usize;
            let len = aim::exact_count(rng, left);
            Op::writing(
                "r.reset_addr_range",
                vec![k.into(), uint(start), size(len)],
                Outcome::of(|| {
                    bitmap.reset_addr_range(start as usize, len);
                    Outcome::ok(Value::Null)
                }),
            )
        }
        _ => Op::writing(
            "r.take_dirty",
            vec![k.into()],
            Outcome::of(|| Outcome::ok(dirty::word_runs(&bitmap.get_and_reset()))),
        ),
    }
}
