//! The inference engines on the example models, beside `onnxruntime` in Python: the same files, inputs and threads (one).
//!
//! Pinned to one core, `scripts/bench.sh engines` runs it there. Engines take turns, and medians are shown. Rust is
//! measured around `LoadedModel::run`, Python around `session.run`: neither reads requests nor writes responses. Before
//! anything is measured, all must give the same answers.

mod contender;
mod input;
mod python;
mod report;

use std::{env, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use e2e::{
    bench::sheet::{Section, Sheet, machine},
    process,
};

use self::{contender::Contender, input::Input, report::Detail};

/// Models, and where they are within `examples/models`.
const MODELS: [(&str, &str); 6] = [
    ("iris", "iris.onnx"),
    ("wine", "wine"),
    ("breast-cancer", "breast-cancer/2"),
    ("diabetes", "diabetes.onnx"),
    ("digits", "digits"),
    ("digits-cnn", "digits-cnn"),
];
/// Rows of a call.
const BATCHES: [usize; 2] = [1, 64];
/// Time of one run before it is divided.
const TIME: Duration = Duration::from_millis(400);
/// What services allocate with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the engines on the example models, and prints tables
#[derive(Parser)]
struct Args {
    /// Interleaved runs of each engine; medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,

    /// Divides the time of a run: 100 shows within seconds whether everything works
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    divide: u32,

    /// Only models with this in their name
    #[arg(long, default_value = "")]
    only: String,

    /// Where the numbers of every run go
    #[arg(long, default_value = "target/bench/engines.json")]
    json: PathBuf,

    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Cargo starts benches in the folder of their crate.
    env::set_current_dir(process::root())?;
    let threads = std::thread::available_parallelism()?;
    anyhow::ensure!(
        threads.get() == 1,
        "{threads} cores are here; engines must have one each: taskset -c 1 cargo bench ..."
    );
    let mut contenders = contender::all()?;
    let mut sections = Vec::new();
    for (model, path) in MODELS.iter().filter(|(model, _)| model.contains(&args.only)) {
        for contender in &mut contenders {
            contender
                .load(model, path)
                .with_context(|| format!("{}: load {model}", contender.name()))?;
        }
        for batch in BATCHES {
            let input = Input::of_example(model, batch)?;
            let name = format!("{model}, {} {batch}", if batch == 1 { "row:" } else { "rows:" });
            let runs = measure(&args, &mut contenders, &input).with_context(|| name)?;
            sections.push(Section {
                name: format!("{model}, batch {batch}"),
                unit: "us per call",
                series: report::series(model, batch, &contenders, runs),
            });
        }
    }
    let sheet: Sheet<Detail> = Sheet {
        machine: machine(),
        sections,
    };
    report::print(&sheet)?;
    sheet.write(&args.json)?;
    eprintln!("\nevery run: {}", args.json.display());
    Ok(())
}

/// Medians of each run, by contender.
fn measure(args: &Args, contenders: &mut [Contender], input: &Input) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut answers = Vec::new();
    for contender in contenders.iter_mut() {
        let answer = contender.answer(input);
        answers.push(answer.with_context(|| contender.name().to_owned())?);
    }
    for (contender, answer) in contenders.iter().zip(&answers) {
        input::same(answer, &answers[0]).with_context(|| {
            format!(
                "{} answers otherwise than {}",
                contender.name(),
                contenders[0].name()
            )
        })?;
    }
    let mut runs = vec![Vec::new(); contenders.len()];
    for _ in 0..args.runs {
        for (contender, runs) in contenders.iter_mut().zip(&mut runs) {
            runs.push(contender.median_us(input, TIME / args.divide)?);
        }
    }
    Ok(runs)
}
