// SPDX-License-Identifier: Apache-2.0

//! Operations on slices: those of `Bytes`, taking slices of them, copying, references.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{json, Value};
use vm_memory::bitmap::Bitmap;
use vm_memory::{AtomicAccess, AtomicInteger, ByteValued, VolatileMemory};

use super::array_ops;
use super::slice_path::Slice;
use crate::aim;
use crate::bytes_ops::{self, Place};
use crate::dirty::Tracking;
use crate::layout::World;
use crate::number::{size, uint};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::pattern;
use crate::rng::Rng;
use crate::sample::{with_element, with_object, with_scalar, Sample};

pub fn random<B: Tracking>(rng: &mut Rng, world: &World<B>) -> Vec<Op> {
    let slice = Slice::random(rng, world);
    match rng.below(100) {
        0..=34 => bytes(rng, world, &slice),
        35..=48 => vec![part(rng, &slice)],
        49..=60 => vec![copy(rng, world, &slice)],
        61..=72 => vec![reference(rng, &slice)],
        73..=90 => vec![array_ops::random(rng, world, &slice)],
        91..=95 => vec![with_scalar!(rng, T => atomic::<T, B>(rng, &slice))],
        _ => vec![bitmap(rng, &slice)],
    }
}

fn bytes<B: Tracking>(rng: &mut Rng, world: &World<B>, slice: &Slice<B>) -> Vec<Op> {
    let len = slice.slice.len();
    let raw = aim::offset(rng, len as u64);
    let left = (len as u64).saturating_sub(raw) as usize;
    bytes_ops::random(
        rng,
        &Place {
            level: "s",
            bytes: &slice.slice,
            addr: raw as usize,
            args: vec![slice.path.clone(), uint(raw)],
            reach: if left == 0 { 64 } else { left },
            room: left,
            most: usize::MAX,
            host: Some(slice.host()),
            dirty: &|| world.dirty_count(),
            spans_regions: false,
        },
    )
}

/// Taking slices of the slice, and the arithmetic behind it.
fn part<B: Tracking>(rng: &mut Rng, it: &Slice<B>) -> Op {
    let len = it.slice.len();
    let raw = aim::offset(rng, len as u64);
    let offset = raw as usize;
    let count = aim::count(rng, len.saturating_sub(offset));
    let path = it.path.clone();
    match rng.below(7) {
        0..=1 => Op::reading(
            "s.subslice",
            vec![path, uint(raw), size(count)],
            Outcome::of(|| Outcome::from(it.slice.subslice(offset, count), |s| it.place(&s))),
        ),
        2..=3 => Op::reading(
            "s.offset",
            vec![path, uint(raw)],
            Outcome::of(|| match it.slice.offset(offset) {
                Ok(s) => Outcome::ok(it.place(&s)),
                Err(error) => Outcome::fault_at(&error, Some(it.host())),
            }),
        ),
        4 => Op::reading(
            "s.split_at",
            vec![path, uint(raw)],
            Outcome::of(|| match it.slice.split_at(offset) {
                Ok((low, high)) => Outcome::ok(json!([it.place(&low), it.place(&high)])),
                Err(error) => Outcome::fault_at(&error, Some(it.host())),
            }),
        ),
        5 => Op::reading(
            "s.compute_end_offset",
            vec![path, uint(raw), size(count)],
            Outcome::of(|| Outcome::from(it.slice.compute_end_offset(offset, count), size)),
        ),
        _ => Op::reading(
            "s.len",
            vec![path],
            Outcome::of(|| Outcome::ok(it.slice.len())),
        ),
    }
}

/// Whole-slice copies.
fn copy<B: Tracking>(rng: &mut Rng, world: &World<B>, it: &Slice<B>) -> Op {
    match rng.below(3) {
        0 => with_element!(rng, T => copy_to::<T, B>(rng, it)),
        1 => with_element!(rng, T => copy_from::<T, B>(rng, it)),
        _ => {
            // Within one region the two often overlap.
            let target = if rng.chance(60) {
                Slice::in_region(rng, world, it.region)
            } else {
                Slice::random(rng, world)
            };
            Op::writing(
                "s.copy_to_volatile_slice",
                vec![it.path.clone(), target.path],
                Outcome::of(|| {
                    it.slice.copy_to_volatile_slice(target.slice);
                    Outcome::ok(Value::Null)
                }),
            )
        }
    }
}

/// Elements to copy to or from `len` bytes: about as many as fit.
pub fn elements<T>(rng: &mut Rng, len: usize) -> usize {
    let fitting = len / size_of::<T>();
    match rng.below(6) {
        0..=1 => fitting,
        2 => rng.size(0, fitting),
        3 => fitting + rng.size(1, 20),
        _ => rng.size(0, 40),
    }
}

