// SPDX-License-Identifier: Apache-2.0

//! The operations of `Bytes` that take a stream, and the quirks that they are tagged with.

use serde_json::{json, Value};
use vm_memory::Bytes;

use crate::aim;
use crate::bytes_ops::{write, Place};
use crate::number::size;
use crate::op::Op;
use crate::outcome::{Fault, Outcome};
use crate::rng::Rng;
use crate::sink::Sink;
use crate::source::Source;

/// The longest stream that is prepared for an operation.
const STREAM_LIMIT: usize = 150_000;

pub fn read_from<M, A>(rng: &mut Rng, place: &Place<M, A>, exact: bool) -> Vec<Op>
where
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let count = aim::exact_count(rng, place.reach).min(place.most);
    let wanted = count.min(place.room).min(STREAM_LIMIT);
    let mut source = if only_plain(place, wanted) {
        Source::plain(rng, wanted)
    } else {
        Source::random(rng, wanted, place.reach)
    };
    let outcome = Outcome::of(|| {
        let addr = place.addr;
        if exact {
            let result = place
                .bytes
                .read_exact_volatile_from(addr, &mut source, count);
            Outcome::from(result, |()| Value::Null)
        } else {
            match place.bytes.read_volatile_from(addr, &mut source, count) {
                Ok(n) => Outcome::ok(size(n)),
                Err(error) => Outcome::fault_at(&error, place.host),
            }
        }
    });
    let quirk = read_quirk(&outcome, &source, exact, place.spans_regions);
    let outcome = match source.used() {
        Some(used) => outcome.with("used", used),
        None => outcome,
    };
    let method = if exact {
        "read_exact_volatile_from"
    } else {
        "read_volatile_from"
    };
    let args = place.args([source.spec(), size(count)]);
    let op = Op::writing(place.name(method), args, outcome);
    match quirk {
        None => vec![op.tag_zero(count)],
        // Whatever an implementation did instead lies inside the range: writing it over makes states equal.
        Some(quirk) => {
            let mut op = op.tagged(quirk);
            op.dirty = (place.dirty)();
            let repair = write(place, rng.pattern_seed(), count.min(place.room));
            vec![op, repair]
        }
    }
}

/// The name of the quirk that the operation ran into, if any.
fn read_quirk(
    outcome: &Outcome,
    source: &Source,
    exact: bool,
    spans_regions: bool,
) -> Option<&'static str> {
    let calls = source.calls();
    if spans_regions {
        let short = calls
            .iter()
            .position(|c| c.got.is_some_and(|got| got < c.asked));
        match short {
            Some(i) if calls[i + 1..].iter().any(|c| c.got != Some(0)) => return Some("gap"),
            Some(_) if exact && source.has_more() => return Some("exact"),
            None if calls.len() > 1 && calls.last().is_some_and(|c| c.got.is_none()) => {
                return Some("lost");
            }
            _ => {}
        }
    } else if exact && outcome.field("kind").is_some_and(|k| k == "UnexpectedEof") {
        return Some("eof");
    }
    if source.is_descriptor() && outcome.field("errno").is_some() {
        return Some("errdirty");
    }
    None
}

pub fn write_to<M, A>(rng: &mut Rng, place: &Place<M, A>, all: bool) -> Op
where
    M: Bytes<A>,
    M::E: Fault,
    A: Copy,
{
    let count = aim::count(rng, place.reach).min(place.most);
    let wanted = count.min(place.room).min(STREAM_LIMIT);
    let (mut sink, spec) = Sink::random(rng, wanted, only_plain(place, wanted));
    let outcome = Outcome::of(|| {
        let addr = place.addr;
        if all {
            let result = place.bytes.write_all_volatile_to(addr, &mut sink, count);
            Outcome::from(result, |()| Value::Null)
        } else {
            match place.bytes.write_volatile_to(addr, &mut sink, count) {
                Ok(n) => Outcome::ok(size(n)),
                Err(error) => Outcome::fault_at(&error, place.host),
            }
        }
    });
    let lost = place.spans_regions && !all && outcome.label() == "IOError";
    let outcome = match sink.content() {
        Some(content) => outcome.with("sink", json!(content)),
        None => outcome,
    };
    let method = if all {
        "write_all_volatile_to"
    } else {
        "write_volatile_to"
    };
    let op = Op::reading(place.name(method), place.args([spec, size(count)]), outcome);
    if lost {
        op.tagged("sink")
    } else {
        op.tag_zero(count)
    }
}

/// A descriptor asked for zero bytes answers as its driver pleases, which is nothing to compare with.
fn only_plain<M, A>(place: &Place<M, A>, wanted: usize) -> bool {
    wanted == 0 && !place.spans_regions
}
