// SPDX-License-Identifier: Apache-2.0

//! Random region layouts and the memories built from them.

use serde_json::{json, Value};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    MemoryRegionAddress,
};

use crate::aim::Extent;
use crate::dirty::{self, Tracking};
use crate::number::uint;
use crate::pattern;
use crate::rng::Rng;
use crate::trace::host_page_size;

/// No region reaches beyond what a double counts exactly.
const LIMIT: u64 = (1 << 53) - 1;

/// Page sizes of bitmaps that the host's page size has no say in; not all of them powers of two.
const PAGES: [usize; 8] = [64, 128, 512, 1000, 4096, 4096, 5000, 65536];

/// How a memory is tracked.
#[derive(Clone, Copy)]
pub enum Bitmaps {
    /// `B = ()`
    None,
    /// `from_ranges`: the host's page size.
    HostPage,
    /// `MmapRegionBuilder::new_with_bitmap`.
    Page(usize),
}

/// A memory to be built.
pub struct Plan {
    pub extents: Vec<Extent>,
    pub bitmaps: Bitmaps,
    /// Region `k` starts out with pattern `fill + k`; with zeros if there is none.
    fill: Option<u32>,
}

impl Plan {
    pub fn random(rng: &mut Rng, tracked: bool) -> Self {
        let bitmaps = match rng.below(8) {
            0..=1 if !tracked => Bitmaps::None,
            0..=3 => Bitmaps::HostPage,
            _ => Bitmaps::Page(rng.pick(&PAGES)),
        };
        Plan {
            extents: extents(rng),
            bitmaps,
            fill: rng.chance(80).then(|| rng.pattern_seed()),
        }
    }

    /// The setup fields of the layout's line.
    pub fn setup(&self) -> Value {
        let regions: Value = self
            .extents
            .iter()
            .map(|e| json!([uint(e.base), e.size]))
            .collect();
        let page = match self.bitmaps {
            Bitmaps::None => Value::Null,
            Bitmaps::HostPage => host_page_size().into(),
            Bitmaps::Page(page) => page.into(),
        };
        json!({"regions": regions, "page": page, "fill": self.fill})
    }

    pub fn build<B: Tracking>(&self) -> World<B> {
        let mem = match self.bitmaps {
            Bitmaps::Page(page) => {
                let regions = self.extents.iter().map(|e| region(*e, page)).collect();
                GuestMemoryMmap::from_regions(regions).expect("the plan is in order")
            }
            Bitmaps::None | Bitmaps::HostPage => {
                let ranges: Vec<_> = self
                    .extents
                    .iter()
                    .map(|e| (GuestAddress(e.base), e.size as usize))
                    .collect();
                GuestMemoryMmap::from_ranges(&ranges).expect("the plan is in order")
            }
        };
        let hosts = mem
            .iter()
            .map(|r| r.get_host_address(MemoryRegionAddress(0)))
            .map(|host| host.expect("regions are mapped") as usize)
            .collect();
        let world = World {
            mem,
            extents: self.extents.clone(),
            hosts,
        };
        if let Some(fill) = self.fill {
            world.fill(fill);
        }
        world
    }
}

fn region<B: Tracking>(extent: Extent, page: usize) -> GuestRegionMmap<B> {
    let size = extent.size as usize;
    let mapping = MmapRegionBuilder::new_with_bitmap(size, B::with_page(size, page))
        .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
        .with_mmap_flags(libc::MAP_ANONYMOUS | libc::MAP_PRIVATE | libc::MAP_NORESERVE)
        .build()
        .expect("anonymous memory is to be had");
    GuestRegionMmap::new(mapping, GuestAddress(extent.base))
        .expect("the plan stays below the limit")
}

fn extents(rng: &mut Rng) -> Vec<Extent> {
    let n = match rng.below(10) {
        0..=1 => 1,
        2..=6 => rng.between(2, 4),
        _ => rng.between(5, 12),
    };
    let mut end = 0;
    let mut extents: Vec<Extent> = (0..n)
        .map(|i| {
            let base = end + if i == 0 { 0 } else { gap(rng) };
            let size = region_size(rng);
            end = base + size;
            Extent { base, size }
        })
        .collect();
    let base = first_base(rng, end);
    for extent in &mut extents {
        extent.base += base;
    }
    extents
}