/// `n` elements whose bytes are the pattern's.
pub fn patterned<T: Sample>(seed: u32, n: usize) -> Vec<T> {
    let size = size_of::<T>();
    let bytes = pattern::bytes(seed, n * size);
    bytes.chunks_exact(size).map(element).collect()
}

/// `n` elements whose bytes say that nothing was copied.
pub fn untouched<T: Sample>(n: usize) -> Vec<T> {
    vec![element(&pattern::untouched(size_of::<T>())); n]
}

fn element<T: ByteValued>(bytes: &[u8]) -> T {
    let mut value = T::zeroed();
    value.as_mut_slice().copy_from_slice(bytes);
    value
}

pub fn element_bytes<T: ByteValued>(elements: &[T]) -> Vec<u8> {
    elements
        .iter()
        .flat_map(|e| e.as_slice())
        .copied()
        .collect()
}

fn copy_to<T: Sample, B: Tracking>(rng: &mut Rng, it: &Slice<B>) -> Op {
    let n = elements::<T>(rng, it.slice.len());
    Op::reading(
        "s.copy_to",
        vec![it.path.clone(), T::NAME.into(), n.into()],
        Outcome::of(|| {
            let mut buf = untouched::<T>(n);
            let copied = it.slice.copy_to(&mut buf);
            Outcome::ok(json!([copied, pattern::digest(&element_bytes(&buf))]))
        }),
    )
}

fn copy_from<T: Sample, B: Tracking>(rng: &mut Rng, it: &Slice<B>) -> Op {
    let n = elements::<T>(rng, it.slice.len());
    let seed = rng.pattern_seed();
    Op::writing(
        "s.copy_from",
        vec![it.path.clone(), T::NAME.into(), seed.into(), n.into()],
        Outcome::of(|| {
            it.slice.copy_from(&patterned::<T>(seed, n));
            Outcome::ok(Value::Null)
        }),
    )
}

/// `get_ref` and what the reference can do.
fn reference<B: Tracking>(rng: &mut Rng, it: &Slice<B>) -> Op {
    let raw = aim::offset(rng, it.slice.len() as u64);
    if rng.chance(50) {
        with_object!(rng, T => ref_load::<T, B>(it, raw))
    } else {
        with_object!(rng, T => ref_store(it, raw, T::sample(rng)))
    }
}

fn ref_load<T: Sample, B: Tracking>(it: &Slice<B>, raw: u64) -> Op {
    Op::reading(
        "s.ref_load",
        vec![it.path.clone(), uint(raw), T::NAME.into()],
        Outcome::of(|| Outcome::from(it.slice.get_ref::<T>(raw as usize), |r| r.load().json())),
    )
}

fn ref_store<T: Sample, B: Tracking>(it: &Slice<B>, raw: u64, value: T) -> Op {
    Op::writing(
        "s.ref_store",
        vec![it.path.clone(), uint(raw), T::NAME.into(), value.json()],
        Outcome::of(|| {
            Outcome::from(it.slice.get_ref::<T>(raw as usize), |r| {
                r.store(value);
                Value::Null
            })
        }),
    )
}

/// `get_atomic_ref`, with a load through the reference.
fn atomic<T: Sample + AtomicAccess, B: Tracking>(rng: &mut Rng, it: &Slice<B>) -> Op {
    let raw = aim::offset(rng, it.slice.len() as u64);
    Op::reading(
        "s.atomic_ref_load",
        vec![it.path.clone(), uint(raw), T::NAME.into()],
        Outcome::of(|| {
            Outcome::from(it.slice.get_atomic_ref::<T::A>(raw as usize), |r| {
                T::from(r.load(SeqCst)).json()
            })
        }),
    )
}

/// The slice's own view of the bitmap.
fn bitmap<B: Tracking>(rng: &mut Rng, it: &Slice<B>) -> Op {
    let len = it.slice.len();
    let raw = loop {
        let raw = aim::offset(rng, len as u64);
        // Offsets that wrap around the bitmap's own are a hazard that nobody should copy.
        if raw < 1 << 62 {
            break raw;
        }
    };
    let offset = raw as usize;
    if rng.chance(50) {
        return Op::reading(
            "s.dirty_at",
            vec![it.path.clone(), uint(raw)],
            Outcome::of(|| Outcome::ok(it.slice.bitmap().dirty_at(offset))),
        );
    }
    let count = aim::length(rng, len.saturating_sub(offset));
    Op::writing(
        "s.mark_dirty",
        vec![it.path.clone(), uint(raw), count.into()],
        Outcome::of(|| {
            it.slice.bitmap().mark_dirty(offset, count);
            Outcome::ok(Value::Null)
        }),
    )
}
