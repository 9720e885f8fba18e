# The commands of the README and of CI. Each does all that it needs, on a machine that has cargo, a C compiler and
# Python 3.11; there is no second way to do any of them.

CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2

# The Python tools, in an environment of their own that is made again when their versions change.
PYTHON_TOOLS := target/tools/python
PYTHON_PINS := agent/python/tools.txt

# Programs for others are static, so that they run on every Linux; and nothing in them says where or when they were made.
# Their date is that of the locked dependencies, since aws-lc-sys is compiled anew with each other date.
HOST := $(shell rustc --print host-tuple)
STATIC_RUSTFLAGS := -C target-feature=+crt-static \
	--remap-path-prefix=$(CURDIR)=/keyside --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
LOCKED_DATE = $(shell git log -1 --format=%ct -- Cargo.lock)
REPRODUCIBLY = SOURCE_DATE_EPOCH=$(LOCKED_DATE) RUSTFLAGS="$(STATIC_RUSTFLAGS)"

# What a release consists of, and where it is put.
RELEASED := keyside keyside-bootstrap
RELEASE := target/dist

# How long each target is fuzzed. New inputs and findings stay below target/; the seeds are not touched.
FUZZ_SECONDS := 60
FUZZED := $(notdir $(wildcard tests/fuzz/seeds/*))
# Without a sanitizer: what could break memory is in two files, and lies in mappings that no sanitizer knows.
FUZZ_OPTIONS := --fuzz-dir tests/fuzz --target-dir target/fuzz --features libfuzzer --sanitizer none
# Linked as one and stripped, nothing could be counted and no finding be placed.
FUZZ_PROFILE := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

.PHONY: help build demo test simulate check check-python deny wheel fuzz release release-check

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build every binary
	cargo build --locked --workspace --bins

demo: build ## Show the main job: a pipeline's secrets from an emulated Key Vault
	python3 tests/demo/demo.py

test: build wheel ## Run every test, and tell on one page what ran
	python3 tests/summary.py cargo test --locked --workspace --no-fail-fast

simulate: ## Draw the pictures of fleets in docs/pictures, the same each time
	cargo bench --locked -p keyside-tests --bench simulation --profile simulation

wheel: $(PYTHON_TOOLS)/made ## Make the Python wheel, with the program in it, in target/wheels
	rm -f target/wheels/keyside-*.whl
	cd agent/python && $(REPRODUCIBLY) \
		../../$(PYTHON_TOOLS)/bin/maturin build --locked --release --target $(HOST) --compatibility manylinux2014 \
		--out ../../target/wheels

release: ## Make the static programs, their bills of materials and checksums, in target/dist
	@cargo cyclonedx --version 2>/dev/null | grep -qxF 'cargo-cyclonedx-cyclonedx $(CARGO_CYCLONEDX_VERSION)' \
		|| cargo install --locked --version $(CARGO_CYCLONEDX_VERSION) cargo-cyclonedx
	$(REPRODUCIBLY) cargo build --locked --release --target $(HOST) $(RELEASED:%=--package %) --bins
	rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	for program in $(RELEASED); do cp target/$(HOST)/release/$$program $(RELEASE)/$$program-$(HOST) || exit; done
	SOURCE_DATE_EPOCH=$(LOCKED_DATE) cargo cyclonedx -qq --format json --spec-version 1.5 --target $(HOST) --describe binaries
	mv agent/keyside_bin.cdx.json $(RELEASE)/keyside-$(HOST).cdx.json
	mv bootstrap/keyside-bootstrap_bin.cdx.json $(RELEASE)/keyside-bootstrap-$(HOST).cdx.json
	find tests -name '*_bin.cdx.json' -delete
	sed -i 's|file://$(CURDIR)|file:///keyside|g' $(RELEASE)/*.cdx.json
	cd $(RELEASE) && sha256sum -- * > SHA256SUMS && cat SHA256SUMS

release-check: ## Make the release of the last commit in two other folders, and compare all of it
	tests/release/compare.sh

fuzz: ## Look for inputs that break the agent's properties, FUZZ_SECONDS for each kind
	@cargo fuzz --version 2>/dev/null | grep -qxF 'cargo-fuzz $(CARGO_FUZZ_VERSION)' \
		|| cargo install --locked --version $(CARGO_FUZZ_VERSION) cargo-fuzz
	for target in $(FUZZED); do \
		mkdir -p target/fuzz/corpus/$$target target/fuzz/findings/$$target; \
		$(FUZZ_PROFILE) cargo fuzz run $(FUZZ_OPTIONS) $$target target/fuzz/corpus/$$target tests/fuzz/seeds/$$target \
			-- -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=1 \
			-artifact_prefix=target/fuzz/findings/$$target/ || exit; \
	done

check: deny check-python ## Check format, lints, documentation and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

check-python: $(PYTHON_TOOLS)/made
	cd agent/python && ../../$(PYTHON_TOOLS)/bin/ruff format --check
	cd agent/python && ../../$(PYTHON_TOOLS)/bin/ruff check
	cd agent/python && ../../$(PYTHON_TOOLS)/bin/mypy

$(PYTHON_TOOLS)/made: $(PYTHON_PINS)
	python3 -m venv --clear $(PYTHON_TOOLS)
	$(PYTHON_TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

deny:
	@cargo deny --version 2>/dev/null | grep -qxF 'cargo-deny $(CARGO_DENY_VERSION)' \
		|| cargo install --locked --version $(CARGO_DENY_VERSION) cargo-deny
	cargo deny --locked check bans licenses sources
