//! Where ONNX Runtime's library lies, and whether a file can be loaded as one.

use std::{
    cmp::Reverse,
    env::{self, consts::DLL_PREFIX},
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Why ONNX Runtime cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// There is none.
    #[error(
        "ONNX Runtime's library is not there: no {FILE} {}; `pip install onnxruntime` brings it, in the package's \
         folder onnxruntime/capi; name the file or its folder with --onnx-runtime-library or ORT_DYLIB_PATH",
        places(looked)
    )]
    NotFound {
        /// Where was looked.
        looked: Vec<PathBuf>,
    },
    /// It cannot be loaded, or is something else.
    #[error("ONNX Runtime's library {} cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another one is loaded already.
    #[error("ONNX Runtime's library {} cannot be used beside {}, which this process has loaded", path.display(), loaded.display())]
    Second {
        /// The file.
        path: PathBuf,
        /// The one that was loaded first.
        loaded: PathBuf,
    },
}

#[cfg(target_os = "macos")]
const FILE: &str = "libonnxruntime.dylib";
#[cfg(not(target_os = "macos"))]
const FILE: &str = "libonnxruntime.so";

/// Folders where the system's loader looks on Linux distributions, most specific first.
const SYSTEM: [&str; 9] = [
    "/usr/local/lib",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu",
    #[cfg(not(target_arch = "aarch64"))]
    "/usr/lib/x86_64-linux-gnu",
    #[cfg(target_arch = "aarch64")]
    "/lib/aarch64-linux-gnu",
    #[cfg(not(target_arch = "aarch64"))]
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/lib",
    "/usr/local/lib64",
    "/opt/onnxruntime/lib",
];

fn places(looked: &[PathBuf]) -> String {
    let mut text = String::new();
    for (index, folder) in looked.iter().enumerate() {
        let before = if index == 0 { "in " } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{before}{}", folder.display());
    }
    text
}

/// The library at `named`, which may also be its folder; else the first one beside the program or where the system's
/// loader looks.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, LibraryError> {
    let Some(named) = named else {
        return find_in(folders());
    };
    if named.is_dir() {
        return find_in(vec![named.to_owned()]);
    }
    // Absolute, because the loader would look for a bare name elsewhere.
    named.canonicalize().map_err(|error| LibraryError::Unusable {
        path: named.to_owned(),
        reason: error.to_string(),
    })
}

fn find_in(folders: Vec<PathBuf>) -> Result<PathBuf, LibraryError> {
    let found = folders.iter().find_map(|folder| in_folder(folder));
    found.ok_or(LibraryError::NotFound { looked: folders })
}

fn folders() -> Vec<PathBuf> {
    let program = env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let beside = program.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let loader = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let loader = env::split_paths(&loader).filter(|path| path.is_absolute());
    let mut folders = Vec::new();
    for folder in beside.into_iter().chain(loader).chain(SYSTEM.map(PathBuf::from)) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The library in this folder: the plain name, else the highest version.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(FILE);
    if plain.is_file() {
        return plain.canonicalize().ok();
    }
    let stem = format!("{DLL_PREFIX}onnxruntime.");
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let mut versions = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(&stem)?;
            let numbers = rest
                .split('.')
                .filter(|part| !matches!(*part, "so" | "dylib"))
                .map(|part| part.parse::<u32>().ok());
            Some((Reverse(numbers.collect::<Option<Vec<_>>>()?), entry.path()))
        })
        .collect::<Vec<_>>();
    versions.sort();
    let (_, path) = versions.into_iter().next()?;
    path.canonicalize().ok()
}

/// Whether a file is a whole shared library for this processor. The system's loader maps a file that was cut short and
/// dies when it reads the missing part.
#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
pub(super) fn inspect(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileExt as _;

    /// `ET_DYN` of the ELF specification.
    const SHARED: u16 = 3;
    /// `PT_LOAD`.
    const LOAD: u32 = 1;
    /// `EM_X86_64` and `EM_AARCH64`.
    const MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
        Some(62)
    } else if cfg!(target_arch = "aarch64") {
        Some(183)
    } else {
        None
    };
    let failed = |error: std::io::Error| error.to_string();
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut header = [0; 64];
    // 64 bits, little-endian.
    if file.read_exact_at(&mut header, 0).is_err() || !header.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is not a shared library".to_owned());
    }
    if number::<2>(&header, 16) != u64::from(SHARED) {
        return Err("it is not a shared library".to_owned());
    }
    if MACHINE.is_some_and(|machine| number::<2>(&header, 18) != u64::from(machine)) {
        return Err("it is for another kind of processor".to_owned());
    }
    let (start, size) = (number::<8>(&header, 32), number::<2>(&header, 54));
    for index in 0..number::<2>(&header, 56) {
        let mut segment = [0; 56];
        let offset = start.saturating_add(index * size);
        if file.read_exact_at(&mut segment, offset).is_err() {
            return Err("it is cut short".to_owned());
        }
        let end = number::<8>(&segment, 8).saturating_add(number::<8>(&segment, 32));
        if number::<4>(&segment, 0) == u64::from(LOAD) && end > metadata.len() {
            return Err("it is cut short".to_owned());
        }
    }
    Ok(())
}

/// The little-endian number of `N` bytes at `offset`; 0 outside of the bytes.
#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
fn number<const N: usize>(bytes: &[u8], offset: usize) -> u64 {
    let mut wide = [0; 8];
    if let (Some(from), Some(to)) = (bytes.get(offset..offset + N), wide.get_mut(..N)) {
        to.copy_from_slice(from);
    }
    u64::from_le_bytes(wide)
}

/// Whether a file is there; the format of this system's libraries is not looked at.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
pub(super) fn inspect(path: &Path) -> Result<(), String> {
    File::open(path).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_the_plain_name_or_the_highest_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let touch = |name: &str| fs::write(path.join(name), "").unwrap();
        let found = || find(Some(&path)).map(|found| found.file_name().unwrap().to_owned());
        touch("libonnxruntime_providers_shared.so");
        touch("libonnxruntime.so.txt");
        assert_eq!(
            found(),
            Err(LibraryError::NotFound {
                looked: vec![path.clone()]
            })
        );
        touch("libonnxruntime.so.1.9.0");
        touch("libonnxruntime.so.1.24.1");
        assert_eq!(found().unwrap(), "libonnxruntime.so.1.24.1");
        touch(FILE);
        assert_eq!(found().unwrap(), FILE);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_whole_libraries_pass() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let reason = |content: &[u8]| {
            fs::write(&file, content).unwrap();
            inspect(&file)
        };
        assert_eq!(reason(b""), Err("it is not a shared library".to_owned()));
        assert_eq!(
            reason(&[b'x'; 4096]),
            Err("it is not a shared library".to_owned())
        );
        // Position-independent programs have the form of a library, this one included.
        let whole = fs::read(env::current_exe().unwrap()).unwrap();
        assert_eq!(reason(&whole), Ok(()));
        for part in [64, whole.len() / 8] {
            assert_eq!(reason(&whole[..part]), Err("it is cut short".to_owned()));
        }
        let mut foreign = whole;
        foreign[18] = 8;
        assert_eq!(
            reason(&foreign),
            Err("it is for another kind of processor".to_owned())
        );
    }
}
