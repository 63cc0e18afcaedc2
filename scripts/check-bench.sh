#!/usr/bin/env bash
# `stowage-webhook check` beside kubeconform, over 10,000 manifests and the schemas of our custom resource definitions:
#
#     scripts/check-bench.sh                                both, in turns; prints a table
#     scripts/check-bench.sh --manifests 100 --runs 1       a look whether it works
set -euo pipefail
cd "$(dirname "$0")/.."

kubeconform=$(scripts/client-tool.sh kubeconform)/kubeconform
cargo build --release --locked -p webhook --bin stowage-webhook
cargo build --release --locked -p e2e --bin check-bench
target/release/check-bench --webhook target/release/stowage-webhook --kubeconform "$kubeconform" "$@"
