#!/usr/bin/env bash
# Draws the numbers of the benches: target/bench/*.json becomes docs/plots/*.svg. The same numbers give the same bytes.
#
#     scripts/plots.sh                          what there is
#     scripts/plots.sh --from other/folder      numbers of another run
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(scripts/venv.sh scripts/plots-requirements.txt)
exec "$venv/bin/python" scripts/plots.py "$@"
