#!/bin/sh
# Installs Debian packages that are missing, by name:
#
#     scripts/apt.sh                      what tests and benches use
#     scripts/apt.sh haproxy nginx-light  just these
#
# Does nothing, and needs no root, when all of them are there.
set -eu

[ $# -gt 0 ] || set -- curl haproxy nginx-light nghttp2-client

if ! command -v dpkg-query > /dev/null; then
    echo "apt.sh: this is no Debian system; install the equivalents of: $*" >&2
    exit 1
fi

missing=
for package in "$@"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2> /dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "apt.sh: not root, and these packages are missing:$missing" >&2
    echo "apt.sh: run as root: apt-get update && apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

echo "apt.sh: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 >&2
# Unquoted on purpose: a list of names.
# A server that is installed for tests must not start as a service: the policy answers "do not start" to every script.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086
apt-get install --yes --quiet=2 --no-install-recommends $missing >&2
