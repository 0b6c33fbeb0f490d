// SPDX-License-Identifier: Apache-2.0

//! `get_array_ref` and what the reference can do.

use serde_json::{json, Value};
use vm_memory::VolatileMemory;

use super::slice_ops::{element_bytes, elements, patterned, untouched};
use super::slice_path::Slice;
use crate::aim;
use crate::dirty::Tracking;
use crate::layout::World;
use crate::number::{size, uint};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::pattern;
use crate::rng::Rng;
use crate::sample::{with_element, Sample};

pub fn random<B: Tracking>(rng: &mut Rng, world: &World<B>, it: &Slice<B>) -> Op {
    with_element!(rng, T => typed::<T, B>(rng, world, it))
}

/// Where an array is taken, and of how many elements.
struct Array<'s, 'a, B: Tracking> {
    it: &'s Slice<'a, B>,
    offset: u64,
    n: usize,
}

impl<'s, B: Tracking> Array<'s, '_, B> {
    fn args<T: Sample>(&self, own: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let place = [
            self.it.path.clone(),
            uint(self.offset),
            T::NAME.into(),
            size(self.n),
        ];
        place.into_iter().chain(own).collect()
    }
}

fn typed<T: Sample, B: Tracking>(rng: &mut Rng, world: &World<B>, it: &Slice<B>) -> Op {
    let len = it.slice.len();
    let offset = aim::offset(rng, len as u64);
    let left = len.saturating_sub(offset as usize);
    let n = match rng.below(12) {
        0..=8 => rng.size(0, left / size_of::<T>()),
        9..=10 => elements::<T>(rng, left),
        _ => rng.huge() as usize,
    };
    let array = Array { it, offset, n };
    // An index outside of the array is a panic, as is asked of every Rust indexing.
    let index = rng.below(n.max(1) as u64) as usize;
    match rng.below(if n == 0 { 5 } else { 9 }) {
        0 => shape::<T, B>(&array),
        1..=2 => copy_to::<T, B>(rng, &array),
        3 => copy_from::<T, B>(rng, &array),
        4 => copy_to_slice::<T, B>(rng, world, &array),
        5..=6 => load::<T, B>(&array, index),
        _ => store(&array, index, T::sample(rng)),
    }
}

macro_rules! array_ref {
    ($array:expr, $T:ty) => {
        $array
            .it
            .slice
            .get_array_ref::<$T>($array.offset as usize, $array.n)
    };
}

fn shape<T: Sample, B: Tracking>(array: &Array<B>) -> Op {
    let outcome =
        Outcome::of(|| Outcome::from(array_ref!(array, T), |a| json!([a.len(), a.element_size()])));
    Op::reading("s.array", array.args::<T>([]), outcome)
}

fn load<T: Sample, B: Tracking>(array: &Array<B>, index: usize) -> Op {
    let outcome =
        Outcome::of(|| Outcome::from(array_ref!(array, T), |a| a.ref_at(index).load().json()));
    Op::reading("s.array_load", array.args::<T>([size(index)]), outcome)
}

fn store<T: Sample, B: Tracking>(array: &Array<B>, index: usize, value: T) -> Op {
    let outcome = Outcome::of(|| {
        Outcome::from(array_ref!(array, T), |a| {
            a.store(index, value);
            Value::Null
        })
    });
    Op::writing(
        "s.array_store",
        array.args::<T>([size(index), value.json()]),
        outcome,
    )
}

/// Elements of a buffer to copy to or from the array.
fn buffered<T: Sample, B: Tracking>(rng: &mut Rng, array: &Array<B>) -> usize {
    let len = array
        .it
        .slice
        .len()
        .min(array.n.saturating_mul(size_of::<T>()));
    elements::<T>(rng, len)
}

fn copy_to<T: Sample, B: Tracking>(rng: &mut Rng, array: &Array<B>) -> Op {
    let n = buffered::<T, B>(rng, array);
    let outcome = Outcome::of(|| {
        Outcome::from(array_ref!(array, T), |a| {
            let mut buf = untouched::<T>(n);
            let copied = a.copy_to(&mut buf);
            json!([copied, pattern::digest(&element_bytes(&buf))])
        })
    });
    Op::reading("s.array_copy_to", array.args::<T>([n.into()]), outcome)
}

fn copy_from<T: Sample, B: Tracking>(rng: &mut Rng, array: &Array<B>) -> Op {
    let n = buffered::<T, B>(rng, array);
    let seed = rng.pattern_seed();
    let outcome = Outcome::of(|| {
        Outcome::from(array_ref!(array, T), |a| {
            a.copy_from(&patterned::<T>(seed, n));
            Value::Null
        })
    });
    Op::writing(
        "s.array_copy_from",
        array.args::<T>([seed.into(), n.into()]),
        outcome,
    )
}

fn copy_to_slice<T: Sample, B: Tracking>(rng: &mut Rng, world: &World<B>, array: &Array<B>) -> Op {
    let target = Slice::random(rng, world);
    let args = array.args::<T>([target.path.clone()]);
    let outcome = Outcome::of(|| {
        Outcome::from(array_ref!(array, T), |a| {
            a.copy_to_volatile_slice(target.slice);
            Value::Null
        })
    });
    Op::writing("s.array_copy_to_volatile_slice", args, outcome)
}
