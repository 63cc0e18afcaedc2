//! Checks files on all processors: every file is read once for what others may look up, then judged.

use std::{
    io::{IsTerminal as _, Write as _},
    num::NonZero,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use super::{
    context::Context,
    files::{self, Found, Source},
    manifest::{self, Locator, Manifest, Object},
    verdict::{Verdict, judge},
    yaml::Problem,
};
use crate::review::Options;

/// For [`Plan::kept_bytes`]: a parsed object takes about five times its text.
pub(super) const KEPT_BYTES: usize = 32 << 20;
/// How often the progress is written.
const PROGRESS: Duration = Duration::from_millis(100);
/// Quicker checks show no progress.
const FEW_FILES: usize = 200;

/// What to check, and how.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) files: Vec<PathBuf>,
    pub(super) context: Vec<PathBuf>,
    pub(super) old: Vec<PathBuf>,
    pub(super) namespace: String,
    pub(super) options: Options,
    /// Whether verdicts have the object after defaulting.
    pub(super) keep_defaulted: bool,
    /// Text of the files whose objects are kept between the two passes; files beyond that are read twice.
    pub(super) kept_bytes: usize,
}

/// What was found in one file.
#[derive(Debug, Default)]
pub(super) struct FileReport {
    /// The file as it was named.
    pub(super) file: String,
    pub(super) verdicts: Vec<Verdict>,
    /// What could not be read.
    pub(super) problems: Vec<Problem>,
    /// Objects of kinds without rules.
    pub(super) ignored: usize,
    /// The text, where findings or problems are to be shown in it.
    pub(super) text: Option<String>,
}

/// Everything that was found, in the order of the arguments.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) files: Vec<FileReport>,
    /// Folders without a manifest.
    pub(super) empty: Vec<String>,
}

/// A file between the passes.
struct Loaded {
    text: String,
    manifest: Manifest,
}

/// A file that was not read yet, is kept, or has to be read again.
type Slot = Mutex<Option<Result<Loaded, Problem>>>;

/// Checks everything.
pub(super) fn run(plan: &Plan) -> Report {
    let mut report = Report::default();
    let mut context = Context::new(&plan.namespace);
    for (arguments, stored) in [(&plan.context, false), (&plan.old, true)] {
        let found = files::find(arguments);
        report.note(&found);
        for source in found.sources {
            let mut problems = Vec::new();
            match load(&source) {
                Err(problem) => problems.push(problem),
                Ok(Loaded { manifest, .. }) => {
                    problems = manifest.problems;
                    for object in manifest.objects {
                        if stored {
                            context.remember(object);
                        } else {
                            note(context.know(&object), &object, &mut problems);
                        }
                    }
                }
            }
            report.failed(source.label(), problems);
        }
    }

    let found = files::find(&plan.files);
    report.note(&found);
    let sources = found.sources;
    let progress = Progress::new(sources.len());
    let kept = AtomicUsize::new(0);
    let slots: Vec<Slot> = sources.iter().map(|_| Mutex::new(None)).collect();
    let shared = Mutex::new(context);
    in_parallel(sources.len(), &progress, "read", |index| {
        let (Some(source), Some(slot)) = (sources.get(index), slots.get(index)) else {
            return;
        };
        let mut loaded = load(source);
        let size = loaded.as_ref().map_or(0, |loaded| loaded.text.len());
        let fits = kept.fetch_add(size, Ordering::Relaxed) + size <= plan.kept_bytes;
        if fits || !source.can_be_read_again() {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
        } else {
            add(
                &mut shared.lock().unwrap_or_else(PoisonError::into_inner),
                &mut loaded,
            );
        }
    });
    let mut context = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    // In order: of two objects of one name the later counts, whichever thread was faster.
    for slot in &slots {
        if let Some(loaded) = slot.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            add(&mut context, loaded);
        }
    }

    let reports: Vec<Mutex<FileReport>> = sources.iter().map(|_| Mutex::default()).collect();
    in_parallel(sources.len(), &progress, "checked", |index| {
        let (Some(source), Some(slot), Some(target)) =
            (sources.get(index), slots.get(index), reports.get(index))
        else {
            return;
        };
        let loaded = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let loaded = loaded.unwrap_or_else(|| load(source));
        let report = check(source.label(), loaded, &context, plan);
        *target.lock().unwrap_or_else(PoisonError::into_inner) = report;
    });
    progress.clear();
    let reports = reports
        .into_iter()
        .map(|report| report.into_inner().unwrap_or_else(PoisonError::into_inner));
    report.files.extend(reports);
    report
}

