#!/usr/bin/env bash
# Runs a cargo tool at its pinned version, and installs it first if need be:
#
#     scripts/cargo-tool.sh cargo-deny check bans
#     scripts/cargo-tool.sh --install cargo-deny
#
# Tools live in $STOWAGE_CACHE (default: ~/.cache/stowage), one folder per version. They are built without
# optimization: that is a third of the time, and they run for a second.
set -euo pipefail

declare -A versions=(
    [cargo-deny]=0.20.2
)

run=true
if [ "${1:-}" = --install ]; then
    run=false
    shift
fi
tool=${1:?usage: cargo-tool.sh [--install] TOOL [ARGUMENT...]}
shift
version=${versions[$tool]:-}
if [ -z "$version" ]; then
    echo "cargo-tool.sh: no pinned version of $tool; known: ${!versions[*]}" >&2
    exit 2
fi

cache=${STOWAGE_CACHE:-$HOME/.cache/stowage}/tools
root=$cache/$tool-$version
if [ ! -x "$root/bin/$tool" ]; then
    mkdir -p "$cache"
    # Two callers at once: the second waits and then finds it installed.
    exec 9> "$cache/$tool.lock"
    flock 9
    if [ ! -x "$root/bin/$tool" ]; then
        echo "cargo-tool.sh: installing $tool $version (minutes, once)" >&2
        CARGO_PROFILE_DEV_DEBUG=0 cargo install "$tool" --version "=$version" --locked --debug --quiet \
            --root "$root" --target-dir "$cache/$tool-build" >&2
        rm -rf "$cache/$tool-build"
    fi
    exec 9>&-
fi
if $run; then
    exec "$root/bin/$tool" "$@"
fi
