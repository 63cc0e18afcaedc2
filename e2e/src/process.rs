//! Processes under test: found, started, watched and ended here.
//!
//! Output goes to a file and is shown when the test that owns the process fails. A process dies with its owner, and at
//! the latest with the program.

mod scratch;

use std::{
    env,
    ffi::OsStr,
    fs, io,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tempfile::TempDir;

pub use self::scratch::scratch;

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(10);

/// The repository's root.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// A binary of this workspace, in the folder that the running test or bench was built into.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("find the running program")?;
    // target/<profile>/deps/<test>
    let folder = own
        .ancestors()
        .nth(2)
        .context("the running program lies in no target folder")?;
    let path = folder.join(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not built: run `cargo build -p standalone -p router -p adapter -p webhook --bins` with the tests' profile",
        path.display()
    );
    Ok(path)
}

/// Waits until `probe` gives something, and says `what` was waited for when it does not in time.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut probe: F) -> anyhow::Result<T>
where
    F: AsyncFnMut() -> anyhow::Result<Option<T>>,
{
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        anyhow::ensure!(Instant::now() < end, "{what}: not within {limit:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts a command with its output captured and no input.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let folder = TempDir::new_in(scratch()?)?;
        let output = fs::File::create(folder.path().join("output"))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        let process = Self { name, child, folder };
        scratch::remember(process.id())?;
        Ok(process)
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far, errors included.
    pub fn output(&self) -> String {
        let bytes = fs::read(self.folder.path().join("output")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Fails, with the output, when the process has ended.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended, {status}:\n{}", self.name, self.output()),
        }
    }

    /// Asks it to end, as a supervisor does.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal("-TERM")
    }

    /// Stops it where it is: it keeps its memory and its connections, and does nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal("-STOP")
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let status = Command::new("kill")
            .arg(signal)
            .arg(self.id().to_string())
            .status()
            .context("run kill")?;
        anyhow::ensure!(status.success(), "kill {signal}: {status}");
        Ok(())
    }

    /// Ends it at once, and returns when it has ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait()?;
        scratch::forget(self.id());
        Ok(())
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("end of {}", self.name);
        eventually(&what, limit, async || Ok(self.child.try_wait()?)).await
    }

    /// Memory that is resident now, in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmHWM:")
    }

    /// CPU time so far, of all its threads that live, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // Time on the CPU, time in the queue, slices; exact, unlike the ticks of /proc/PID/stat.
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = text.split_whitespace().next().context("empty schedstat")?;
            nanoseconds += on_cpu.parse::<f64>()?;
        }
        Ok(nanoseconds / 1e9)
    }

    fn memory(&self, field: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .with_context(|| format!("no {field} in {path}"))?;
        let kilobytes: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .context(field.to_owned())?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _: io::Result<()> = self.child.kill();
        scratch::forget(self.id());
        let _: io::Result<ExitStatus> = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- output of {} ---\n{}---", self.name, self.output());
        }
    }
}

/// What a command that ended left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end, off the runtime's threads.
pub async fn run<I>(program: impl AsRef<OsStr>, args: I) -> anyhow::Result<Finished>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    finish(command).await
}

/// The same with a command that has its environment and input set. It runs in the repository's root.
pub async fn finish(mut command: Command) -> anyhow::Result<Finished> {
    command.current_dir(root());
    let name = command.get_program().to_string_lossy().into_owned();
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .with_context(|| format!("run {name}"))?;
    Ok(Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).unwrap()
    }

    const SOON: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn output_and_exit_code_are_kept() {
        let mut process = shell("echo said; echo complained >&2; exit 3");
        let status = process.wait(SOON).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.output(), "said\ncomplained\n");
        let err = process.check_running().unwrap_err().to_string();
        assert!(err.contains("complained"), "{err}");
    }

    #[tokio::test]
    async fn a_process_can_be_asked_to_end() {
        let mut process = shell("trap 'kill $!; exit 7' TERM; sleep 1000 & echo ready; wait");
        eventually("the trap", SOON, async || {
            Ok((process.output() == "ready\n").then_some(()))
        })
        .await
        .unwrap();
        process.check_running().unwrap();
        assert!(process.resident_bytes().unwrap() > 0);
        assert!(process.peak_bytes().unwrap() >= process.resident_bytes().unwrap());
        process.terminate().unwrap();
        assert_eq!(process.wait(SOON).await.unwrap().code(), Some(7));
    }

    #[tokio::test]
    async fn a_process_dies_with_its_owner() {
        let process = shell("exec sleep 1000");
        let path = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(path.exists());
        drop(process);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_process_dies_when_it_is_killed() {
        let mut process = shell("exec sleep 1000");
        process.kill().unwrap();
        assert!(!PathBuf::from(format!("/proc/{}", process.id())).exists());
        assert!(process.check_running().is_err());
        process.kill().unwrap();
    }

    #[tokio::test]
    async fn waiting_ends() {
        let never = eventually("the moon", Duration::ZERO, async || Ok(None::<()>)).await;
        assert!(never.unwrap_err().to_string().starts_with("the moon"));
        let failed = eventually("the moon", SOON, async || -> anyhow::Result<Option<()>> {
            anyhow::bail!("it fell")
        })
        .await;
        assert_eq!(failed.unwrap_err().to_string(), "it fell");
    }

    #[test]
    fn a_binary_that_is_not_built() {
        let err = binary("no-such-binary").unwrap_err().to_string();
        assert!(err.contains("cargo build"), "{err}");
    }
}
