//! One line of the file: checksum, and writes as JSON.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::State;
use crate::store::{Entry, Op};

/// Hex digits of the checksum and the space after it.
const PREFIX: usize = 9;

/// Writes of one revision, or one entry of a rewritten file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(rename = "r")]
    revision: u64,
    /// Creation of the entry, in a rewritten file.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(rename = "w")]
    writes: Vec<Write>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Write {
    #[serde(rename = "k")]
    key: String,
    /// Value that is text.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Value that is none, base64. Neither = deleted.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    binary: Option<String>,
}

impl Write {
    fn put(key: &str, value: &Bytes) -> Self {
        let text = std::str::from_utf8(value).ok().map(str::to_owned);
        let binary = text.is_none().then(|| STANDARD.encode(value));
        let key = key.to_owned();
        Self { key, text, binary }
    }
}

impl Line {
    pub(super) fn of(revision: u64, ops: &[Op]) -> Self {
        let write = |op: &Op| match op {
            Op::Put { key, value } => Write::put(key, value),
            Op::Delete { key } => Write {
                key: key.clone(),
                text: None,
                binary: None,
            },
        };
        Self {
            revision,
            created: None,
            writes: ops.iter().map(write).collect(),
        }
    }

    pub(super) fn of_entry(entry: &Entry) -> Self {
        Self {
            revision: entry.revision,
            created: Some(entry.created),
            writes: vec![Write::put(&entry.key, &entry.value)],
        }
    }

    pub(super) fn to_text(&self) -> String {
        // Texts and numbers: nothing that JSON cannot have.
        seal(&serde_json::to_string(self).unwrap_or_default())
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let line: Self = serde_json::from_str(text)
            .map_err(|err| format!("no line of a store, column {}", err.column()))?;
        let decodes = |write: &Write| {
            write
                .binary
                .as_ref()
                .is_none_or(|text| STANDARD.decode(text).is_ok())
        };
        if !line.writes.iter().all(decodes) {
            return Err("`b` holds no base64".to_owned());
        }
        Ok(line)
    }

    pub(super) fn apply(self, state: &mut State) {
        let (revision, created) = (self.revision, self.created);
        for Write { key, text, binary } in self.writes {
            let binary = binary.and_then(|text| STANDARD.decode(text).ok());
            match text.map(String::into_bytes).or(binary) {
                Some(value) => state.restore(key.into(), value.into(), revision, created),
                None => state.restore_deleted(&key, revision),
            }
        }
    }
}

/// A line with its checksum and end.
pub(super) fn seal(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + PREFIX + 1);
    // Writing to a string cannot fail.
    let _ = writeln!(line, "{:08x} {text}", checksum(text.as_bytes()));
    line
}

/// What a line holds, without checksum and end; or what is wrong with it.
pub(super) fn open(line: &[u8]) -> Result<&str, String> {
    let unfinished = || "it is unfinished".to_owned();
    let line = line.strip_suffix(b"\n").ok_or_else(unfinished)?;
    let (prefix, text) = line.split_at_checked(PREFIX).ok_or_else(unfinished)?;
    let wanted = std::str::from_utf8(prefix)
        .ok()
        .and_then(|prefix| u32::from_str_radix(prefix.strip_suffix(' ')?, 16).ok());
    if wanted != Some(checksum(text)) {
        return Err("its checksum does not fit".to_owned());
    }
    std::str::from_utf8(text).map_err(|_| "it is no UTF-8".to_owned())
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
