# A thin front door: the work is in scripts/ and in the crates.

.PHONY: help test fmt clippy deny fuzz models manifests bench

help:
	@echo "make test    everything that must hold: format, lints, dependencies, builds, tests, 30 s of each fuzz target"
	@echo "make fmt     format the sources"
	@echo "make clippy  lints of the workspace, warnings are errors"
	@echo "make deny    bans, licenses and sources of the dependencies"
	@echo "make fuzz    fuzz targets, FUZZ_SECONDS each (30)"
	@echo "make models  train the example models again"
	@echo "make manifests  write the definitions of the custom resources again"
	@echo "make bench   the router beside haproxy and nginx, then its parts; in release; prints tables"

test:
	@scripts/test.sh

fmt:
	cargo fmt --all
	cargo fmt --all --manifest-path fuzz/Cargo.toml

clippy:
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

deny:
	scripts/cargo-tool.sh cargo-deny --all-features --locked check bans licenses sources

fuzz:
	fuzz/run.sh

models:
	$$(scripts/venv.sh examples/requirements.txt)/bin/python examples/make_models.py

manifests:
	cargo run -p api --features manifests --bin manifests -- manifests/crds

bench:
	scripts/bench.sh
