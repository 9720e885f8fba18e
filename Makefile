# The commands of the README and of CI. Each does all that it needs, on a machine that has cargo, a C compiler and
# Python 3.11; there is no second way to do any of them.

CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
HOST := $(shell rustc --print host-tuple)

# The Python tools, in an environment of their own that is made again when their versions change.
PYTHON_TOOLS := target/tools/python
PYTHON_PINS := agent/python/tools.txt

# What the tests boot machines, run containers and search memory with, from Debian's packages.
TEST_TOOLS := systemd-container mmdebstrap iproute2 podman runc netavark aardvark-dns catatonit iptables gdb

# Programs for others are static, so that they run on every Linux; and nothing in them says where or when they were made.
# Their date is that of the locked dependencies, since aws-lc-sys is compiled anew with each other date.
# For size, by docs/decisions/0009-size.md: relocations in few bytes, and tables for unwinding only where something can unwind.
STATIC_RUSTFLAGS := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs -C force-unwind-tables=no \
	--remap-path-prefix=$(CURDIR)=/keyside --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
LOCKED_DATE = $(shell git log -1 --format=%ct -- Cargo.lock)
STATIC_CFLAGS := -fno-asynchronous-unwind-tables
REPRODUCIBLY = SOURCE_DATE_EPOCH=$(LOCKED_DATE) RUSTFLAGS="$(STATIC_RUSTFLAGS)" CFLAGS="$(STATIC_CFLAGS)"
STATIC_BUILD = $(REPRODUCIBLY) cargo build --locked --release --target $(HOST)

# Where the static programs lie; others of the same names can be installed and packed in their place.
STATIC ?= target/$(HOST)/release

# Where `make install` puts things: everything below PREFIX, but the configuration.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITS := $(notdir $(wildcard systemd/*.service systemd/*.socket systemd/*.mount))
# What the agent's service sees of the machine: the directories that its unit lays over these.
ROOT_DIRECTORIES := bin dev etc home lib lib64 opt proc root run sbin sys tmp usr var/tmp

# What a release consists of, and where it is put.
RELEASED := keyside keyside-bootstrap
RELEASE := target/dist

# What makes the images, what is told in them, and the certificates of the authorities that they trust.
IMAGE_ENGINE ?= $(notdir $(firstword $(foreach program,podman docker,$(shell command -v $(program)))))
IMAGE_REVISION = $(shell git rev-parse HEAD)
IMAGE_SOURCE = $(shell git config --get remote.origin.url)
CA_BUNDLE ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem))

