//! What `/metrics` tells, in Prometheus' text format. Counts only: nothing about who.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::federation::protocol::Reason;

#[derive(Default)]
pub(super) struct Metrics {
    answers: BTreeMap<Reason, AtomicU64>,
    pub(super) received_bytes: AtomicU64,
    pub(super) appended: AtomicU64,
    pub(super) aggregations: AtomicU64,
    pub(super) aggregation_failures: AtomicU64,
    aggregation_microseconds: AtomicU64,
}

/// What is counted when it is asked for.
#[derive(Default)]
pub(super) struct Gauges {
    /// By phase.
    pub(super) federations: BTreeMap<&'static str, u64>,
    pub(super) present: u64,
    pub(super) connections: u64,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let answers = Reason::ALL.iter().map(|&reason| (reason, AtomicU64::new(0))).collect();
        Self { answers, ..Self::default() }
    }

    pub(super) fn answered(&self, reason: Reason) {
        if let Some(count) = self.answers.get(&reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn aggregated(&self, took: Duration) {
        self.aggregations.fetch_add(1, Ordering::Relaxed);
        self.aggregation_microseconds.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub(super) fn text(&self, gauges: &Gauges) -> String {
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP sigmascope_{name} {help}\n# TYPE sigmascope_{name} {kind}");
        };
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        head(&mut text, "answers_total", "counter", "Answers by reason.");
        for (reason, count) in &self.answers {
            let _ = writeln!(text, "sigmascope_answers_total{{reason=\"{}\"}} {}", reason.code(), get(count));
        }
        for (name, help, value) in [
            ("received_bytes_total", "Bytes of bodies received.", get(&self.received_bytes)),
            ("events_total", "Events stored since the start.", get(&self.appended)),
            ("aggregations_total", "Rounds aggregated since the start.", get(&self.aggregations)),
            ("aggregation_failures_total", "Aggregations that failed.", get(&self.aggregation_failures)),
        ] {
            head(&mut text, name, "counter", help);
            let _ = writeln!(text, "sigmascope_{name} {value}");
        }
        head(&mut text, "aggregation_seconds_total", "counter", "Time spent aggregating.");
        let seconds = get(&self.aggregation_microseconds) as f64 * 1e-6;
        let _ = writeln!(text, "sigmascope_aggregation_seconds_total {seconds}");
        head(&mut text, "federations", "gauge", "Federations by phase.");
        for (phase, count) in &gauges.federations {
            let _ = writeln!(text, "sigmascope_federations{{phase=\"{phase}\"}} {count}");
        }
        head(&mut text, "clients_present", "gauge", "Clients that have asked for something lately.");
        let _ = writeln!(text, "sigmascope_clients_present {}", gauges.present);
        head(&mut text, "connections", "gauge", "Open connections.");
        let _ = writeln!(text, "sigmascope_connections {}", gauges.connections);
        text
    }
}
