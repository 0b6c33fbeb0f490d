// SPDX-License-Identifier: Apache-2.0

//! Accesses through guest memory: 14 kinds at each of four places.

use std::fs::{File, OpenOptions};
use std::hint::black_box;

use vm_memory::{ByteValued, Bytes, GuestAddress, GuestMemoryMmap};

use super::{adjacent_regions, ACCESS_SIZE};
use crate::harness::{Aligned, Suite};

const REGION_COUNT: u64 = 8;
const REGION_SIZE: u64 = 2 << 30;

#[derive(Clone, Copy)]
#[repr(C)]
struct SmallDummy {
    a: u32,
    b: u32,
}

// SAFETY: two `u32` side by side: any bytes are valid and there is no padding.
unsafe impl ByteValued for SmallDummy {}

#[derive(Clone, Copy)]
#[repr(C)]
struct BigDummy {
    elements: [u64; 12],
}

// SAFETY: an array of `u64`: any bytes are valid and there is no padding.
unsafe impl ByteValued for BigDummy {}

enum Place {
    /// At the start of this region.
    InRegion(u64),
    /// Half of the access at the end of this region, half at the start of the next.
    CrossRegion(u64),
}

impl Place {
    fn address_of(&self, access_size: usize) -> GuestAddress {
        GuestAddress(match self {
            Self::InRegion(index) => index * REGION_SIZE,
            Self::CrossRegion(index) => (index + 1) * REGION_SIZE - access_size as u64 / 2,
        })
    }
}

pub fn add_to(suite: &mut Suite) {
    let memory = adjacent_regions(REGION_COUNT, REGION_SIZE as usize);
    for place in [
        Place::InRegion(0),
        Place::CrossRegion(0),
        Place::CrossRegion(REGION_COUNT - 2),
        Place::InRegion(REGION_COUNT - 1),
    ] {
        add_reads(suite, &memory, &place);
        add_writes(suite, &memory, &place);
    }
}

// The memory and the results are boxed in each iteration, as upstream does. Addresses, buffers and
// objects need no box: the harness keeps whatever a routine captured out of the optimizer's sight.

fn add_reads(suite: &mut Suite, memory: &GuestMemoryMmap<()>, place: &Place) {
    let Aligned(image) = &Aligned([0x5au8; ACCESS_SIZE]);
    let mut zeros = File::open("/dev/zero").expect("/dev/zero should open");
    let Aligned(buffer) = &mut Aligned([0u8; ACCESS_SIZE]);

    let address = place.address_of(ACCESS_SIZE);
    let offset = address.0;
    suite.case(format!("read_from_{offset:#0X}"), || {
        black_box(memory)
            .read_volatile_from(address, &mut image.as_slice(), ACCESS_SIZE)
            .unwrap()
    });
    suite.case(format!("read_from_file_{offset:#0X}"), || {
        black_box(memory)
            .read_volatile_from(address, &mut zeros, ACCESS_SIZE)
            .unwrap()
    });
    suite.case(format!("read_exact_from_{offset:#0X}"), || {
        black_box(memory)
            .read_exact_volatile_from(address, &mut image.as_slice(), ACCESS_SIZE)
            .unwrap()
    });
    suite.case(format!("read_entire_slice_from_{offset:#0X}"), || {
        black_box(memory).read_slice(buffer, address).unwrap()
    });
    suite.case(format!("read_slice_from_{offset:#0X}"), || {
        black_box(memory).read(buffer, address).unwrap()
    });

    let address = place.address_of(size_of::<SmallDummy>());
    suite.case(format!("read_small_obj_from_{:#0X}", address.0), || {
        black_box(memory).read_obj::<SmallDummy>(address).unwrap()
    });

    let address = place.address_of(size_of::<BigDummy>());
    suite.case(format!("read_big_obj_from_{:#0X}", address.0), || {
        black_box(memory).read_obj::<BigDummy>(address).unwrap()
    });
}

fn add_writes(suite: &mut Suite, memory: &GuestMemoryMmap<()>, place: &Place) {
    let Aligned(image) = &mut Aligned([0u8; ACCESS_SIZE]);
    let mut null = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .expect("/dev/null should open");
    let Aligned(buffer) = &Aligned([0x5au8; ACCESS_SIZE]);
    let small = SmallDummy {
        a: 0x0123_4567,
        b: 0x89ab_cdef,
    };
    let big = BigDummy {
        elements: [0x0123_4567_89ab_cdef; 12],
    };

    let address = place.address_of(ACCESS_SIZE);
    let offset = address.0;
    suite.case(format!("write_to_{offset:#0X}"), || {
        black_box(memory)
            .write_volatile_to(address, &mut image.as_mut_slice(), ACCESS_SIZE)
            .unwrap()
    });
    suite.case(format!("write_to_file_{offset:#0X}"), || {
        black_box(memory)
            .write_volatile_to(address, &mut null, ACCESS_SIZE)
            .unwrap()
    });
    suite.case(format!("write_exact_to_{offset:#0X}"), || {
        black_box(memory)
            .write_all_volatile_to(address, &mut image.as_mut_slice(), ACCESS_SIZE)
            .unwrap()
    });
    suite.case(format!("write_entire_slice_to_{offset:#0X}"), || {
        black_box(memory).write_slice(buffer, address).unwrap()
    });
    suite.case(format!("write_slice_to_{offset:#0X}"), || {
        black_box(memory).write(buffer, address).unwrap()
    });

    let address = place.address_of(size_of::<SmallDummy>());
    suite.case(format!("write_small_obj_to_{:#0X}", address.0), || {
        black_box(memory).write_obj(small, address).unwrap()
    });

    let address = place.address_of(size_of::<BigDummy>());
    suite.case(format!("write_big_obj_to_{:#0X}", address.0), || {
        black_box(memory).write_obj(big, address).unwrap()
    });
}
