#!/usr/bin/env bash
# Benches, as they are installed (profile dist) or in release:
#
#     scripts/bench.sh                           all of them
#     scripts/bench.sh --divide 100 --runs 1     only the proxy bench, with these arguments
#     scripts/bench.sh density --divide 25       only very many models in one process, with these arguments
#
# Wants two cores with nothing else to do. Installs haproxy, nginx and h2load where they are missing (Debian).
set -euo pipefail
cd "$(dirname "$0")/.."

density() {
    command -v taskset > /dev/null || scripts/apt.sh util-linux
    cargo build --profile dist --locked -p standalone -p e2e --bin stowage --bin density-bench
    target/dist/density-bench "$@"
}

if [ "${1:-}" = density ]; then
    shift
    density "$@"
    exit
fi

missing=false
for program in haproxy nginx h2load taskset; do
    PATH=$PATH:/usr/sbin command -v "$program" > /dev/null || missing=true
done
if $missing; then scripts/apt.sh haproxy nginx-light nghttp2-client util-linux; fi

cargo build --profile dist --locked -p router -p e2e --bin stowage-router --bin echo-backend --bin proxy-bench
PATH=$PATH:/usr/sbin target/dist/proxy-bench "$@"

[ $# -eq 0 ] || exit 0
density
# Pure code: no sockets, no other process.
cargo bench --locked -p router --bench '*'
cargo bench --locked -p adapter --bench kernels
