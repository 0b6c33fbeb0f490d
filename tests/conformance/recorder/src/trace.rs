// SPDX-License-Identifier: Apache-2.0

//! The trace: lines gathered in memory, then written behind a header that counts them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde_json::{json, Map, Value};

use crate::number::uint;
use crate::op::Op;
use crate::tally::Tally;

pub const FORMAT: &str = "vm-memory-trace";
pub const VERSION: u32 = 1;
const CRATE: &str = "vm-memory 0.18.0";

#[derive(Default)]
pub struct Trace {
    lines: Vec<u8>,
    tally: Tally,
    kind: &'static str,
    /// Operations of the present layout.
    played: u64,
    /// What `played` was when a step began.
    step_began: u64,
}

impl Trace {
    /// Opens a sequence; `setup` is an object.
    pub fn layout(&mut self, kind: &'static str, setup: Value) {
        let index = self.tally.layouts();
        self.tally.layout(kind);
        self.kind = kind;
        self.played = 0;
        let mut line = Map::from_iter([
            ("layout".to_owned(), index.into()),
            ("kind".to_owned(), kind.into()),
        ]);
        if let Value::Object(setup) = setup {
            line.extend(setup);
        }
        self.line(&Value::Object(line));
    }

    /// Records what belongs together: nothing is checked in between.
    pub fn step(&mut self, ops: Vec<Op>, dirty: impl Fn() -> Option<Value>) {
        self.step_began = self.played;
        for mut op in ops {
            if op.writes && op.dirty.is_none() {
                op.dirty = dirty();
            }
            self.op(op);
        }
    }

    /// Whether a multiple of `interval` was reached by the last step.
    pub fn due(&self, interval: u64) -> bool {
        self.step_began / interval != self.played / interval
    }

    /// Operations played since the layout was opened.
    pub fn played(&self) -> u64 {
        self.played
    }

    fn op(&mut self, op: Op) {
        let quirk = op.outcome.field("q").and_then(Value::as_str);
        self.tally
            .operation(self.kind, &op.name, op.outcome.label(), quirk);
        self.played += 1;
        let mut line = vec![op.name.into(), op.args.into(), op.outcome.into_value()];
        line.extend(op.dirty);
        self.line(&Value::Array(line));
    }

    /// State that the sequence must have reached by now.
    pub fn check(&mut self, name: &str, state: Value) {
        self.tally.check();
        self.line(&json!([name, [], {"ok": state}]));
    }

    /// Closes a sequence; `state` is an object.
    pub fn end(&mut self, state: Value) {
        let mut line = Map::from_iter([("end".to_owned(), (self.tally.layouts() - 1).into())]);
        if let Value::Object(state) = state {
            line.extend(state);
        }
        self.line(&Value::Object(line));
    }

    fn line(&mut self, value: &Value) {
        serde_json::to_writer(&mut self.lines, value).expect("a Vec takes every write");
        self.lines.push(b'\n');
    }

    pub fn write(&self, seed: u64, path: &Path) -> io::Result<()> {
        let header = json!({
            "format": FORMAT,
            "version": VERSION,
            "crate": CRATE,
            "seed": uint(seed),
            "hostPage": host_page_size(),
            "layouts": self.tally.layouts(),
            "operations": self.tally.operations(),
            "checks": self.tally.checks(),
            "kinds": self.tally.per_kind(),
        });
        // No time stamp and no file name: the same seed gives the same bytes.
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .write(File::create(path)?, Compression::best());
        writeln!(gzip, "{header}")?;
        gzip.write_all(&self.lines)?;
        gzip.finish()?.sync_all()
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

pub fn host_page_size() -> u64 {
    // SAFETY: sysconf has no memory effects.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}
