#!/bin/sh
# Prints the path of a Python virtual environment that holds exactly the packages of a pinned requirements file, and
# creates it first if need be:
#
#     python=$(scripts/venv.sh e2e/clients/requirements.txt)/bin/python
#
# Environments live in $STOWAGE_CACHE (default: ~/.cache/stowage), one per content of the file and version of Python,
# so a second call costs nothing. What pip says goes to stderr.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
requirements=${1:-"$root/e2e/clients/requirements.txt"}
python=${PYTHON:-python3}

if [ ! -f "$requirements" ]; then
    echo "venv.sh: no such requirements file: $requirements" >&2
    exit 2
fi
if ! version=$("$python" -c 'import sys, venv; print("%d.%d" % sys.version_info[:2])' 2>&1); then
    echo "venv.sh: needs $python with the venv module (Debian: scripts/apt.sh python3 python3-venv): $version" >&2
    exit 1
fi

key=$( { echo "$version"; cat "$requirements"; } | sha256sum | cut -c 1-16)
cache=${STOWAGE_CACHE:-$HOME/.cache/stowage}/venv
venv=$cache/$key

if [ ! -f "$venv/.complete" ]; then
    mkdir -p "$cache"
    # Two callers at once: the second waits and then finds the environment complete.
    exec 9> "$cache/$key.lock"
    if command -v flock > /dev/null; then flock 9; fi
    if [ ! -f "$venv/.complete" ]; then
        rm -rf "$venv"
        echo "venv.sh: installing $(grep -c '==' "$requirements") packages of $requirements" >&2
        "$python" -m venv "$venv" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
            --requirement "$requirements" >&2
        "$venv/bin/python" -m pip check --disable-pip-version-check >&2
        touch "$venv/.complete"
    fi
fi
echo "$venv"