# How long each target is fuzzed. New inputs and findings stay below target/; the seeds are not touched.
FUZZ_SECONDS := 60
FUZZED := $(notdir $(wildcard tests/fuzz/seeds/*))
# Without a sanitizer: what could break memory is in two files, and lies in mappings that no sanitizer knows.
FUZZ_OPTIONS := --fuzz-dir tests/fuzz --target-dir target/fuzz --features libfuzzer --sanitizer none
# Linked as one and stripped, nothing could be counted and no finding be placed.
FUZZ_PROFILE := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=3

.PHONY: help build demo test test-tools bench simulate fuzz check check-python deny wheel static image image-files install uninstall deb \
	release release-check

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

build: ## Build every binary
	cargo build --locked --workspace --bins

demo: build ## Show the main job: a pipeline's secrets from an emulated Key Vault
	python3 tests/demo/demo.py

test: test-tools build wheel deb image-files ## Run every test, and tell on one page what ran
	python3 tests/summary.py cargo test --locked --workspace --no-fail-fast

test-tools:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg-query --show $(TEST_TOOLS) >/dev/null 2>&1; then \
		apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends $(TEST_TOOLS); \
	fi

bench: ## Measure the static program, print the table, and write docs/benchmarks.md with its pictures
	$(STATIC_BUILD) -p keyside
	cargo build --locked --release -p keyside-tests --bins
	cargo build --locked --profile simulation -p keyside-emulator --bins
	cargo bench --locked --profile simulation -p keyside-tests --bench speed -- \
		--keyside $(CURDIR)/target/$(HOST)/release/keyside --floor $(CURDIR)/target/release/keyside-floor

simulate: ## Draw the pictures of fleets in docs/pictures, the same each time
	cargo bench --locked -p keyside-tests --bench simulation --profile simulation

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

wheel: $(PYTHON_TOOLS)/made ## Make the Python wheel, with the program in it, in target/wheels
	rm -f target/wheels/keyside-*.whl
	cd agent/python && $(REPRODUCIBLY) \
		../../$(PYTHON_TOOLS)/bin/maturin build --locked --release --target $(HOST) --compatibility manylinux2014 \
		--out ../../target/wheels

# Each by itself, since what one wants of a shared dependency would be in the other, too.
static: ## Build the static programs
	$(STATIC_BUILD) -p keyside
	$(STATIC_BUILD) -p keyside-bootstrap

image: image-files ## Build the container images, with podman or docker
	@test -n "$(IMAGE_ENGINE)" || { echo 'there is neither podman nor docker: install one' >&2; exit 69; }
	$(call build-image,agent,keyside)
	$(call build-image,bootstrap,keyside-bootstrap)
	$(call build-image,emulator,keyside-emulator)

# OCI's own format has no HEALTHCHECK. Podman can say when an image was made, so that the same files make the same image.
build-image = $(IMAGE_ENGINE) build --quiet --file container/Containerfile --target $(1) --tag localhost/$(2):$(VERSION) \
	$(if $(filter podman,$(IMAGE_ENGINE)),--format docker --timestamp $(LOCKED_DATE)) \
	--build-arg VERSION=$(VERSION) --build-arg REVISION=$(IMAGE_REVISION) --build-arg SOURCE=$(IMAGE_SOURCE) target/oci

image-files: static
	@test -n "$(CA_BUNDLE)" || { echo 'no bundle of certificates was found: name one, CA_BUNDLE=FILE' >&2; exit 66; }
	$(STATIC_BUILD) -p keyside-emulator
	mkdir -p target/oci
	install -m 0755 $(addprefix target/$(HOST)/release/,keyside keyside-bootstrap keyside-emulator) target/oci
	install -m 0644 $(CA_BUNDLE) target/oci/ca-certificates.crt

install: ## Install the static programs, units, manual pages and completions; see DESTDIR, PREFIX, STATIC
	@test -x $(STATIC)/keyside || $(MAKE) static
	install -D -t $(DESTDIR)$(PREFIX)/bin $(addprefix $(STATIC)/,$(RELEASED))
	install -d $(addprefix $(DESTDIR)$(PREFIX)/lib/keyside/root/,$(ROOT_DIRECTORIES))
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	@for unit in $(UNITS); do \
		sed -E 's,/usr/(bin/keyside|lib/keyside),$(PREFIX)/\1,g' systemd/$$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit; \
	done
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d systemd/sysusers.d/keyside.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/tmpfiles.d systemd/tmpfiles.d/keyside.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/keyside/examples systemd/examples/* docs/*.example.toml
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/vendor-completions fish/vendor_completions.d)
	@for program in $(RELEASED); do \
		$(STATIC)/$$program man $(DESTDIR)$(PREFIX)/share/man/man1 \
		&& $(STATIC)/$$program completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$program \
		&& $(STATIC)/$$program completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_$$program \
		&& $(STATIC)/$$program completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$program.fish || exit; \
	done
	gzip --force --no-name --best $(DESTDIR)$(PREFIX)/share/man/man1/keyside*.1
	@test -e $(DESTDIR)$(SYSCONFDIR)/keyside/environment \
		|| install -D -m 644 -t $(DESTDIR)$(SYSCONFDIR)/keyside systemd/environment

uninstall: ## Remove what `make install` put there, but the configuration
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(RELEASED))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(UNITS))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/,sysusers.d/keyside.conf tmpfiles.d/keyside.conf)
	rm -f $(foreach program,$(RELEASED),$(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions/$(program) \
		zsh/vendor-completions/_$(program) fish/vendor_completions.d/$(program).fish))
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/keyside.1.gz $(DESTDIR)$(PREFIX)/share/man/man1/keyside-*.1.gz
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/,lib/keyside share/doc/keyside)

deb: $(if $(filter file,$(origin STATIC)),static) ## Make the Debian package in target/deb
	rm -rf target/deb
	$(MAKE) install DESTDIR=target/deb/root PREFIX=/usr SYSCONFDIR=/etc
	systemd/debian/build target/deb/root $(VERSION) $(shell dpkg --print-architecture) $(LOCKED_DATE)

release: static ## Make the static programs, their bills of materials and checksums, in target/dist
	@cargo cyclonedx --version 2>/dev/null | grep -qxF 'cargo-cyclonedx-cyclonedx $(CARGO_CYCLONEDX_VERSION)' \
		|| cargo install --locked --version $(CARGO_CYCLONEDX_VERSION) cargo-cyclonedx
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
