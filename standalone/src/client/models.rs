//! `stowage models`: what is served, and what of it is in memory.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use api::mesh_v1::{ListModelsRequest, Model, mesh_client::MeshClient};
use serde::Serialize;
use tonic::{Request, transport::Endpoint};

use super::no_server;
use crate::args::{ModelsArgs, Output};

/// Models per page; the most that a server gives.
const PAGE: u32 = 1_000;

/// Pages that are read at most, so that a server which never ends its list cannot hold us.
const MAX_PAGES: usize = 10_000;

/// Longest error that a table shows; `-o json` has all of it.
const MAX_ERROR: usize = 100;

/// Lists the models of a server on standard output.
pub async fn run(args: ModelsArgs) -> anyhow::Result<()> {
    let ModelsArgs {
        server,
        output,
        timeout,
    } = args;
    let endpoint = Endpoint::from_shared(server.url())
        .with_context(|| format!("use {server} as address"))?
        .connect_timeout(timeout)
        .timeout(timeout);
    let channel = endpoint.connect().await.map_err(|err| no_server(&server, &err))?;
    let models = list(MeshClient::new(channel), timeout)
        .await
        .with_context(|| format!("list the models of {server}; is this its gRPC address?"))?;
    let text = match output {
        Output::Table => table(&models, SystemTime::now()),
        Output::Json => json(&models)?,
    };
    io::stdout().write_all(text.as_bytes()).context("write the list")
}

async fn list(
    mut client: MeshClient<tonic::transport::Channel>,
    timeout: Duration,
) -> anyhow::Result<Vec<Model>> {
    let mut models = Vec::new();
    let mut page_token = String::new();
    for _ in 0..MAX_PAGES {
        let mut request = Request::new(ListModelsRequest {
            page_size: PAGE,
            page_token,
        });
        request.set_timeout(timeout);
        let page = client
            .list_models(request)
            .await
            .map_err(|status| anyhow::anyhow!("{}: {}", kit::status::name(status.code()), status.message()))?
            .into_inner();
        models.extend(page.models);
        if page.next_page_token.is_empty() {
            // Pages come in order of id, which is nobody's order.
            models.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(models);
        }
        page_token = page.next_page_token;
    }
    anyhow::bail!("the list of models does not end after {MAX_PAGES} pages")
}

/// One model for programs; names and units are stable.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    model_id: &'a str,
    state: &'a str,
    size_bytes: u64,
    last_used_ms: Option<u64>,
    loads: u64,
    evictions: u64,
    r#type: &'a str,
    path: &'a str,
    error: Option<&'a str>,
}

fn json(models: &[Model]) -> anyhow::Result<String> {
    let rows: Vec<_> = models
        .iter()
        .map(|model| Row {
            name: &model.name,
            model_id: &model.model_id,
            state: &model.state,
            size_bytes: model.size_bytes,
            last_used_ms: (model.last_used_ms > 0).then_some(model.last_used_ms),
            loads: model.loads,
            evictions: model.evictions,
            r#type: &model.r#type,
            path: &model.path,
            error: (!model.error.is_empty()).then_some(model.error.as_str()),
        })
        .collect();
    Ok(serde_json::to_string_pretty(&rows)? + "\n")
}

fn table(models: &[Model], now: SystemTime) -> String {
    if models.is_empty() {
        return "no models\n".to_owned();
    }
    let mut rows = vec![["NAME", "STATE", "SIZE", "LAST USED", "LOADS", "EVICTIONS"].map(str::to_owned)];
    rows.extend(models.iter().map(|model| {
        [
            printable(&model.name),
            printable(&model.state),
            if model.size_bytes == 0 {
                "-".to_owned()
            } else {
                size(model.size_bytes)
            },
            ago(model.last_used_ms, now),
            model.loads.to_string(),
            model.evictions.to_string(),
        ]
    }));
    let widths = rows.iter().fold([0; 6], |mut widths, row| {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
        widths
    });
    let errors = std::iter::once("").chain(models.iter().map(|model| model.error.as_str()));
    let mut text = String::new();
    for (row, error) in rows.iter().zip(errors) {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Numbers line up at their right end.
            let padded = if matches!(i, 2 | 4 | 5) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            };
            line.push_str(&padded);
            line.push_str("  ");
        }
        line.push_str(&shortened(error));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names come from anywhere: no control character reaches the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn shortened(error: &str) -> String {
    let line = printable(error.lines().next().unwrap_or_default());
    match line.char_indices().nth(MAX_ERROR) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Bytes in three digits or so: `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == UNITS[0] || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

fn ago(last_used_ms: u64, now: SystemTime) -> String {
    if last_used_ms == 0 {
        return "never".to_owned();
    }
    let used = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(last_used_ms));
    // A clock ahead of ours is "now" too.
    let seconds = used
        .and_then(|used| now.duration_since(used).ok())
        .unwrap_or_default()
        .as_secs();
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..86_400 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Vec<Model> {
        vec![
            Model {
                name: "iris".into(),
                model_id: "iris-0123".into(),
                state: "LOADED".into(),
                size_bytes: 1_572_864,
                last_used_ms: 1_000_000,
                loads: 12,
                evictions: 3,
                r#type: "onnx".into(),
                path: "iris.onnx".into(),
                ..Model::default()
            },
            Model {
                name: "broken-net".into(),
                state: "LOADING_FAILED".into(),
                error: "not an ONNX model: unexpected end\nmore".into(),
                ..Model::default()
            },
        ]
    }

    #[test]
    fn a_table_for_people() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_090);
        let expected = "\
NAME        STATE              SIZE  LAST USED  LOADS  EVICTIONS
iris        LOADED          1.5 MiB  1m ago        12          3
broken-net  LOADING_FAILED        -  never          0          0  not an ONNX model: unexpected end
";
        assert_eq!(table(&models(), now), expected);
        assert_eq!(table(&[], now), "no models\n");
    }

    #[test]
    fn json_for_programs() {
        let value: serde_json::Value = serde_json::from_str(&json(&models()).unwrap()).unwrap();
        assert_eq!(value[0]["name"], "iris");
        assert_eq!(value[0]["last_used_ms"], 1_000_000);
        assert_eq!(value[0]["error"], serde_json::Value::Null);
        assert_eq!(value[1]["last_used_ms"], serde_json::Value::Null);
        assert_eq!(value[1]["error"], "not an ONNX model: unexpected end\nmore");
    }

    #[test]
    fn no_name_controls_the_terminal() {
        let model = Model {
            name: "\u{1b}[31mred".into(),
            error: "\u{7}".repeat(200),
            ..Model::default()
        };
        let text = table(&[model], SystemTime::now());
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.ends_with("...\n"));
    }

    #[test]
    fn sizes_and_times() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (150 << 20, "150 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (ms, text) in [
            (0, "never"),
            (1_000_000_000, "now"),
            (2_000_000_000, "now"),
            (u64::MAX, "now"),
            (999_990_000, "10s ago"),
            (996_400_000, "1h ago"),
            (1, "11d ago"),
        ] {
            assert_eq!(ago(ms, now), text);
        }
    }
}
