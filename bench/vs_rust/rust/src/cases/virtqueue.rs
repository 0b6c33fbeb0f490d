// SPDX-License-Identifier: Apache-2.0

//! Requests of a block device through a virtqueue of `virtio-queue`: one iteration takes a chain of
//! three descriptors, reads the header, writes the data and the status, and returns the chain.
//!
//! `request` is memory without a bitmap, `tracked` memory with an `AtomicBitmap`, a bit for 4 KiB;
//! the number is how many bytes of data are written. The device uses the crate's `Reader` and
//! `Writer`, which check the chain and take a header in any buffers. In the cases that end in
//! `by_descriptor` it relies on what the chain looks like, and takes descriptor after descriptor.

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicU16, Ordering};

use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use vm_memory::bitmap::{AtomicBitmap, Bitmap, NewBitmap};
use vm_memory::{ByteValued, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::harness::{Aligned, Suite};

const REGION_SIZE: usize = 16 << 20;
const PAGE_SIZE: usize = 4096;

const QUEUE_SIZE: u16 = 256;
const TABLE: u64 = 0x1000;
const AVAIL_RING: u64 = 0x2000;
const USED_RING: u64 = 0x3000;
const RING_INDEX: u64 = 2;
const RING_ENTRIES: u64 = 4;

const CHAIN_LENGTH: u16 = 3;
/// As many chains as the table has room for. Chain `i` begins at descriptor `3 * i`.
const CHAINS: u16 = QUEUE_SIZE / CHAIN_LENGTH;

/// Header and status of a request are side by side, in a cache line of their own.
const HEADERS: u64 = 0x4000;
const HEADER_STRIDE: u64 = 64;
const DATA: u64 = 0x10_0000;
/// Not a power of two, or all data would compete for the same sets of the cache.
const DATA_STRIDE: u64 = 0x1_1000;
const DATA_SIZE: usize = 4096;

const NEXT: u16 = 1;
const WRITE: u16 = 2;

const BY_DESCRIPTOR: &str = "/by_descriptor";

const STATUS_OK: u8 = 0;
const STATUS_SIZE: u32 = 1;

/// `struct virtio_blk_req`, as far as the device reads it.
#[derive(Clone, Copy)]
#[repr(C)]
struct RequestHeader {
    kind: u32,
    reserved: u32,
    sector: u64,
}

// SAFETY: any bytes are valid, and eight bytes of `u32` precede the `u64`: there is no padding.
unsafe impl ByteValued for RequestHeader {}

/// The cases of `Reader` and `Writer`.
pub fn add_to(suite: &mut Suite) {
    add_requests::<()>(suite, "request", "", serve);
    add_requests::<AtomicBitmap>(suite, "tracked", "", serve);
}

/// The cases without them.
pub fn add_by_descriptor_to(suite: &mut Suite) {
    add_requests::<()>(suite, "request", BY_DESCRIPTOR, serve_by_descriptor);
    add_requests::<AtomicBitmap>(suite, "tracked", BY_DESCRIPTOR, serve_by_descriptor);
}

fn add_requests<B: NewBitmap>(
    suite: &mut Suite,
    kind: &str,
    how: &str,
    serve: impl Fn(&mut Queue, &GuestMemoryMmap<B>, &[u8]) + Copy,
) {
    let Aligned(data) = &Aligned([0x5au8; DATA_SIZE]);
    for written in [0, DATA_SIZE] {
        let memory = memory_with_requests::<B>();
        let driver = Driver::new(&memory);
        let mut queue = ready_queue();
        let mut made_available = 0u16;
        suite.case(format!("virtqueue/{kind}/{written}{how}"), || {
            made_available = made_available.wrapping_add(1);
            driver.make_available(made_available);
            serve(&mut queue, black_box(&memory), &data[..written]);
        });
    }
}

/// The device's side, as streams.
fn serve<B: Bitmap>(queue: &mut Queue, memory: &GuestMemoryMmap<B>, data: &[u8]) {
    let chain = queue.pop_descriptor_chain(memory).unwrap();
    let head = chain.head_index();
    let mut reader = chain.clone().reader(memory).unwrap();
    let mut writer = chain.writer(memory).unwrap();

    black_box(reader.read_obj::<RequestHeader>().unwrap());
    let mut status = writer.split_at(DATA_SIZE).unwrap();
    writer.write_all(data).unwrap();
    status.write_obj(STATUS_OK).unwrap();

    let written = data.len() as u32 + STATUS_SIZE;
    queue.add_used(memory, head, written).unwrap();
}

/// The device's side. What a device checks of a chain is left out.
fn serve_by_descriptor<B: Bitmap>(queue: &mut Queue, memory: &GuestMemoryMmap<B>, data: &[u8]) {
    let mut chain = queue.pop_descriptor_chain(memory).unwrap();
    let header_at = chain.next().unwrap().addr();
    let data_at = chain.next().unwrap().addr();
    let status_at = chain.next().unwrap().addr();

    black_box(memory.read_obj::<RequestHeader>(header_at).unwrap());
    memory.write_slice(data, data_at).unwrap();
    memory.write_obj(STATUS_OK, status_at).unwrap();

    let written = data.len() as u32 + STATUS_SIZE;
    queue.add_used(memory, chain.head_index(), written).unwrap();
}

/// The driver's side, which is not what is measured: one store.
struct Driver<'a> {
    avail_index: &'a AtomicU16,
}

