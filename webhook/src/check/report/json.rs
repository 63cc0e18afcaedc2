//! One JSON array with an element for each object.

use std::io::{self, Write};

use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use serde_json::Value;

use crate::{
    check::{
        run::{FileReport, Report},
        verdict::{Located, Verdict},
    },
    finding::Finding,
};

#[derive(Serialize)]
struct Element<'a> {
    file: &'a str,
    /// Place among the objects of the file, from 0.
    index: usize,
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    allowed: bool,
    findings: Vec<FoundAt<'a>>,
    defaulted: Option<&'a Value>,
}

#[derive(Serialize)]
struct FoundAt<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    line: usize,
    column: usize,
}

impl<'a> Element<'a> {
    fn of(file: &'a FileReport, verdict: &'a Verdict) -> Self {
        let found = |located: &'a Located| FoundAt {
            finding: &located.finding,
            line: located.place.line,
            column: located.place.column,
        };
        Self {
            file: &file.file,
            index: verdict.index,
            kind: verdict.kind.name(),
            namespace: &verdict.namespace,
            name: &verdict.name,
            allowed: verdict.allowed(),
            findings: verdict.findings.iter().map(found).collect(),
            defaulted: verdict.defaulted.as_ref(),
        }
    }
}

struct Array<'a>(&'a Report);

impl Serialize for Array<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(None)?;
        for file in &self.0.files {
            for verdict in &file.verdicts {
                array.serialize_element(&Element::of(file, verdict))?;
            }
        }
        array.end()
    }
}

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Array(report))?;
    writeln!(out)
}
