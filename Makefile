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

# The images' programs, static as the wheel's, and the certificates of the authorities that they trust.
IMAGE_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
IMAGE_REVISION = $(shell git rev-parse HEAD)
IMAGE_SOURCE = $(shell git config --get remote.origin.url)
IMAGE_ENGINE ?= $(notdir $(firstword $(shell command -v podman docker)))
CA_BUNDLE ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem))
STATIC_BUILD = SOURCE_DATE_EPOCH=$(WHEEL_DATE) RUSTFLAGS="$(WHEEL_RUSTFLAGS)" \
	cargo build --locked --profile image --target $(HOST)

# What the tests of the images run with, from Debian's packages.
CONTAINER_TOOLS := podman runc netavark aardvark-dns catatonit iptables mmdebstrap

.PHONY: help build demo test simulate check check-python deny wheel image image-files container-tools

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build every binary
	cargo build --locked --workspace --bins

demo: build ## Show the main job: a pipeline's secrets from an emulated Key Vault
	python3 tests/demo/demo.py

test: build wheel image-files container-tools ## Run every test
	cargo test --locked --workspace

simulate: ## Draw the pictures of fleets in docs/pictures, the same each time
	cargo bench --locked -p keyside-tests --bench simulation --profile simulation

wheel: $(PYTHON_TOOLS)/made ## Make the Python wheel, with the program in it, in target/wheels
	rm -f target/wheels/keyside-*.whl
	cd agent/python && SOURCE_DATE_EPOCH=$(WHEEL_DATE) RUSTFLAGS="$(WHEEL_RUSTFLAGS)" \
		../../$(PYTHON_TOOLS)/bin/maturin build --locked --profile image --target $(HOST) --compatibility manylinux2014 \
		--out ../../target/wheels

image: image-files ## Build the container images, with podman or docker
	@test -n "$(IMAGE_ENGINE)" || { echo 'there is neither podman nor docker: install one' >&2; exit 69; }
	$(call build-image,agent,keyside)
	$(call build-image,bootstrap,keyside-bootstrap)
	$(call build-image,emulator,keyside-emulator)

# OCI's own format has no HEALTHCHECK. Podman can say when an image was made, so that the same files make the same image.
build-image = $(IMAGE_ENGINE) build --quiet --file container/Containerfile --target $(1) --tag localhost/$(2):$(IMAGE_VERSION) \
	$(if $(filter podman,$(IMAGE_ENGINE)),--format docker --timestamp $(WHEEL_DATE)) \
	--build-arg VERSION=$(IMAGE_VERSION) --build-arg REVISION=$(IMAGE_REVISION) --build-arg SOURCE=$(IMAGE_SOURCE) target/oci

# The agent by itself, since what the others want of a shared dependency would be in it, too.
image-files:
	@test -n "$(CA_BUNDLE)" || { echo 'no bundle of certificates was found: name one, CA_BUNDLE=FILE' >&2; exit 66; }
	$(STATIC_BUILD) -p keyside
	$(STATIC_BUILD) -p keyside-bootstrap -p keyside-emulator
	mkdir -p target/oci
	install -m 0755 $(addprefix target/$(HOST)/image/,keyside keyside-bootstrap keyside-emulator) target/oci
	install -m 0644 $(CA_BUNDLE) target/oci/ca-certificates.crt

container-tools:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg-query --show $(CONTAINER_TOOLS) >/dev/null 2>&1; then \
		apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends $(CONTAINER_TOOLS); \
	fi

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
