# A thin front door: the work is in scripts/ and in the crates.

.PHONY: help test fmt clippy deny fuzz models docs-tables manifests rules bench sim plots

help:
	@echo "make test    everything that must hold: format, lints, dependencies, builds, tests, 30 s of each fuzz target"
	@echo "make fmt     format the sources"
	@echo "make clippy  lints of the workspace, warnings are errors"
	@echo "make deny    bans, licenses and sources of the dependencies"
	@echo "make fuzz    fuzz targets, FUZZ_SECONDS each (30)"
	@echo "make models  train the example models again"
	@echo "make docs-tables  write the tables of docs/onnx.md and docs/simulation.md anew, from the code"
	@echo "make manifests  write the definitions of the custom resources again"
	@echo "make rules   write docs/rules.md from the rule table"
	@echo "make bench   the router beside haproxy, nginx, a Go proxy and MLServer, very many models, the engines; in release; prints tables"
	@echo "make sim     a fleet in virtual time with faults, SEEDS of them (1000); prints the smallest scenario in which something fails"
	@echo "make plots   draw what the benches measured"

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

docs-tables:
	STOWAGE_WRITE_DOCS=1 cargo test --locked -p adapter --test it tables::
	STOWAGE_WRITE_DOCS=1 cargo test --locked -p router --lib sim::policy

manifests:
	cargo run -p api --features manifests --bin manifests -- manifests/crds

rules:
	cargo run -q --locked -p webhook --bin stowage-webhook -- explain -o markdown > docs/rules.md.new
	mv docs/rules.md.new docs/rules.md

bench:
	scripts/bench.sh

sim:
	cargo run -q --release --locked -p router --features sim --bin simulate -- seeds --count $(or $(SEEDS),1000)

plots:
	scripts/plots.sh
