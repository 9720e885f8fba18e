# The commands of the README and of CI. Each does all that it needs, on a machine that has cargo, a C compiler and
# Python 3.11; there is no second way to do any of them.

CARGO_DENY_VERSION := 0.20.2

# The Python tools, in an environment of their own that is made again when their versions change.
PYTHON_TOOLS := target/tools/python
PYTHON_PINS := agent/python/tools.txt

# The wheel's program is static, so that it runs on every Linux; and nothing in it says where or when it was made. Its date
# is that of the locked dependencies, since aws-lc-sys is compiled anew with each other date.
HOST := $(shell rustc --print host-tuple)
WHEEL_RUSTFLAGS := -C target-feature=+crt-static \
	--remap-path-prefix=$(CURDIR)=/keyside --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
WHEEL_DATE = $(shell git log -1 --format=%ct -- Cargo.lock)

.PHONY: help build demo test bench simulate check check-python deny wheel

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build every binary
	cargo build --locked --workspace --bins

demo: build ## Show the main job: a pipeline's secrets from an emulated Key Vault
	python3 tests/demo/demo.py

test: build wheel ## Run every test
	cargo test --locked --workspace

bench: ## Measure the program of the wheel, print the table, and write docs/benchmarks.md with its pictures
	SOURCE_DATE_EPOCH=$(WHEEL_DATE) RUSTFLAGS="$(WHEEL_RUSTFLAGS)" \
		cargo build --locked --release --target $(HOST) -p keyside --bins
	cargo build --locked --release -p keyside-tests --bins
	cargo build --locked --profile simulation -p keyside-emulator --bins
	cargo bench --locked --profile simulation -p keyside-tests --bench speed -- \
		--keyside $(CURDIR)/target/$(HOST)/release/keyside --floor $(CURDIR)/target/release/keyside-floor

simulate: ## Draw the pictures of fleets in docs/pictures, the same each time
	cargo bench --locked -p keyside-tests --bench simulation --profile simulation

wheel: $(PYTHON_TOOLS)/made ## Make the Python wheel, with the program in it, in target/wheels
	rm -f target/wheels/keyside-*.whl
	cd agent/python && SOURCE_DATE_EPOCH=$(WHEEL_DATE) RUSTFLAGS="$(WHEEL_RUSTFLAGS)" \
		../../$(PYTHON_TOOLS)/bin/maturin build --locked --release --target $(HOST) --compatibility manylinux2014 \
		--out ../../target/wheels

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
