#!/usr/bin/env bash
# Everything that must hold before a change lands. Each step shows its output; a step that fails does not stop the
# others. At the end: one table, and as the last line how many tests and checks passed and failed.
#
#     scripts/test.sh             all steps
#     scripts/test.sh lint test   only the steps whose names start so
#
# STOWAGE_CACHE   where tools and Python environments are kept (default: ~/.cache/stowage)
# FUZZ_SECONDS    how long each fuzz target runs (default: 30)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

export STOWAGE_CACHE=${STOWAGE_CACHE:-$HOME/.cache/stowage}
# Debian packages that the steps below need beyond a Rust toolchain; no root is needed when they are there.
packages=(curl g++ libb64-0d nghttp2-client python3 python3-venv util-linux)
# Node.js from elsewhere comes with npm.
command -v npm > /dev/null || packages+=(nodejs npm)
# An older Go than scripts/client-tool.sh can use is refused there.
command -v go > /dev/null || packages+=(golang-go)

only=("$@")
logs=$(mktemp -d) || exit 2
trap 'rm -rf "$logs"' EXIT
rows=()
passed=0
failed=0

wanted() {
    [ ${#only[@]} -eq 0 ] && return 0
    local prefix
    for prefix in "${only[@]}"; do
        [[ $1 == "$prefix"* ]] && return 0
    done
    return 1
}

# Sums of "N passed" and "N failed" over the result lines of test binaries.
count() {
    awk '/^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
         END { print p + 0, f + 0 }' "$1"
}

# No step may hang for ever; a cold build on two busy cores takes a third of this. Seconds.
longest=3600

# step NAME COMMAND...: runs, shows, counts. A step without test results counts as one check.
step() {
    local name=$1 begin=$SECONDS code log ok bad result
    shift
    wanted "$name" || return 0
    printf '\n=== %s: %s\n' "$name" "$*"
    log=$logs/$name
    if [ "$(type -t "$1")" = file ]; then set -- timeout --kill-after=30 "$longest" "$@"; fi
    "$@" 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    read -r ok bad < <(count "$log")
    if [ $((ok + bad)) -eq 0 ]; then
        [ "$code" -eq 0 ] && ok=1
    fi
    # A test that does not compile, or dies, has no line of its own.
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    result=ok
    [ "$bad" -eq 0 ] || result=FAILED
    passed=$((passed + ok))
    failed=$((failed + bad))
    rows+=("$(printf '%-10s %-8s %7d %7d %8d' "$name" "$result" "$ok" "$bad" $((SECONDS - begin)))")
}

install() {
    if command -v dpkg-query > /dev/null; then
        scripts/apt.sh "${packages[@]}" || return
    fi
    scripts/cargo-tool.sh --install cargo-deny && scripts/venv.sh &&
        scripts/venv.sh e2e/clients/requirements-kserve.txt &&
        scripts/venv.sh webhook/tests/sarif/requirements.txt && scripts/kubernetes.sh || return
    local tool
    for tool in grpcurl buf perf_analyzer; do
        scripts/client-tool.sh "$tool" || return
    done
}

format() {
    cargo fmt --all --check && cargo fmt --all --check --manifest-path fuzz/Cargo.toml
}

step install install
step format format
step lint cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
step deny scripts/cargo-tool.sh cargo-deny --all-features --locked check bans licenses sources
# The same features as the tests, so that nothing is compiled twice; end-to-end tests start these binaries.
step build cargo build --workspace --all-features --locked --bins
step test cargo test --workspace --all-features --locked --no-fail-fast
step fuzz fuzz/run.sh

printf '\n%-10s %-8s %7s %7s %8s\n' step result passed failed seconds
printf '%s\n' "${rows[@]}"
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
