// SPDX-License-Identifier: Apache-2.0

//! Dirty state as it is written down: counts and runs of pages.

use std::num::NonZeroUsize;

use serde_json::{json, Value};
use vm_memory::bitmap::{AtomicBitmap, NewBitmap};

/// The bitmaps that memories are recorded with: none, or an `AtomicBitmap`.
pub trait Tracking: NewBitmap + 'static {
    fn with_page(len: usize, page: usize) -> Self;
    fn pages(&self) -> Option<&AtomicBitmap>;
}

impl Tracking for () {
    fn with_page(_len: usize, _page: usize) -> Self {}

    fn pages(&self) -> Option<&AtomicBitmap> {
        None
    }
}

impl Tracking for AtomicBitmap {
    fn with_page(len: usize, page: usize) -> Self {
        bitmap(len, page)
    }

    fn pages(&self) -> Option<&AtomicBitmap> {
        Some(self)
    }
}

pub fn bitmap(len: usize, page: usize) -> AtomicBitmap {
    AtomicBitmap::new(len, NonZeroUsize::new(page).expect("pages have a size"))
}

pub fn count(bitmap: &AtomicBitmap) -> usize {
    (0..bitmap.len()).filter(|&i| bitmap.is_bit_set(i)).count()
}

/// `[[first page, pages], ...]`
pub fn runs(bitmap: &AtomicBitmap) -> Value {
    to_runs((0..bitmap.len()).map(|i| bitmap.is_bit_set(i)))
}

/// The same from the words that `get_and_reset` takes.
pub fn word_runs(words: &[u64]) -> Value {
    to_runs((0..words.len() * 64).map(|i| words[i / 64] >> (i % 64) & 1 == 1))
}

fn to_runs(bits: impl Iterator<Item = bool>) -> Value {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (page, _) in bits.enumerate().filter(|(_, dirty)| *dirty) {
        match runs.last_mut() {
            Some((first, pages)) if *first + *pages == page => *pages += 1,
            _ => runs.push((page, 1)),
        }
    }
    json!(runs)
}
