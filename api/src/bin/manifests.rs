//! Writes the definitions of the custom resources: `make manifests`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use api::resources::{Kind, crd};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: manifests FOLDER");
        return ExitCode::from(2);
    };
    for kind in Kind::ALL {
        let path = folder.join(crd::file_name(kind));
        if let Err(error) = write(kind, &path) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(1);
        }
    }
    ExitCode::SUCCESS
}

fn write(kind: Kind, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    Ok(std::fs::write(path, crd::yaml(kind)?)?)
}