/// Says that an object cannot be looked up.
fn note(taken: Result<(), String>, object: &Object, problems: &mut Vec<Problem>) {
    if let Err(message) = taken {
        let message = format!("object {}: {message}", object.index);
        problems.push(Problem::of_file(message));
    }
}

/// Makes the objects of a file known to the others.
fn add(context: &mut Context, loaded: &mut Result<Loaded, Problem>) {
    if let Ok(Loaded { manifest, .. }) = loaded {
        let Manifest { objects, problems } = manifest;
        for object in objects.iter() {
            note(context.add(object), object, problems);
        }
    }
}

fn load(source: &Source) -> Result<Loaded, Problem> {
    let text = source.read()?;
    let manifest = manifest::read(&text);
    Ok(Loaded { text, manifest })
}

fn check(file: String, loaded: Result<Loaded, Problem>, context: &Context, plan: &Plan) -> FileReport {
    let mut report = FileReport {
        file,
        ..FileReport::default()
    };
    let Loaded { text, manifest } = match loaded {
        Ok(loaded) => loaded,
        Err(problem) => {
            report.problems.push(problem);
            return report;
        }
    };
    let mut locator = Locator::new(&text);
    for object in &manifest.objects {
        match judge(object, &mut locator, context, &plan.options, plan.keep_defaulted) {
            Some(verdict) => report.verdicts.push(verdict),
            None => report.ignored += 1,
        }
    }
    report.problems = manifest.problems;
    report
        .problems
        .sort_by_key(|problem| (problem.line, problem.column));
    let shown =
        !report.problems.is_empty() || report.verdicts.iter().any(|verdict| !verdict.findings.is_empty());
    report.text = shown.then_some(text);
    report
}

impl Report {
    fn note(&mut self, found: &Found) {
        for (file, problem) in &found.problems {
            self.failed(file.clone(), vec![problem.clone()]);
        }
        self.empty.extend(found.empty.iter().cloned());
    }

    /// A file that counts only by what is wrong with it.
    fn failed(&mut self, file: String, problems: Vec<Problem>) {
        if !problems.is_empty() {
            self.files.push(FileReport {
                file,
                problems,
                ..FileReport::default()
            });
        }
    }
}

/// Runs `work` for every number below `count`, on as many threads as there are processors.
fn in_parallel(count: usize, progress: &Progress, verb: &str, work: impl Fn(usize) + Sync) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(count);
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            work(index);
        }
    };
    if threads <= 1 {
        return run();
    }
    thread::scope(|scope| {
        let (done, all_done) = sync_channel::<()>(threads);
        for _ in 0..threads {
            let done = done.clone();
            scope.spawn(move || {
                run();
                drop(done);
            });
        }
        drop(done);
        // Ends when the last thread has dropped its end.
        while let Err(RecvTimeoutError::Timeout) = all_done.recv_timeout(PROGRESS) {
            progress.show(verb, next.load(Ordering::Relaxed).min(count));
        }
    });
}

/// A line on a terminal that says how far it is.
struct Progress {
    total: usize,
    shown: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        let shown = total >= FEW_FILES && std::io::stderr().is_terminal();
        Self { total, shown }
    }

    fn show(&self, verb: &str, count: usize) {
        if self.shown {
            // Nothing depends on it.
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[K{verb} {count} of {} files",
                self.total
            );
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests;
