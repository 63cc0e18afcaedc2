//! What this program would leave behind is cleared away, however the program ends: destructors run neither for statics
//! nor after a kill.
//!
//! A shell waits for the end of its input, which is the end of this program. Then it ends the processes that still run,
//! and removes the folder that holds their files.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use anyhow::Context as _;
use tempfile::TempDir;

/// Nothing is ever written to its input. A process that is being killed may still write a file: hence the repetition.
const SWEEP: &str = r#"
trap '' HUP INT TERM
read -r _
cd "$1" || exit
for file in process-*; do
    [ -e "$file" ] && kill -KILL "${file#process-}"
done
for _ in 1 2 3 4 5; do
    rm -rf "$1" && exit
    sleep 1
done
"#;

static SCRATCH: LazyLock<Result<Scratch, String>> =
    LazyLock::new(|| Scratch::start().map_err(|err| format!("{err:#}")));

/// The folder of this program, and who removes it.
#[derive(Debug)]
struct Scratch {
    folder: PathBuf,
    /// Holds the other end of its input.
    _sweeper: Child,
}

impl Scratch {
    fn start() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("stowage-e2e-").context("create the folder of this program")?;
        let sweeper = sweeper(folder.path()).spawn().context("start sh")?;
        Ok(Self {
            folder: folder.keep(),
            _sweeper: sweeper,
        })
    }
}

fn sweeper(folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", SWEEP, "sweep"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Whatever interrupts this program's group must not interrupt the clearing.
        .process_group(0);
    command
}

/// A folder for files of this program; everything in it goes when the program ends.
pub fn scratch() -> anyhow::Result<&'static Path> {
    match &*SCRATCH {
        Ok(scratch) => Ok(&scratch.folder),
        Err(err) => anyhow::bail!("{err}"),
    }
}

fn note(id: u32) -> anyhow::Result<PathBuf> {
    Ok(scratch()?.join(format!("process-{id}")))
}

/// From now on this process ends when the program does.
pub(super) fn remember(id: u32) -> anyhow::Result<()> {
    fs::write(note(id)?, "").context("note a process")
}

/// This process has ended, its id may be another's soon.
pub(super) fn forget(id: u32) {
    // Without a note there is nothing to forget.
    if let Ok(note) = note(id) {
        let _ = fs::remove_file(note);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn what_is_left_behind_is_cleared_away() {
        let folder = TempDir::new().unwrap().keep();
        let mut left = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(folder.join(format!("process-{}", left.id())), "").unwrap();
        fs::create_dir(folder.join("data")).unwrap();
        fs::write(folder.join("data/file"), "text").unwrap();

        let mut sweeper = sweeper(&folder).spawn().unwrap();
        // The end of its owner.
        drop(sweeper.stdin.take());
        assert_eq!(left.wait().unwrap().signal(), Some(9));
        assert!(sweeper.wait().unwrap().success());
        assert!(!folder.exists());
    }
}
