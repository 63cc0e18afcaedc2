#!/usr/bin/env bash
# Prints the path of etcd for tests:
#
#     etcd=$(scripts/etcd.sh)
#
# Taken from the first of these that has it, 3.5 or newer: $STOWAGE_ETCD (a program), then where scripts/kubernetes.sh looks
# and builds it if need be.
set -euo pipefail

if [ -n "${STOWAGE_ETCD:-}" ]; then
    if [ ! -x "$STOWAGE_ETCD" ]; then
        echo "etcd.sh: STOWAGE_ETCD=$STOWAGE_ETCD is no program" >&2
        exit 2
    fi
    echo "$STOWAGE_ETCD"
    exit
fi
folder=$("$(dirname "$0")/kubernetes.sh" etcd)
echo "$folder/etcd"
