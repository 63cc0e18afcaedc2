//! The file: a line for every transaction, rewritten when most of it is history.
//!
//! A line is the CRC-32 of the rest in eight hex digits, a space, and JSON: the revision and its writes. What follows the
//! last good line is an unfinished write and is cut off. A bad line before a good one is damage: then the file is left
//! alone, and so is the store.

mod line;

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{error, warn};

use self::line::Line;
use super::state::{State, size};
use crate::store::{Entry, Op, StoreError};

/// The file is rewritten when it is longer than this and twice what it holds, in bytes.
const SMALL: u64 = 1 << 20;
/// First line, without its checksum: what this is, and the version of the format.
const HEADER: &str = r#"{"stowage":"store","version":1}"#;

/// Why a file is no store.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("cannot {doing} the store file {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the store file {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Something else, or from a newer version.
    #[error("{} is no store file of this version: its first line must hold {HEADER}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A line in the middle cannot be read.
    #[error(
        "the store file {} is damaged in line {line}: {reason}; it was left as it is: restore a copy of it, or move it \
         away to start empty", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Up to here the file is good.
    length: u64,
    /// Length after the last rewrite or reading: what is not history.
    live: u64,
    /// It could not be put right after a failed write.
    broken: bool,
    /// Held for as long as the file is in use.
    _lock: File,
}

impl Journal {
    /// Reads the file into an empty state.
    pub(super) fn open(path: &Path, state: &mut State) -> Result<Self, JournalError> {
        let failed = |doing| {
            let path = path.to_owned();
            move |source| JournalError::Io { doing, path, source }
        };
        let lock = lock(path)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open"))?;
        let length = read(path, &mut file, state)?;
        let found = file.metadata().map_err(failed("read"))?.len();
        if found > length {
            warn!(path = %path.display(), bytes = found - length, "an unfinished write at the end of the store file was cut off");
            file.set_len(length).map_err(failed("shorten"))?;
        }
        file.seek(SeekFrom::Start(length)).map_err(failed("read"))?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            length,
            live: 0,
            broken: false,
            _lock: lock,
        };
        if length == 0 {
            journal.write(&line::seal(HEADER)).map_err(failed("write"))?;
        }
        journal.live = state.lasting().iter().map(|entry| size(entry) as u64).sum();
        Ok(journal)
    }

    /// Writes a transaction, or nothing.
    pub(super) fn append(&mut self, revision: u64, ops: &[Op]) -> Result<(), StoreError> {
        if self.broken {
            return Err(self.unavailable("an earlier write failed and could not be taken back"));
        }
        let text = Line::of(revision, ops).to_text();
        self.write(&text).map_err(|err| {
            // Half a line would hide all that come after it.
            let undone = self.file.set_len(self.length);
            let undone = undone.and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            self.broken = undone.is_err();
            self.unavailable(&err)
        })
    }

    fn unavailable(&self, reason: impl fmt::Display) -> StoreError {
        StoreError::Unavailable(format!("cannot write {}: {reason}", self.path.display()))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.length += text.len() as u64;
        Ok(())
    }

    /// What was appended outlives the machine's end from here on.
    pub(super) fn sync(&self) {
        if let Err(err) = self.file.sync_data() {
            error!(path = %self.path.display(), error = %err, "cannot sync the store file");
        }
    }

    /// Most of the file is history.
    pub(super) fn wants_rewrite(&self) -> bool {
        !self.broken && self.length > SMALL.max(2 * self.live)
    }

    /// Replaces the file by one that has these entries and no history. When that fails the old one stays in use, and
    /// grows by as much again before the next try.
    pub(super) fn rewrite(&mut self, entries: &[Arc<Entry>]) {
        match write_anew(&self.path, entries) {
            Ok((file, length)) => {
                self.file = file;
                self.length = length;
            }
            Err(err) => {
                error!(path = %self.path.display(), error = %err, "cannot rewrite the store file, it keeps growing");
            }
        }
        self.live = self.length;
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.sync();
    }
}

/// The file beside it that says whose it is. The file itself is replaced now and then, and a lock with it.
fn lock(path: &Path) -> Result<File, JournalError> {
    let path = path.to_owned();
    let opened = File::create(beside(&path, "lock"));
    let file = match opened {
        Ok(file) => file,
        Err(source) => {
            let doing = "lock";
            return Err(JournalError::Io { doing, path, source });
        }
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::InUse { path }),
        Err(fs::TryLockError::Error(source)) => {
            let doing = "lock";
            Err(JournalError::Io { doing, path, source })
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Reads all good lines into the state; returns where they end.
fn read(path: &Path, file: &mut File, state: &mut State) -> Result<u64, JournalError> {
    let mut lines = BufReader::new(file);
    let (mut bytes, mut number, mut good) = (Vec::new(), 0, 0);
    let mut bad: Option<(u64, String)> = None;
    loop {
        bytes.clear();
        let length = lines
            .read_until(b'\n', &mut bytes)
            .map_err(|source| JournalError::Io {
                doing: "read",
                path: path.to_owned(),
                source,
            })?;
        if length == 0 {
            return Ok(good);
        }
        number += 1;
        match (line::open(&bytes), &bad) {
            (Ok(text), None) if number == 1 => {
                if text != HEADER {
                    return Err(JournalError::Foreign {
                        path: path.to_owned(),
                    });
                }
            }
            (Ok(text), None) => match Line::parse(text) {
                Ok(line) => line.apply(state),
                Err(reason) => return Err(damaged(path, number, reason)),
            },
            (Err(_), None) if number == 1 => {
                return Err(JournalError::Foreign {
                    path: path.to_owned(),
                });
            }
            (Err(reason), None) => bad = Some((number, reason)),
            (Ok(_), Some((line, reason))) => return Err(damaged(path, *line, reason.clone())),
            (Err(_), Some(_)) => {}
        }
        if bad.is_none() {
            good += length as u64;
        }
    }
}

fn damaged(path: &Path, line: u64, reason: String) -> JournalError {
    let path = path.to_owned();
    JournalError::Damaged { path, line, reason }
}

/// Whenever the machine stops, there is either the old file or the new one.
fn write_anew(path: &Path, entries: &[Arc<Entry>]) -> io::Result<(File, u64)> {
    let new = beside(path, "new");
    let mut out = BufWriter::new(File::create(&new)?);
    out.write_all(line::seal(HEADER).as_bytes())?;
    for entry in entries {
        out.write_all(Line::of_entry(entry).to_text().as_bytes())?;
    }
    let mut file = out.into_inner()?;
    file.sync_all()?;
    let length = file.stream_position()?;
    fs::rename(&new, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok((file, length))
}

#[cfg(test)]
mod tests;
