#!/usr/bin/env bash
# Builds the fuzz targets and runs each for a while, on its seeds and what earlier runs found (fuzz/corpus):
#
#     fuzz/run.sh                    all targets
#     FUZZ_SECONDS=600 fuzz/run.sh proto_path
#     fuzz/run.sh proto_path FILE    one input again, such as a finding in fuzz/artifacts
#
# Needs the pinned toolchain and g++, neither nightly nor cargo-fuzz. There is no address sanitizer: our crates
# forbid unsafe code, so findings are panics, overflows, failed assertions, time and memory.
set -euo pipefail
[ $# -ne 2 ] || set -- "$1" "$(realpath "$2")"
cd "$(dirname "$0")"

seconds=${FUZZ_SECONDS:-30}
targets=(fuzz_targets/*.rs)
targets=("${targets[@]##*/}")
targets=("${targets[@]%.rs}")

host=$(rustc -vV | sed -n 's/^host: //p')
# Coverage as libFuzzer wants it. --target keeps the flags away from build scripts and macros.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=16"
cargo build --release --locked --target "$host" --bins
bin=${CARGO_TARGET_DIR:-target}/$host/release

if [ $# -eq 2 ]; then
    exec "$bin/$1" "$2"
fi
[ $# -eq 0 ] || targets=("$@")

passed=0
failed=0
for target in "${targets[@]}"; do
    echo "--- $target: $seconds seconds"
    mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target"
    # One input may take 10 s and 2 GiB; both are findings.
    if "$bin/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "corpus/$target" "seeds/$target" 2>&1 |
        grep -vE '^#[0-9]+\s+(REDUCE|NEW)|NEW_FUNC|# Uses: |Recommended dictionary|recommended dictionary' ; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$target failed; again with: fuzz/run.sh $target fuzz/artifacts/$target/..."
    fi
done
verdict=ok
[ "$failed" -eq 0 ] || verdict=FAILED
echo "test result: $verdict. $passed passed; $failed failed"
[ "$failed" -eq 0 ]
