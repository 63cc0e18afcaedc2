//! Exit codes: 0 fine, 1 the work failed or something was denied, 2 wrong usage or configuration.

use std::process::ExitCode;

/// The work was done.
pub const OK: u8 = 0;
/// The work failed, or something was denied.
pub const FAILED: u8 = 1;
/// Wrong flags, environment or configuration.
pub const USAGE: u8 = 2;

/// Marks an error as the user's configuration: exit code 2. Wraps its cause without adding to the text.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UsageError(#[from] pub anyhow::Error);

impl UsageError {
    /// A usage error of this text.
    pub fn msg(text: impl Into<String>) -> Self {
        Self(anyhow::Error::msg(text.into()))
    }
}

/// Exit code of a finished program.
pub fn code_of(result: &anyhow::Result<()>) -> u8 {
    match result {
        Ok(()) => OK,
        // `is` looks through added context; a usage error below another error type is the chain's.
        Err(err) if err.is::<UsageError>() || err.chain().any(<dyn std::error::Error>::is::<UsageError>) => {
            USAGE
        }
        Err(_) => FAILED,
    }
}

/// Ends `main`: one line on stderr says why it failed.
pub fn finish(result: anyhow::Result<()>) -> ExitCode {
    let code = code_of(&result);
    if let Err(err) = result {
        eprintln!("error: {err:#}");
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn usage_is_two_however_deep() {
        assert_eq!(code_of(&Ok(())), OK);
        assert_eq!(code_of(&Err(anyhow!("disk full"))), FAILED);
        let usage =
            || -> anyhow::Result<()> { Err(UsageError::msg("--grpc and --rest are both :8033").into()) };
        assert_eq!(code_of(&usage()), USAGE);
        let wrapped = usage().context("read configuration");
        assert_eq!(
            format!("{:#}", wrapped.as_ref().unwrap_err()),
            "read configuration: --grpc and --rest are both :8033"
        );
        assert_eq!(code_of(&wrapped), USAGE);
    }
}
