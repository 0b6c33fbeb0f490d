// SPDX-License-Identifier: Apache-2.0

//! What is said of the measurements.

use crate::harness::Case;

/// Nanoseconds per iteration, over the batches of one case.
pub struct Summary {
    median: f64,
    p25: f64,
    p75: f64,
    /// Over all of the time: interruptions too.
    mean: f64,
    iterations: u64,
}

impl Summary {
    pub fn new(mut samples: Vec<f64>, iterations: u64) -> Self {
        samples.sort_by(f64::total_cmp);
        Self {
            median: quantile(&samples, 0.5),
            p25: quantile(&samples, 0.25),
            p75: quantile(&samples, 0.75),
            mean: samples.iter().sum::<f64>() / samples.len() as f64,
            iterations,
        }
    }

    fn to_json(&self) -> String {
        format!(
            r#"{{"median": {:.3}, "p25": {:.3}, "p75": {:.3}, "mean": {:.3}, "iterations": {}}}"#,
            self.median, self.p25, self.p75, self.mean, self.iterations
        )
    }
}

/// The value at `fraction` of the sorted samples, between neighbours where it falls between them.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

/// The measured cases as one JSON object. Names hold no character that JSON escapes.
pub fn to_json(measured: &str, cases: &[Case]) -> String {
    let entries: Vec<String> = cases
        .iter()
        .filter_map(|case| Some((&case.name, case.summary.as_ref()?)))
        .map(|(name, summary)| format!(r#""{name}": {}"#, summary.to_json()))
        .collect();
    format!(
        "{{\"crate\": \"{measured}\", \"cases\": {{\n{}\n}}}}",
        entries.join(",\n")
    )
}
