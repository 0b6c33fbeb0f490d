// SPDX-License-Identifier: Apache-2.0

//! The operations of `Bytes`, which memories, regions, slices and translated memories share.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{json, Value};
use vm_memory::{AtomicAccess, Bytes};

use crate::aim::length;
use crate::number::size;
use crate::op::Op;
use crate::outcome::{Fault, Outcome};
use crate::pattern;
use crate::rng::Rng;
use crate::sample::{with_object, with_scalar, Sample};

/// Something to access, and where.
pub struct Place<'a, M, A> {
    /// The prefix of the operations' names.
    pub level: &'static str,
    pub bytes: &'a M,
    pub addr: A,
    /// The arguments that say where, in front of the operation's own.
    pub args: Vec<Value>,
    /// Bytes from `addr` to the next boundary.
    pub reach: usize,
    /// The most bytes that an access at `addr` can touch.
    pub room: usize,
    /// The highest number of bytes to ask for.
    pub most: usize,
    /// Where the slice starts on the host, for levels whose stream errors carry host addresses.
    pub host: Option<usize>,
    /// The dirty count, if there are bitmaps.
    pub dirty: &'a dyn Fn() -> Option<Value>,
    /// Whether an access can go on from one region to the next.
    pub spans_regions: bool,
}

impl<M, A> Place<'_, M, A> {
    pub fn name(&self, method: &str) -> String {
        format!("{}.{method}", self.level)
    }

    pub fn args(&self, own: impl IntoIterator<Item = Value>) -> Vec<Value> {
        self.args.iter().cloned().chain(own).collect()
    }
}

/// One of the operations, and a repair after those that leave a state nobody else would.
pub fn random<M, A>(rng: &mut Rng, place: &Place<M, A>) -> Vec<Op>
where
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    vec![match rng.below(100) {
        0..=11 => {
            let len = length(rng, place.reach);
            write(place, rng.pattern_seed(), len)
        }
        12..=23 => read(place, length(rng, place.reach)),
        24..=33 => write_slice(place, rng.pattern_seed(), length(rng, place.reach)),
        34..=43 => read_slice(place, length(rng, place.reach)),
        44..=55 => with_object!(rng, T => write_obj(place, T::sample(rng))),
        56..=67 => with_object!(rng, T => read_obj::<T, M, A>(place)),
        68..=75 => with_scalar!(rng, T => store(place, T::sample(rng))),
        76..=83 => with_scalar!(rng, T => load::<T, M, A>(place)),
        84..=89 => return crate::stream_ops::read_from(rng, place, false),
        90..=93 => return crate::stream_ops::read_from(rng, place, true),
        94..=96 => crate::stream_ops::write_to(rng, place, false),
        _ => crate::stream_ops::write_to(rng, place, true),
    }]
}

pub fn write<M, A>(place: &Place<M, A>, seed: u32, len: usize) -> Op
where
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let data = pattern::bytes(seed, len);
    let outcome = Outcome::of(|| Outcome::from(place.bytes.write(&data, place.addr), size));
    let args = place.args([seed.into(), len.into()]);
    Op::writing(place.name("write"), args, outcome).tag_zero(len)
}

pub fn read<M, A>(place: &Place<M, A>, len: usize) -> Op
where
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let mut buf = pattern::untouched(len);
    let outcome = Outcome::of(|| {
        let result = place.bytes.read(&mut buf, place.addr);
        Outcome::from(result, |n| json!([n, pattern::digest(&buf)]))
    });
    Op::reading(place.name("read"), place.args([len.into()]), outcome).tag_zero(len)
}

fn write_slice<M, A>(place: &Place<M, A>, seed: u32, len: usize) -> Op
where
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let data = pattern::bytes(seed, len);
    let outcome = Outcome::of(|| {
        let result = place.bytes.write_slice(&data, place.addr);
        Outcome::from(result, |()| Value::Null)
    });
    let args = place.args([seed.into(), len.into()]);
    Op::writing(place.name("write_slice"), args, outcome).tag_zero(len)
}

fn read_slice<M, A>(place: &Place<M, A>, len: usize) -> Op
where
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let mut buf = pattern::untouched(len);
    let outcome = Outcome::of(|| match place.bytes.read_slice(&mut buf, place.addr) {
        Ok(()) => Outcome::ok(pattern::digest(&buf)),
        Err(error) => {
            let outcome = Outcome::fault(&error);
            if outcome.label() == "PartialBuffer" {
                outcome.with("data", pattern::digest(&buf))
            } else {
                outcome
            }
        }
    });
    Op::reading(place.name("read_slice"), place.args([len.into()]), outcome).tag_zero(len)
}

fn write_obj<T, M, A>(place: &Place<M, A>, value: T) -> Op
where
    T: Sample,
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let outcome = Outcome::of(|| {
        let result = place.bytes.write_obj(value, place.addr);
        Outcome::from(result, |()| Value::Null)
    });
    let args = place.args([T::NAME.into(), value.json()]);
    Op::writing(place.name("write_obj"), args, outcome)
}

fn read_obj<T, M, A>(place: &Place<M, A>) -> Op
where
    T: Sample,
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let outcome = Outcome::of(|| {
        let result = place.bytes.read_obj::<T>(place.addr);
        Outcome::from(result, |value| value.json())
    });
    Op::reading(
        place.name("read_obj"),
        place.args([T::NAME.into()]),
        outcome,
    )
}

fn store<T, M, A>(place: &Place<M, A>, value: T) -> Op
where
    T: Sample + AtomicAccess,
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let outcome = Outcome::of(|| {
        let result = place.bytes.store(value, place.addr, SeqCst);
        Outcome::from(result, |()| Value::Null)
    });
    let args = place.args([T::NAME.into(), value.json()]);
    Op::writing(place.name("store"), args, outcome)
}

fn load<T, M, A>(place: &Place<M, A>) -> Op
where
    T: Sample + AtomicAccess,
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let outcome = Outcome::of(|| {
        let result = place.bytes.load::<T>(place.addr, SeqCst);
        Outcome::from(result, |value| value.json())
    });
    Op::reading(place.name("load"), place.args([T::NAME.into()]), outcome)
}
