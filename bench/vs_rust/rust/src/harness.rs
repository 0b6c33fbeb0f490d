// SPDX-License-Identifier: Apache-2.0

//! Timing: warm up, choose a batch size, then take batches until the time is spent.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::report::Summary;

/// Long enough that reading the clock twice is under 0.1% of a batch, short enough that a batch
/// hit by an interrupt stays one outlier among thousands.
const BATCH_NS: f64 = 75_000.0;

/// Quartiles of fewer samples than this say nothing, so slow cases may overrun their time.
const MIN_SAMPLES: usize = 8;

/// Share of the measured time that is spent warming up first.
const WARM_UP_SHARE: f64 = 0.2;

/// A buffer that starts on a cache line: where the stack happened to put it changes a 512-byte copy
/// by up to a fifth from run to run.
#[repr(align(64))]
pub struct Aligned<T>(pub T);

pub enum Mode {
    /// Collect the names only.
    List,
    /// Measure each case for this long.
    Measure(Duration),
}

pub struct Case {
    pub name: String,
    /// Absent when only the names were asked for.
    pub summary: Option<Summary>,
}

/// Runs the cases it is given, in order, and keeps what they measured.
pub struct Suite {
    mode: Mode,
    filter: Option<String>,
    cases: Vec<Case>,
}

impl Suite {
    pub fn new(mode: Mode, filter: Option<String>) -> Self {
        Self {
            mode,
            filter,
            cases: Vec::new(),
        }
    }

    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Measures `routine`, unless the filter leaves it out or only names are wanted.
    pub fn case<R>(&mut self, name: impl Into<String>, routine: impl FnMut() -> R) {
        let name = name.into();
        if let Some(filter) = &self.filter {
            if !name.contains(filter.as_str()) {
                return;
            }
        }
        let summary = match self.mode {
            Mode::List => None,
            Mode::Measure(time) => Some(measure(time, routine)),
        };
        self.cases.push(Case { name, summary });
    }
}

fn measure<R>(time: Duration, mut routine: impl FnMut() -> R) -> Summary {
    let estimate_ns = warm_up(time.mul_f64(WARM_UP_SHARE), &mut routine);
    let batch = (BATCH_NS / estimate_ns).ceil().max(1.0) as u64;

    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < MIN_SAMPLES || start.elapsed() < time {
        samples.push(per_iteration_ns(time_batch(&mut routine, batch), batch));
    }
    let iterations = batch * samples.len() as u64;
    Summary::new(samples, iterations)
}

/// Runs ever larger batches for `time`, and gives the cost of one iteration in the last of them:
/// the earlier ones pay for page faults and cold caches.
fn warm_up<R>(time: Duration, routine: &mut impl FnMut() -> R) -> f64 {
    let start = Instant::now();
    let mut batch = 1;
    loop {
        let spent = time_batch(routine, batch);
        if start.elapsed() >= time {
            return per_iteration_ns(spent, batch);
        }
        // Doubling past a quarter of the time could overshoot it.
        if spent < time / 4 {
            batch *= 2;
        }
    }
}

fn per_iteration_ns(spent: Duration, iterations: u64) -> f64 {
    spent.as_nanos() as f64 / iterations as f64
}

/// Never inlined, so that the compiler meets the values the routine captured as unknown memory, as
/// it does under criterion, and neither folds them in nor drops the writes to them.
#[inline(never)]
fn time_batch<R>(routine: &mut impl FnMut() -> R, iterations: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..iterations {
        black_box(routine());
    }
    start.elapsed()
}
