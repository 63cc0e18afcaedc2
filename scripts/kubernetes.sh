#!/usr/bin/env bash
# Prints the folder that holds the Kubernetes control plane for tests: etcd, kube-apiserver,
# kube-controller-manager, kube-scheduler and kubectl:
#
#     assets=$(scripts/kubernetes.sh)
#     assets=$(scripts/kubernetes.sh kubectl)    when only this program is needed
#
# Taken from the first of these that has all of them, recent enough:
#   1. $KUBEBUILDER_ASSETS
#   2. a folder of $PATH
#   3. $STOWAGE_CACHE (default: ~/.cache/stowage), where they are built if need be, at the versions that
#      e2e/kubernetes/go.mod pins. That wants Go and takes about ten minutes of CPU, once.
#
# Go's own module cache is used; the cache of compiled packages is thrown away afterwards. What happens is told on stderr.
set -euo pipefail

module=$(cd "$(dirname "$0")/../e2e/kubernetes" && pwd)
# ValidatingAdmissionPolicy is on by default since 1.30, which wants etcd 3.5.
oldest_kubernetes=1.30
oldest_etcd=3.5

declare -A packages=(
    [etcd]=go.etcd.io/etcd/server/v3
    [kube-apiserver]=k8s.io/kubernetes/cmd/kube-apiserver
    [kube-controller-manager]=k8s.io/kubernetes/cmd/kube-controller-manager
    [kube-scheduler]=k8s.io/kubernetes/cmd/kube-scheduler
    [kubectl]=k8s.io/kubernetes/cmd/kubectl
)
# The smallest first: what is wrong with the machine shows early.
programs=(etcd kubectl kube-scheduler kube-controller-manager kube-apiserver)
[ $# -eq 0 ] || programs=("$@")
for program in "${programs[@]}"; do
    if [ -z "${packages[$program]:-}" ]; then
        echo "kubernetes.sh: no such program: $program; known: ${!packages[*]}" >&2
        exit 2
    fi
done

say() {
    echo "kubernetes.sh: $*" >&2
}

# The version that a program reports: digits and dots.
version() {
    local text
    case $2 in
        kubectl) text=$("$1/$2" version --client 2> /dev/null) || return ;;
        *) text=$("$1/$2" --version 2> /dev/null) || return ;;
    esac
    sed -n 's/^[^0-9]*\([0-9][0-9]*\.[0-9][0-9]*\.[0-9][0-9]*\).*/\1/p;' <<< "$text" | sed -n 1p
}

# Whether a folder has all programs, recent enough; what speaks against it is printed.
unfit() {
    local program found oldest
    for program in "${programs[@]}"; do
        if [ ! -x "$1/$program" ]; then
            echo "no $program"
            return
        fi
        oldest=$oldest_kubernetes
        [ "$program" != etcd ] || oldest=$oldest_etcd
        found=$(version "$1" "$program") || found=
        if [ -z "$found" ]; then
            echo "$program does not tell its version"
            return
        fi
        if [ "$(printf '%s\n%s\n' "$oldest" "$found" | sort --version-sort | sed -n 1p)" != "$oldest" ]; then
            echo "$program is $found, wanted is $oldest or newer"
            return
        fi
    done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    reason=$(unfit "$KUBEBUILDER_ASSETS")
    if [ -z "$reason" ]; then
        (cd "$KUBEBUILDER_ASSETS" && pwd)
        exit
    fi
    say "not taken: KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS: $reason"
fi
IFS=: read -r -a folders <<< "$PATH"
for folder in "${folders[@]}"; do
    if [ -x "$folder/${programs[0]}" ] && [ -z "$(unfit "$folder")" ]; then
        echo "$folder"
        exit
    fi
done

# The version of a module that go.mod requires.
pinned() {
    sed -n "s|^[[:space:]]*$1 v\([0-9.]*\)\([[:space:]].*\)\{0,1\}$|\1|p" "$module/go.mod"
}

kubernetes=$(pinned k8s.io/kubernetes)
cache=${STOWAGE_CACHE:-$HOME/.cache/stowage}
assets=$cache/kubernetes-$kubernetes-etcd-$(pinned go.etcd.io/etcd/server/v3)

missing() {
    local program
    for program in "${programs[@]}"; do
        [ -x "$assets/$program" ] || echo "$program"
    done
}

work=$assets.build

build() {
    local stamp flags program number=0
    # What a build that was killed left behind.
    rm -rf "$work"
    mkdir -p "$work/tmp" "$assets"
    trap 'rm -rf "$work"' EXIT
    # A built program does not know its version: the project's own build stamps it, and so does this one.
    stamp="-X k8s.io/component-base/version.gitVersion=v$kubernetes"
    stamp+=" -X k8s.io/component-base/version.gitMajor=${kubernetes%%.*}"
    stamp+=" -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<< "$kubernetes")"
    stamp+=" -X k8s.io/client-go/pkg/version.gitVersion=v$kubernetes"
    flags=(-trimpath -ldflags "-s -w $stamp")
    export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off GOCACHE=$work/cache GOTMPDIR=$work/tmp
    for program in "$@"; do
        number=$((number + 1))
        say "building $program ($number of $#)"
        if ! (cd "$module" && go build "${flags[@]}" -o "$work/$program" "${packages[$program]}") >&2; then
            say "$program could not be built; what is above says why"
            return 1
        fi
        # One step: whoever sees the program sees all of it.
        mv "$work/$program" "$assets/$program"
    done
}

mapfile -t wanted < <(missing)
if [ ${#wanted[@]} -gt 0 ]; then
    # Where Go's own installer puts it, which not every shell looks into.
    PATH=$PATH:/usr/local/go/bin
    if ! command -v go > /dev/null; then
        say "missing: ${wanted[*]}; to build them takes Go 1.24 or newer: https://go.dev/dl, or set KUBEBUILDER_ASSETS"
        exit 1
    fi
    mkdir -p "$cache"
    # Two callers at once: the second waits and then finds them built.
    exec 9> "$assets.lock"
    if command -v flock > /dev/null; then flock 9; fi
    mapfile -t wanted < <(missing)
    if [ ${#wanted[@]} -gt 0 ]; then
        say "Kubernetes $kubernetes is built once, about ten minutes of CPU for all of it: ${wanted[*]}"
        begin=$SECONDS
        build "${wanted[@]}"
        say "built in $((SECONDS - begin)) s: $assets"
    fi
    exec 9>&-
fi
echo "$assets"
