// SPDX-License-Identifier: Apache-2.0

//! The command line.

use std::path::PathBuf;

pub const USAGE: &str =
    "usage: record --seed N [--layouts L=250] [--operations K=480] --out FILE.jsonl.gz";

#[derive(Debug)]
pub struct Options {
    pub seed: u64,
    pub layouts: u64,
    /// Operations per layout.
    pub operations: u64,
    pub out: PathBuf,
}

impl Options {
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut seed, mut layouts, mut operations, mut out) = (None, 250, 480, None);
        while let Some(flag) = args.next() {
            let value = args.next().ok_or(format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--seed" => seed = Some(number(&flag, &value)?),
                "--layouts" => layouts = number(&flag, &value)?,
                "--operations" => operations = number(&flag, &value)?,
                "--out" => out = Some(PathBuf::from(value)),
                _ => return Err(format!("unknown option {flag}")),
            }
        }
        Ok(Options {
            seed: seed.ok_or("--seed is missing")?,
            layouts,
            operations,
            out: out.ok_or("--out is missing")?,
        })
    }
}

fn number(flag: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("{flag} wants a decimal number, not {value}"))
}