impl<'a> Driver<'a> {
    fn new<B: Bitmap>(memory: &'a GuestMemoryMmap<B>) -> Self {
        let index = memory
            .get_host_address(GuestAddress(AVAIL_RING + RING_INDEX))
            .expect("the ring should be in memory");
        // SAFETY: the two bytes are aligned and in the mapping, which `memory` keeps for `'a`, and
        // the device's side reads them by atomic operations only.
        let avail_index = unsafe { AtomicU16::from_ptr(index.cast()) };
        Self { avail_index }
    }

    /// Every entry of the ring holds a chain already.
    fn make_available(&self, count: u16) {
        self.avail_index.store(count.to_le(), Ordering::Release);
    }
}

/// One region with a ring full of requests. Every page is present and dirty.
fn memory_with_requests<B: NewBitmap>() -> GuestMemoryMmap<B> {
    let memory = GuestMemoryMmap::<B>::from_ranges(&[(GuestAddress(0), REGION_SIZE)])
        .expect("the region should map");
    for page in (0..REGION_SIZE).step_by(PAGE_SIZE) {
        let zeros = [0u8; PAGE_SIZE];
        memory
            .write_slice(&zeros, GuestAddress(page as u64))
            .unwrap();
    }
    for chain in 0..CHAINS {
        add_chain(&memory, chain);
    }
    for entry in 0..QUEUE_SIZE {
        let head = entry % CHAINS * CHAIN_LENGTH;
        let at = AVAIL_RING + RING_ENTRIES + u64::from(entry) * size_of::<u16>() as u64;
        memory.write_obj(head.to_le(), GuestAddress(at)).unwrap();
    }
    memory
}

fn add_chain<B: Bitmap>(memory: &GuestMemoryMmap<B>, chain: u16) {
    let head = chain * CHAIN_LENGTH;
    let header = HEADERS + u64::from(chain) * HEADER_STRIDE;
    let status = header + size_of::<RequestHeader>() as u64;
    let data = DATA + u64::from(chain) * DATA_STRIDE;
    let descriptors = [
        Descriptor::new(header, size_of::<RequestHeader>() as u32, NEXT, head + 1),
        Descriptor::new(data, DATA_SIZE as u32, NEXT | WRITE, head + 2),
        Descriptor::new(status, STATUS_SIZE, WRITE, 0),
    ];
    for (index, descriptor) in (u64::from(head)..).zip(descriptors) {
        let at = TABLE + index * size_of::<Descriptor>() as u64;
        memory.write_obj(descriptor, GuestAddress(at)).unwrap();
    }
    let request = RequestHeader {
        kind: 0,
        reserved: 0,
        sector: u64::from(chain) * 8,
    };
    memory.write_obj(request, GuestAddress(header)).unwrap();
}

fn ready_queue() -> Queue {
    let mut queue = Queue::new(QUEUE_SIZE).expect("the size should be valid");
    queue.set_desc_table_address(Some(TABLE as u32), None);
    queue.set_avail_ring_address(Some(AVAIL_RING as u32), None);
    queue.set_used_ring_address(Some(USED_RING as u32), None);
    queue.set_ready(true);
    queue
}
