// SPDX-License-Identifier: Apache-2.0

//! One recorded operation.

use serde_json::Value;

use crate::outcome::Outcome;

pub struct Op {
    pub name: String,
    pub args: Vec<Value>,
    pub outcome: Outcome,
    /// Whether the operation can change memory or a bitmap: if so the dirty count is recorded with it.
    pub writes: bool,
    /// The dirty count, if it had to be taken before the recorder came to it.
    pub dirty: Option<Value>,
}

impl Op {
    pub fn reading(name: impl Into<String>, args: Vec<Value>, outcome: Outcome) -> Self {
        Op {
            name: name.into(),
            args,
            outcome,
            writes: false,
            dirty: None,
        }
    }

    pub fn writing(name: impl Into<String>, args: Vec<Value>, outcome: Outcome) -> Self {
        Op {
            writes: true,
            ..Op::reading(name, args, outcome)
        }
    }

    /// Marks a behaviour of the crate that another implementation may well not copy.
    pub fn tagged(mut self, quirk: &str) -> Self {
        self.outcome = self.outcome.with("q", quirk);
        self
    }

    /// Tags a zero-length access that failed, against the contract that `Bytes` documents.
    pub fn tag_zero(self, len: usize) -> Self {
        if len == 0 && self.outcome.is_err() {
            self.tagged("zero")
        } else {
            self
        }
    }
}
