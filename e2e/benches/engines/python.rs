//! The process in Python: a line of JSON each way.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use e2e::process;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::input::{Answer, Input};

/// `e2e/bench/engines.py`; ends with this.
#[derive(Debug)]
pub(super) struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Median {
    median_us: f64,
}

#[derive(Deserialize)]
struct Outputs {
    outputs: Vec<Answer>,
}

impl Python {
    pub(super) fn start(python: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(process::root().join("e2e/bench/engines.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", python.display()))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    pub(super) fn load(&mut self, model: &Path) -> anyhow::Result<()> {
        self.ask::<Value>(&json!({"load": model})).map(drop)
    }

    pub(super) fn answer(&mut self, input: &Input) -> anyhow::Result<Vec<Answer>> {
        let answer: Outputs = self.ask(&with(input, &json!({})))?;
        Ok(answer.outputs)
    }

    pub(super) fn median_us(&mut self, input: &Input, time: Duration, warm_up: usize) -> anyhow::Result<f64> {
        let loop_of = json!({"seconds": time.as_secs_f64(), "warm_up": warm_up});
        let answer: Median = self.ask(&with(input, &loop_of))?;
        Ok(answer.median_us)
    }

    fn ask<T: DeserializeOwned>(&mut self, question: &Value) -> anyhow::Result<T> {
        writeln!(self.input, "{question}")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "it ended; what it said is above");
        serde_json::from_str(&line).with_context(|| line)
    }
}

fn with(input: &Input, more: &Value) -> Value {
    let mut question = json!({"name": input.name, "shape": input.shape, "file": input.file()});
    if let (Some(question), Some(more)) = (question.as_object_mut(), more.as_object()) {
        question.extend(more.clone());
    }
    question
}

impl Drop for Python {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
