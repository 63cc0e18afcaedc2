//! ONNX Runtime in this process: loaded once, with one pool of threads for all models.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use ort::{
    environment::{Environment, GlobalThreadPoolOptions},
    logging::LogLevel,
};
use parking_lot::Mutex;

use super::{
    library::{self, LibraryError},
    reason::{contained, reason},
};

/// The library, ready to make sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    environment: Environment,
    library: Arc<Path>,
    version: Option<Arc<str>>,
}

impl Runtime {
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

/// What became of the one attempt that a process has: a library cannot be unloaded, and the binding keeps the first.
static OPENED: Mutex<Option<Result<Runtime, LibraryError>>> = Mutex::new(None);

/// Loads the library, or gives the one that was loaded before.
pub(super) fn open(path: &Path) -> Result<Runtime, LibraryError> {
    let mut opened = OPENED.lock();
    match &*opened {
        Some(Ok(runtime)) if *runtime.library == *path => return Ok(runtime.clone()),
        Some(Ok(runtime)) => {
            return Err(LibraryError::Second {
                path: path.to_owned(),
                loaded: runtime.library.to_path_buf(),
            });
        }
        Some(Err(error)) => return Err(error.clone()),
        None => {}
    }
    let unusable = |reason: String| LibraryError::Unusable {
        path: path.to_owned(),
        reason,
    };
    library::inspect(path).map_err(unusable)?;
    // Before anything else is asked of the binding, which would load a library of its own choice, or panic.
    let builder = contained(|| ::ort::init_from(path)).map_err(unusable)?;
    let builder = builder.map_err(|error| unusable(describe(&error)))?;
    let result = contained(|| start(builder, path))
        .unwrap_or_else(Err)
        .map_err(|reason| unusable(format!("it does not start: {reason}")));
    opened.insert(result).clone()
}

/// Why the library was not loaded, without what we say ourselves.
fn describe(error: &::ort::LoadDynamicError) -> String {
    use ::ort::LoadDynamicError as E;
    match error {
        E::Dlopen { error, .. } => format!("it cannot be loaded: {error}"),
        E::MissingApi { .. } => "it is not ONNX Runtime: it has no OrtGetApiBase".to_owned(),
        E::InvalidVersionString => "it is not ONNX Runtime: its version is no text".to_owned(),
        E::BadVersion { version_str, .. } => format!(
            "it is ONNX Runtime {version_str}, and 1.{} or newer is needed",
            ::ort::MINOR_VERSION
        ),
    }
}

fn start(builder: ::ort::environment::EnvironmentBuilder, path: &Path) -> Result<Runtime, String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let environment = || -> ::ort::Result<Environment> {
        // Threads that spin would take the processors from those that serve.
        let pool = GlobalThreadPoolOptions::default()
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_spin_control(false)?;
        builder
            .with_name("stowage")
            .with_telemetry(false)
            .with_global_thread_pool(pool)
            .with_logger(Arc::new(log))
            .build()
    };
    let environment = environment().map_err(|error| reason(&error))?;
    environment.set_log_level(LogLevel::Warning);
    Ok(Runtime {
        environment,
        library: Arc::from(path),
        version: version(::ort::info(), path),
    })
}

/// What the engine logs. All errors come back from its calls as well, so nothing here is for operators.
fn log(level: LogLevel, category: &str, id: &str, location: &str, message: &str) {
    tracing::debug!(target: "onnxruntime", ?level, category, id, location, "{message}");
}

/// The version, which the binding does not tell: from what the library says about its build, else from its name.
fn version(info: &str, path: &Path) -> Option<Arc<str>> {
    let is_version = |text: &&str| {
        text.split('.').count() == 3
            && text
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let branch = info
        .split("git-branch=rel-")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .filter(is_version);
    let name = || {
        let path: PathBuf = path.canonicalize().ok()?;
        let name = path.file_name()?.to_str()?;
        let version = name.split(".so.").nth(1).filter(is_version);
        version.map(Arc::from)
    };
    branch.map(Arc::from).or_else(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_build_or_from_the_name() {
        let version = |info: &str| version(info, Path::new("/nowhere/libonnxruntime.so"));
        let rest = ", git-commit-id=f1, build type=Release";
        assert_eq!(
            version(&format!("ORT Build Info: git-branch=rel-1.31.1{rest}")).as_deref(),
            Some("1.31.1")
        );
        assert_eq!(version(&format!("ORT Build Info: git-branch=HEAD{rest}")), None);
        assert_eq!(version(""), None);
    }
}
