# The commands of the README and of CI. Each does all that it needs, on a machine that has cargo, a C compiler and
# Python 3.11; there is no second way to do any of them.

CARGO_DENY_VERSION := 0.20.2

.PHONY: help build demo test check deny

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build every binary
	cargo build --locked --workspace --bins

demo: build ## Show the main job: a pipeline's secrets from an emulated Key Vault
	python3 tests/demo/demo.py

test: build ## Run every test
	cargo test --locked --workspace

check: deny ## Check format, lints, documentation and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

deny:
	@cargo deny --version 2>/dev/null | grep -qxF 'cargo-deny $(CARGO_DENY_VERSION)' \
		|| cargo install --locked --version $(CARGO_DENY_VERSION) cargo-deny
	cargo deny --locked check bans licenses sources
