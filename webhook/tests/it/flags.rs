//! Flags of `stowage-webhook serve` that cannot work are refused before anything starts.

use std::process::Command;

#[test]
fn what_cannot_work_is_refused_with_what_would() {
    for (flags, told) in [
        (
            &["--self-managed", "--cert-lifetime", "30s"][..],
            "--cert-lifetime 30s is too short: at least 1m",
        ),
        (
            &["--self-managed", "--max-body", "1"],
            "--max-body must be at least 1KiB",
        ),
        (
            &[
                "--self-managed",
                "--drain-delay",
                "9s",
                "--shutdown-timeout",
                "8s",
            ],
            "--drain-delay 9s must be shorter than --shutdown-timeout 8s",
        ),
    ] {
        let done = Command::new(env!("CARGO_BIN_EXE_stowage-webhook"))
            .arg("serve")
            .args(flags)
            .output()
            .expect("the binary is built with this test");
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{flags:?}: {text}");
        assert!(text.contains(told), "{flags:?}: {text}");
    }
}
