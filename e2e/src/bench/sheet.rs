//! The form in which benches write their numbers, for those who draw or compare them:
//!
//! ```json
//! {"machine": "...", "sections": [{"name": "...", "unit": "...", "series": [{"name": "...", "value": 1.0}]}]}
//! ```
//!
//! `value` is the median in `unit`; what else a bench knows of a series stands beside it.

use std::{fs, path::Path};

use anyhow::Context;
use serde::Serialize;

/// All numbers of one bench.
#[derive(Clone, Debug, Serialize)]
pub struct Sheet<T> {
    /// Processor, cores and kernel: numbers of different machines cannot be compared.
    pub machine: String,
    /// In the order in which they were measured.
    pub sections: Vec<Section<T>>,
}

/// Numbers that can be compared.
#[derive(Clone, Debug, Serialize)]
pub struct Section<T> {
    /// What was done.
    pub name: String,
    /// What `value` counts.
    pub unit: &'static str,
    /// One for each thing that is compared.
    pub series: Vec<Series<T>>,
}

/// One thing that is compared.
#[derive(Clone, Debug, Serialize)]
pub struct Series<T> {
    /// Its name.
    pub name: String,
    /// The median.
    pub value: f64,
    /// What else is known.
    #[serde(flatten)]
    pub detail: T,
}

impl<T> Section<T> {
    /// The median of one series, if it was measured.
    pub fn value_of(&self, name: &str) -> Option<f64> {
        let series = self.series.iter().find(|series| series.name == name)?;
        Some(series.value).filter(|value| *value > 0.0)
    }
}

impl<T: Serialize> Sheet<T> {
    /// Writes the sheet as JSON; makes its folder.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| format!("write {}", path.display()))
    }
}

/// The median; 0 of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(upper), 0) => f64::midpoint(*upper, values.get(middle - 1).copied().unwrap_or(*upper)),
        (value, _) => value.copied().unwrap_or_default(),
    }
}

/// This machine.
pub fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut names = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name"));
    let name = names.next().unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Not those that a pinned process may use.
    let cores = 1 + names.count();
    format!(
        "{}, cores: {cores}, Linux {}",
        name.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        for (values, expected) in [
            (&[][..], 0.0),
            (&[3.0], 3.0),
            (&[9.0, 1.0], 5.0),
            (&[9.0, 1.0, 2.0], 2.0),
        ] {
            let median = median(values.iter().copied());
            assert!((median - expected).abs() < 1e-9, "{values:?}: {median}");
        }
    }

    #[test]
    fn has_the_documented_form() {
        #[derive(Serialize)]
        struct Detail {
            failed: u64,
        }
        let sheet = Sheet {
            machine: "m".to_owned(),
            sections: vec![Section {
                name: "s".to_owned(),
                unit: "calls/s",
                series: vec![Series {
                    name: "x".to_owned(),
                    value: 2.0,
                    detail: Detail { failed: 0 },
                }],
            }],
        };
        assert_eq!(
            serde_json::to_value(&sheet).unwrap(),
            serde_json::json!({"machine": "m", "sections": [
                {"name": "s", "unit": "calls/s", "series": [{"name": "x", "value": 2.0, "failed": 0}]}
            ]})
        );
        assert_eq!(sheet.sections[0].value_of("y"), None);
    }
}
