//! The tables of `docs/onnx.md` are what the code says. `make docs-tables` writes them anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use adapter::onnx::{EngineChoice, tract::TractEngine};

use crate::estimators::{Trained, refusal, standard_operators, trained};

/// Set to write the tables instead of comparing them.
const WRITE: &str = "STOWAGE_WRITE_DOCS";

#[test]
fn the_tables_of_the_guide_are_what_the_code_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/onnx.md");
    let written = fs::read_to_string(&file).unwrap();
    let mut expected = replace(&written, "operators", &operators());
    expected = replace(&expected, "estimators", &estimators());
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, expected).unwrap();
    } else {
        assert!(
            written == expected,
            "the tables in docs/onnx.md are old: run `make docs-tables`"
        );
    }
}

/// Puts the table between its two marks.
fn replace(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->\n"),
    );
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    format!("{before}{begin}{table}{end}{after}")
}

fn operators() -> String {
    let mut builtin: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (domain, operator) in TractEngine::new().operators() {
        builtin.entry(domain).or_default().insert(operator);
    }
    let mut table =
        "| domain | operators | built-in engine | not in the built-in engine |\n|---|---|---|---|\n"
            .to_owned();
    for (domain, standard) in standard_operators() {
        let (has, lacks): (Vec<_>, Vec<_>) = standard
            .iter()
            .partition(|name| builtin[domain.as_str()].contains(*name));
        let initials: BTreeSet<char> = standard.iter().filter_map(|name| name.chars().next()).collect();
        writeln!(
            table,
            "| **{domain}** | {} | {} | {} |",
            standard.len(),
            has.len(),
            lacks.len()
        )
        .unwrap();
        // One row for each letter: two hundred rows would hide what is missing.
        for initial in initials {
            let names = |names: &[&String]| {
                let names = names
                    .iter()
                    .filter(|name| name.starts_with(initial))
                    .map(|name| name.as_str());
                names.collect::<Vec<_>>().join(", ")
            };
            writeln!(table, "| | {initial} | {} | {} |", names(&has), names(&lacks)).unwrap();
        }
    }
    let contributed = builtin["com.microsoft"]
        .iter()
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    writeln!(table, "| **com.microsoft** | | {contributed} | all others |").unwrap();
    table
}

fn estimators() -> String {
    let models = trained();
    let mut table = String::new();
    let mut groups: Vec<&str> = models.iter().map(|model| model.group.as_str()).collect();
    groups.dedup();
    for group in groups {
        writeln!(
            table,
            "\n**{group}**\n\n| model | inputs | built-in engine | ONNX Runtime |\n|---|---|---|---|"
        )
        .unwrap();
        let mut rows: Vec<(&str, Vec<&Trained>)> = Vec::new();
        for model in models.iter().filter(|model| model.group == group) {
            match rows.iter_mut().find(|(title, _)| *title == model.title) {
                Some((_, same)) => same.push(model),
                None => rows.push((&model.title, vec![model])),
            }
        }
        for (title, same) in rows {
            let inputs = same
                .iter()
                .map(|model| model.inputs.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            let answer =
                |engine| refusal(engine, title).map_or("yes".to_owned(), |reason| format!("no: {reason}"));
            let (builtin, ort) = (answer(EngineChoice::Builtin), answer(EngineChoice::Ort));
            writeln!(table, "| {title} | {inputs} | {builtin} | {ort} |").unwrap();
        }
    }
    table.push('\n');
    table
}
