// SPDX-License-Identifier: Apache-2.0

//! Plays seeded random operations against the `vm-memory` crate and records what happened.
//!
//! The lines of a trace are specified in `FORMAT.md`.

mod address;
mod aim;
mod bitmap;
mod bytes_ops;
mod cli;
mod collection;
mod dirty;
mod fd;
mod iommu;
mod layout;
mod memory;
mod number;
mod op;
mod outcome;
mod pattern;
mod rng;
mod sample;
mod sink;
mod source;
mod stream_ops;
mod tally;
mod trace;

use std::process::ExitCode;

use cli::Options;
use rng::Rng;
use trace::Trace;

type Record = fn(&mut Rng, &mut Trace, u64);

/// The kinds of one round of layouts, in the order in which rounds repeat.
const ROUND: [Record; 25] = [
    memory::record,
    memory::record,
    iommu::record,
    memory::record,
    bitmap::record,
    memory::record,
    memory::record,
    collection::record,
    memory::record,
    memory::record,
    memory::record,
    address::record,
    memory::record,
    memory::record,
    iommu::record,
    memory::record,
    bitmap::record,
    memory::record,
    memory::record,
    collection::record,
    memory::record,
    memory::record,
    iommu::record,
    memory::record,
    memory::record,
];

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{}", cli::USAGE);
            return ExitCode::FAILURE;
        }
    };
    let mut trace = Trace::default();
    for layout in 0..options.layouts {
        let mut rng = Rng::for_layout(options.seed, layout);
        let record = ROUND[layout as usize % ROUND.len()];
        record(&mut rng, &mut trace, options.operations);
    }
    if let Err(error) = trace.write(options.seed, &options.out) {
        eprintln!("cannot write {}: {error}", options.out.display());
        return ExitCode::FAILURE;
    }
    eprint!("{}", trace.tally());
    ExitCode::SUCCESS
}
