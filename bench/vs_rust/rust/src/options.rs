// SPDX-License-Identifier: Apache-2.0

//! The command line.

use std::time::Duration;

pub const USAGE: &str = "\
Usage: guest-memory-bench [--time-ms N] [--filter SUBSTRING] [--list]
                          [--limits | --system-calls [--threads N]]

  --time-ms N         measure each case for N milliseconds (default 200)
  --filter SUBSTRING  only the cases whose name contains SUBSTRING
  --limits            libc memcpy and memset and a volatile u32 loop, instead of the cases
  --system-calls      libc read from /dev/zero and write to /dev/null, instead of the cases
  --threads N         have N threads in the process; all but the first do nothing (default 1)
  --list              print the names, one per line, and measure nothing";

pub struct Options {
    pub time: Duration,
    pub filter: Option<String>,
    pub limits: bool,
    pub system_calls: bool,
    pub threads: u64,
    pub list: bool,
    pub help: bool,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            time: Duration::from_millis(200),
            filter: None,
            limits: false,
            system_calls: false,
            threads: 1,
            list: false,
            help: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--time-ms" => {
                    options.time = Duration::from_millis(parse_count("--time-ms", &value()?)?)
                }
                "--filter" => options.filter = Some(value()?),
                "--limits" => options.limits = true,
                "--system-calls" => options.system_calls = true,
                "--threads" => options.threads = parse_count("--threads", &value()?)?,
                "--list" => options.list = true,
                "--help" | "-h" => options.help = true,
                _ => return Err(format!("unknown argument: {argument}")),
            }
        }
        Ok(options)
    }
}

fn parse_count(option: &str, text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err(format!(
            "{option} needs a positive whole number, not {text:?}"
        )),
    }
}
