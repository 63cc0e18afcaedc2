//! The comparison as a table and as numbers for plots.

use std::fmt::Write as _;

use super::{CAPACITIES, Row, Rule, Workload, compare};

/// Compares everything, on all cores.
pub fn compare_all() -> Vec<Row> {
    let cases = Workload::ALL
        .iter()
        .flat_map(|workload| CAPACITIES.map(|capacity| (*workload, capacity)));
    std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .map(|(workload, capacity)| scope.spawn(move || compare(workload, capacity)))
            .collect();
        running
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}

/// A Markdown table: hit ratios in percent, and what loads cost.
pub fn markdown(rows: &[Row]) -> String {
    let mut out = String::from("| trace | memory |");
    for rule in Rule::ALL {
        let _ = write!(out, " {} |", rule.name());
    }
    out.push_str(" best fixed set | clairvoyant | part of the fixed set | reload, ms: Stowage | LRU | clairvoyant |\n|");
    out.push_str(&"---|".repeat(Rule::ALL.len() + 8));
    out.push('\n');
    for row in rows {
        let _ = write!(out, "| {} | {} % |", row.workload.name(), row.capacity);
        for outcome in &row.rules {
            let _ = write!(out, " {:.1} |", outcome.hits * 100.0);
        }
        let reload = |rule| {
            let at = Rule::ALL.iter().position(|one| *one == rule);
            at.and_then(|at| row.rules.get(at))
                .map_or(0.0, |outcome| outcome.reload_ms)
        };
        let ours = row.rules.first().map_or(0.0, |outcome| outcome.hits);
        let _ = writeln!(
            out,
            " {:.1} | {:.1} | {:.1} % | {:.0} | {:.0} | {:.0} |",
            row.fixed.hits * 100.0,
            row.clairvoyant.hits * 100.0,
            ours / row.fixed.hits * 100.0,
            reload(Rule::Ours),
            reload(Rule::LeastRecent),
            row.clairvoyant.reload_ms,
        );
    }
    out
}

/// The hit ratios against the capacity, as `scripts/plots.py` draws lines.
pub fn lines(rows: &[Row]) -> serde_json::Value {
    let charts = Workload::ALL.map(|workload| {
        let of = |hits: &dyn Fn(&Row) -> f64| {
            let points = rows.iter().filter(|row| row.workload == workload);
            points
                .map(|row| serde_json::json!([row.capacity, hits(row) * 100.0]))
                .collect::<Vec<_>>()
        };
        let mut series = Vec::new();
        for (at, rule) in Rule::ALL.iter().enumerate() {
            let hits = |row: &Row| row.rules.get(at).map_or(0.0, |outcome| outcome.hits);
            series.push(serde_json::json!({"name": rule.name(), "points": of(&hits)}));
        }
        series.push(serde_json::json!({"name": "best fixed set", "points": of(&|row| row.fixed.hits)}));
        series.push(serde_json::json!({"name": "clairvoyant", "points": of(&|row| row.clairvoyant.hits)}));
        serde_json::json!({
            "name": workload.name(),
            "x": "memory, % of all models",
            "y": "hits, %",
            "series": series,
        })
    });
    serde_json::json!({ "lines": charts })
}
