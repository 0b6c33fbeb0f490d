// SPDX-License-Identifier: Apache-2.0

//! Copies straight through a volatile slice, with no guest memory around it.

use std::hint::black_box;

use vm_memory::VolatileSlice;

use crate::harness::{Aligned, Suite};

const BYTES: usize = 1024;
const SLICE_TO_SLICE_BYTES: usize = 10 * 1024;

pub fn add_to(suite: &mut Suite) {
    let Aligned(storage) = &mut Aligned([0xa5u8; BYTES]);
    let whole = VolatileSlice::from(&mut storage[..]);
    // Half of the bytes, under twice the elements they hold: only 256 elements move.
    let half = whole.subslice(0, BYTES / 2).unwrap();
    let Aligned(bytes) = &mut Aligned([0u8; BYTES]);
    let Aligned(words) = &mut Aligned([0u16; BYTES / 2]);

    suite.case("VolatileSlice::copy_to_u8", || {
        whole.copy_to(black_box(&mut bytes[..]))
    });
    suite.case("VolatileSlice::copy_to_u16", || {
        half.copy_to(black_box(&mut words[..]))
    });
    add_slice_to_slice(suite);
    suite.case("VolatileSlice::copy_from_u8", || {
        whole.copy_from(black_box(&bytes[..]))
    });
    suite.case("VolatileSlice::copy_from_u16", || {
        half.copy_from(black_box(&words[..]))
    });
}

fn add_slice_to_slice(suite: &mut Suite) {
    let Aligned(source) = &mut Aligned([0xa5u8; SLICE_TO_SLICE_BYTES]);
    let Aligned(target) = &mut Aligned([0u8; SLICE_TO_SLICE_BYTES]);
    let source = VolatileSlice::from(&mut source[..]);
    let target = VolatileSlice::from(&mut target[..]);

    suite.case("VolatileSlice::copy_to_volatile_slice", || {
        black_box(source).copy_to_volatile_slice(target)
    });
}
