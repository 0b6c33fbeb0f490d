// SPDX-License-Identifier: Apache-2.0

//! Counts of what was recorded, for the summary and the header.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{json, Value};

#[derive(Default)]
struct KindTally {
    layouts: u64,
    operations: u64,
    outcomes: BTreeMap<String, u64>,
}

#[derive(Default)]
pub struct Tally {
    kinds: BTreeMap<&'static str, KindTally>,
    /// Operation name, then outcome.
    names: BTreeMap<String, BTreeMap<String, u64>>,
    quirks: BTreeMap<String, u64>,
    checks: u64,
}

impl Tally {
    pub fn layout(&mut self, kind: &'static str) {
        self.kinds.entry(kind).or_default().layouts += 1;
    }

    pub fn operation(
        &mut self,
        kind: &'static str,
        name: &str,
        outcome: &str,
        quirk: Option<&str>,
    ) {
        let tally = self.kinds.entry(kind).or_default();
        tally.operations += 1;
        *tally.outcomes.entry(outcome.to_owned()).or_default() += 1;
        let outcomes = self.names.entry(name.to_owned()).or_default();
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
        if let Some(quirk) = quirk {
            *self.quirks.entry(quirk.to_owned()).or_default() += 1;
        }
    }

    pub fn check(&mut self) {
        self.checks += 1;
    }

    pub fn layouts(&self) -> u64 {
        self.kinds.values().map(|t| t.layouts).sum()
    }

    pub fn operations(&self) -> u64 {
        self.kinds.values().map(|t| t.operations).sum()
    }

    pub fn checks(&self) -> u64 {
        self.checks
    }

    /// `{kind: [layouts, operations]}`
    pub fn per_kind(&self) -> Value {
        self.kinds
            .iter()
            .map(|(kind, t)| ((*kind).to_owned(), json!([t.layouts, t.operations])))
            .collect()
    }
}

struct Counts<'a>(&'a BTreeMap<String, u64>);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, count)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "layouts {}", self.layouts())?;
        writeln!(f, "operations {}", self.operations())?;
        writeln!(f, "checks {}", self.checks)?;
        writeln!(f, "quirks {}", Counts(&self.quirks))?;
        for (kind, t) in &self.kinds {
            writeln!(
                f,
                "{kind}: {} layouts, {} operations",
                t.layouts, t.operations
            )?;
            writeln!(f, "  {}", Counts(&t.outcomes))?;
        }
        for (name, outcomes) in &self.names {
            writeln!(f, "{name}: {}", Counts(outcomes))?;
        }
        Ok(())
    }
}
