#!/usr/bin/env bash
# Prints the folder of a client that others wrote, and installs its pinned version first if need be:
#
#     PATH=$(scripts/client-tool.sh grpcurl):$PATH
#
# grpcurl         built by go (1.21 or newer) from e2e/tools/go.mod
# kubeconform     the same
# buf             by npm from e2e/tools/package-lock.json
# perf_analyzer   Triton's load generator: a Linux binary inside an older tritonclient, see e2e/clients/requirements-perf.txt
#
# Tools live in $STOWAGE_CACHE (default: ~/.cache/stowage), one folder per content of those files, so a second call costs
# nothing. What the installers say goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
tool=${1:-}
case $tool in
    grpcurl | kubeconform) pins=("$root/e2e/tools/go.mod" "$root/e2e/tools/go.sum") ;;
    buf) pins=("$root/e2e/tools/package.json" "$root/e2e/tools/package-lock.json") ;;
    perf_analyzer) pins=("$root/e2e/clients/requirements-perf.txt") ;;
    *)
        echo "client-tool.sh: usage: client-tool.sh grpcurl|kubeconform|buf|perf_analyzer" >&2
        exit 2
        ;;
esac

# need PROGRAM HINT: fails, and says how to get it, where it is missing.
need() {
    command -v "$1" > /dev/null && return
    echo "client-tool.sh: $tool needs $1: $2" >&2
    exit 1
}

# Each leaves the programs in $folder/bin.
install_grpcurl() {
    local hint="1.21 or newer, from https://go.dev/doc/install (Debian 13: golang-go)"
    need go "$hint"
    # Older ones cannot fetch the version that go.mod asks for, and have no such variable.
    if [ -z "$(go env GOTOOLCHAIN)" ]; then
        echo "client-tool.sh: $(go version) is too old: $tool needs $hint" >&2
        exit 1
    fi
    # -C: the module stands apart from everything else. Without symbols it is a third smaller.
    CGO_ENABLED=0 go build -C "$root/e2e/tools" -mod=readonly -trimpath -ldflags '-s -w' -o "$folder/bin/" tool
}
# One module, built as a whole.
install_kubeconform() { install_grpcurl; }
install_buf() {
    need npm "Debian: scripts/apt.sh nodejs npm"
    mkdir -p "$folder"
    cp "${pins[@]}" "$folder"
    # Of the pinned packages npm takes the one for this processor; without scripts, a program is all that is wanted.
    (
        cd "$folder"
        npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
        ln -s node_modules/@bufbuild/buf-linux-*/bin bin
    )
    "$folder/bin/buf" --version
}
install_perf_analyzer() {
    local venv libraries program
    venv=$("$root/scripts/venv.sh" "${pins[0]}")
    libraries=$(echo "$venv"/lib/python3*/site-packages/nvidia/cuda_runtime/lib)
    mkdir -p "$folder/bin"
    program=$folder/bin/perf_analyzer
    # It is linked to the CUDA runtime, which needs no GPU.
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$venv/bin/perf_analyzer" > "$program"
    chmod +x "$program"
    if ! "$program" --version > /dev/null; then
        echo "client-tool.sh: perf_analyzer needs libb64 (Debian: scripts/apt.sh libb64-0d)" >&2
        exit 1
    fi
}

key=$(cat "${pins[@]}" | sha256sum | cut -c 1-16)
cache=${STOWAGE_CACHE:-$HOME/.cache/stowage}/tools
folder=$cache/$tool-$key
if [ ! -f "$folder/.complete" ]; then
    mkdir -p "$cache"
    # Two callers at once: the second waits and then finds it installed.
    exec 9> "$cache/$tool-$key.lock"
    if command -v flock > /dev/null; then flock 9; fi
    if [ ! -f "$folder/.complete" ]; then
        echo "client-tool.sh: installing $tool (a minute, once)" >&2
        rm -rf "$folder"
        "install_$tool" >&2
        touch "$folder/.complete"
    fi
    exec 9>&-
fi
echo "$folder/bin"
