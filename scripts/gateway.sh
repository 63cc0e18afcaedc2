#!/bin/sh
# Builds the Go proxy that the REST bench compares with, if need be, and prints its path:
#
#     gateway=$(scripts/gateway.sh)
#
# Its generated code is made from api/proto with the tools that e2e/bench/gateway/go.mod pins, and is not committed.
# Needs Go 1.21 or newer, which gets itself the version that go.mod asks for. What Go says goes to stderr.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:/usr/local/go/bin
if ! command -v go > /dev/null; then
    echo "gateway.sh: needs Go, which is not installed: https://go.dev/doc/install" >&2
    exit 1
fi

source=$root/e2e/bench/gateway
proto=$root/api/proto/inference
out=${CARGO_TARGET_DIR:-$root/target}/bench
mkdir -p "$out"
# Two callers at once: the second waits and then finds it built.
exec 9> "$out/gateway.lock"
if command -v flock > /dev/null; then flock 9; fi

key=$(cd "$source" && cat ./*.go generate/*.go go.mod go.sum gateway.yaml "$proto/inference.proto" | sha256sum | cut -c 1-16)
gateway=$out/gateway-$key
if [ ! -x "$gateway" ]; then
    echo "gateway.sh: building $gateway" >&2
    cd "$source"
    rm -rf gen
    go run -mod=readonly ./generate "$proto" >&2
    go build -mod=readonly -trimpath -o "$gateway.new" . >&2
    mv "$gateway.new" "$gateway"
fi
echo "$gateway"
