// SPDX-License-Identifier: Apache-2.0

//! Snapshots of a published collection, held across later publications.

use std::sync::Arc;

use serde_json::Value;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard};

use super::{list, Collection};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::rng::Rng;

const SLOTS: usize = 6;

enum Held {
    Guard(GuestMemoryLoadGuard<Collection>),
    Inner(Arc<Collection>),
}

impl Held {
    fn collection(&self) -> &Collection {
        match self {
            Held::Guard(guard) => guard,
            Held::Inner(inner) => inner,
        }
    }
}

/// A `GuestMemoryAtomic`, and the snapshots that are held of it.
pub struct Published {
    atomic: GuestMemoryAtomic<Collection>,
    held: [Option<Held>; SLOTS],
}

impl Published {
    pub fn new() -> Self {
        Published {
            atomic: GuestMemoryAtomic::new(Collection::new()),
            held: Default::default(),
        }
    }

    pub fn step(&mut self, rng: &mut Rng, current: &Collection) -> Op {
        let slot = rng.size(0, SLOTS - 1);
        match rng.below(10) {
            0..=1 => {
                let guard = self.atomic.memory();
                let seen = list(&guard);
                self.held[slot] = Some(Held::Guard(guard));
                op("memory", Some(slot), seen)
            }
            2 => {
                let inner = self.atomic.memory().into_inner();
                let seen = list(&inner);
                self.held[slot] = Some(Held::Inner(inner));
                op("memory_into_inner", Some(slot), seen)
            }
            3..=5 => {
                let guard = self.atomic.lock().expect("nobody panics under the lock");
                guard.replace(current.clone());
                op("lock_replace", None, Value::Null)
            }
            6 => {
                drop(self.atomic.lock().expect("nobody panics under the lock"));
                op("lock_drop", None, Value::Null)
            }
            7 => op("now", None, list(&self.atomic.clone().memory())),
            8 => {
                let seen = self.held[slot].as_ref().map(|h| list(h.collection()));
                op("held", Some(slot), seen.unwrap_or(Value::Null))
            }
            _ => {
                self.held[slot] = None;
                op("release", Some(slot), Value::Null)
            }
        }
    }
}

fn op(name: &str, slot: Option<usize>, answer: Value) -> Op {
    let args = slot.into_iter().map(Value::from).collect();
    Op::reading(format!("g.{name}"), args, Outcome::ok(answer))
}
