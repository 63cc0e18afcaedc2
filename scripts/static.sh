#!/bin/sh
# Builds `stowage-webhook` for pipelines: one file that needs nothing on the machine that it runs on, with the commands
# that need no cluster (check, explain, policies). Prints its path; what cargo says goes to stderr.
#
#     cp "$(scripts/static.sh)" /usr/local/bin/
#
# The C library is linked in. Naming the target keeps the flag from build scripts and procedural macros, which must be
# dynamic. PROFILE says how it is built (default: dist).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=$(rustc -vV | sed -n 's/^host: //p')
profile=${PROFILE:-dist}

case $target in
    *-linux-gnu | *-linux-musl) ;;
    *)
        echo "static.sh: static programs are made on Linux; this is $target" >&2
        exit 1
        ;;
esac

cd "$root"
RUSTFLAGS='-C target-feature=+crt-static' cargo rustc --locked --profile "$profile" --target "$target" \
    -p webhook --bin stowage-webhook --no-default-features --features check -- -C strip=symbols >&2

folder=$profile
[ "$profile" != dev ] || folder=debug
program=${CARGO_TARGET_DIR:-$root/target}/$target/$folder/stowage-webhook

# Where there is no static C library, a linker may take the shared one without a word.
if ldd "$program" 2> /dev/null | grep -F .so >&2; then
    echo "static.sh: $program needs these libraries; is the static C library (Debian: libc6-dev) installed?" >&2
    exit 1
fi
"$program" explain IS-C05 > /dev/null
echo "$program"