fn region_size(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..=3 => 4096 * rng.between(1, 9),
        4..=6 => rng.pick(&[1, 7, 8, 100, 1000, 4095, 4097, 5000, 8191]),
        7 => rng.between(1, 65536),
        _ => 128 * rng.between(1, 64),
    }
}

fn gap(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..=4 => 0,
        5 => rng.between(1, 16),
        6 => 4096 * rng.between(1, 4),
        7 => rng.between(1, 5000),
        8 => rng.between(1, 1 << 20),
        _ => rng.between(1, 1 << 34),
    }
}

/// Where a layout of `span` bytes begins.
fn first_base(rng: &mut Rng, span: u64) -> u64 {
    let before = rng.below(span.min(1 << 16)) & !rng.pick(&[0, 7, 4095]);
    match rng.below(8) {
        0 => 0,
        1 => 0x1000,
        2 => rng.below(1 << 24),
        3 => (1 << 31) - before,
        4 => (1 << 32) - before,
        5 => (1 << 40) + rng.below(1 << 20),
        6 => LIMIT - span,
        _ => LIMIT - span - before,
    }
}

/// A memory, and what its recorder knows about it.
pub struct World<B: Tracking> {
    pub mem: GuestMemoryMmap<B>,
    pub extents: Vec<Extent>,
    /// Where each region starts on the host.
    hosts: Vec<usize>,
}

impl<B: Tracking> World<B> {
    pub fn region(&self, index: usize) -> &GuestRegionMmap<B> {
        self.mem.iter().nth(index).expect("a region of the layout")
    }

    pub fn index_of(&self, region: &GuestRegionMmap<B>) -> usize {
        let base = region.start_addr().raw_value();
        let found = self.extents.iter().position(|e| e.base == base);
        found.expect("a region of the layout")
    }

    /// `[region, offset]` of a byte of memory.
    pub fn locate(&self, host: *const u8) -> (usize, usize) {
        let host = host as usize;
        self.hosts
            .iter()
            .zip(&self.extents)
            .position(|(&start, e)| host >= start && host - start < e.size as usize)
            .map(|k| (k, host - self.hosts[k]))
            .expect("an address inside a region")
    }

    pub fn host(&self, index: usize) -> usize {
        self.hosts[index]
    }

    pub fn total(&self) -> usize {
        self.extents.iter().map(|e| e.size as usize).sum()
    }

    /// Writes the initial content behind the bitmap's back.
    fn fill(&self, seed: u32) {
        for (k, extent) in self.extents.iter().enumerate() {
            let bytes = pattern::bytes(seed.wrapping_add(k as u32), extent.size as usize);
            // SAFETY: the region is mapped for as long as `self` lives, is writable and this long.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    self.hosts[k] as *mut u8,
                    bytes.len(),
                );
            }
        }
    }

    fn content(&self, index: usize) -> Vec<u8> {
        let len = self.extents[index].size as usize;
        // SAFETY: the region is mapped for as long as `self` lives, and this long; nobody writes meanwhile.
        unsafe { std::slice::from_raw_parts(self.hosts[index] as *const u8, len) }.to_vec()
    }

    /// The digest of all regions' content, one after the other.
    pub fn digest(&self) -> Value {
        let all: Vec<u8> = (0..self.extents.len())
            .flat_map(|k| self.content(k))
            .collect();
        pattern::sha256(&all)[..16].into()
    }

    /// The SHA-256 of each region's content.
    pub fn sha256(&self) -> Value {
        (0..self.extents.len())
            .map(|k| Value::from(pattern::sha256(&self.content(k))))
            .collect()
    }

    /// The number of dirty pages; `None` without bitmaps.
    pub fn dirty_count(&self) -> Option<Value> {
        self.mem
            .iter()
            .map(|r| (**r).bitmap().pages().map(dirty::count))
            .sum::<Option<usize>>()
            .map(Value::from)
    }

    /// Per region the runs of dirty pages; `None` without bitmaps.
    pub fn dirty_runs(&self) -> Option<Value> {
        self.mem
            .iter()
            .map(|r| (**r).bitmap().pages().map(dirty::runs))
            .collect()
    }
}
