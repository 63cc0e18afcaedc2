#!/usr/bin/env bash
# Benches, as they are installed (profile dist) or in release:
#
#     scripts/bench.sh                           everything below
#     scripts/bench.sh proxy --divide 100        the router beside haproxy and nginx, with these arguments
#     scripts/bench.sh rest --divide 20          inference over HTTP beside a Go proxy, MLServer and gRPC
#     scripts/bench.sh density --divide 25       very many models in one process
#     scripts/bench.sh engines --divide 100      the inference engines beside onnxruntime in Python
#     scripts/bench.sh parts                     parts of the router
#     scripts/bench.sh --divide 100 --runs 1     the same as "proxy" with these arguments
#
# PROFILE   the profile of the programs (default: dist)
#
# Wants two cores with nothing else to do. Installs haproxy, nginx and h2load where they are missing (Debian); the Go
# proxy needs Go.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin
profile=${PROFILE:-dist}

# need PROGRAM... -- PACKAGE...: installs the packages if one of the programs is missing
need() {
    local missing=false
    while [ "$1" != -- ]; do
        command -v "$1" > /dev/null || missing=true
        shift
    done
    shift
    if $missing; then scripts/apt.sh "$@"; fi
}

build() {
    cargo build --profile "$profile" --locked -p router -p e2e --bin stowage-router --bin echo-backend --bin "$1"
}

proxy() {
    need haproxy nginx h2load taskset -- haproxy nginx-light nghttp2-client util-linux
    build proxy-bench
    "${CARGO_TARGET_DIR:-target}/$profile/proxy-bench" "$@"
}

rest() {
    need h2load taskset -- nghttp2-client util-linux
    build rest-bench
    "${CARGO_TARGET_DIR:-target}/$profile/rest-bench" "$@"
}

engines() {
    need taskset -- util-linux
    cargo bench --locked -p e2e --bench engines --no-run
    # One core is one thread for every engine.
    taskset -c 1 cargo bench --quiet --locked -p e2e --bench engines -- "$@"
}

density() {
    need taskset -- util-linux
    cargo build --profile "$profile" --locked -p standalone -p e2e --bin stowage --bin density-bench
    "${CARGO_TARGET_DIR:-target}/$profile/density-bench" "$@"
}

# Pure code: no sockets, no other process.
parts() {
    cargo bench --locked -p router --bench '*'
    cargo bench --locked -p adapter --bench kernels
}

case ${1:-} in
    proxy | rest | density | engines | parts) "$@" ;;
    "")
        proxy
        rest
        density
        engines
        parts
        ;;
    -*) proxy "$@" ;;
    *)
        echo "bench.sh: no bench $1; there are proxy, rest, density, engines and parts" >&2
        exit 2
        ;;
esac
