# The commands of the README and of CI. Each does all that it needs, on a machine that has cargo, a C compiler and
# Python 3.11; there is no second way to do any of them.

CARGO_DENY_VERSION := 0.20.2

# The Python tools, in an environment of their own that is made again when their versions change.
PYTHON_TOOLS := target/tools/python
PYTHON_PINS := agent/python/tools.txt

# Programs that leave this machine are static, so that they run on every Linux; and nothing in them says where or when they were
# made. Their date is that of the locked dependencies, since aws-lc-sys is compiled anew with each other date.
HOST := $(shell rustc --print host-tuple)
STATIC_RUSTFLAGS := -C target-feature=+crt-static \
	--remap-path-prefix=$(CURDIR)=/keyside --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
STATIC_DATE = $(shell git log -1 --format=%ct -- Cargo.lock)

# Where the static programs lie; others of the same names can be packed in their place.
STATIC ?= target/$(HOST)/release

# Where `make install` puts things: everything below PREFIX, but the configuration.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITS := $(notdir $(wildcard systemd/*.service systemd/*.socket systemd/*.mount))
# What the agent's service sees of the machine: the directories that its unit lays over these.
ROOT_DIRECTORIES := bin dev etc home lib lib64 opt proc root run sbin sys tmp usr var/tmp

# What the tests of the units boot a machine with, from Debian's packages.
SYSTEMD_TOOLS := systemd-container mmdebstrap iproute2

DEB_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
DEB_ARCHITECTURE = $(shell dpkg --print-architecture)

.PHONY: help build demo test simulate check check-python deny wheel static install uninstall deb systemd-tools

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build every binary
	cargo build --locked --workspace --bins

demo: build ## Show the main job: a pipeline's secrets from an emulated Key Vault
	python3 tests/demo/demo.py

test: build wheel deb systemd-tools ## Run every test, and tell on one page what ran
	python3 tests/summary.py cargo test --locked --workspace --no-fail-fast

simulate: ## Draw the pictures of fleets in docs/pictures, the same each time
	cargo bench --locked -p keyside-tests --bench simulation --profile simulation

wheel: $(PYTHON_TOOLS)/made ## Make the Python wheel, with the program in it, in target/wheels
	rm -f target/wheels/keyside-*.whl
	cd agent/python && SOURCE_DATE_EPOCH=$(STATIC_DATE) RUSTFLAGS="$(STATIC_RUSTFLAGS)" \
		../../$(PYTHON_TOOLS)/bin/maturin build --locked --release --target $(HOST) --compatibility manylinux2014 \
		--out ../../target/wheels

static: ## Build the static programs
	SOURCE_DATE_EPOCH=$(STATIC_DATE) RUSTFLAGS="$(STATIC_RUSTFLAGS)" \
		cargo build --locked --release --target $(HOST) -p keyside -p keyside-bootstrap

install: ## Install the static programs, units, manual pages and completions; see DESTDIR, PREFIX, STATIC
	@test -x $(STATIC)/keyside || $(MAKE) static
	install -D -t $(DESTDIR)$(PREFIX)/bin $(STATIC)/keyside $(STATIC)/keyside-bootstrap
	install -d $(addprefix $(DESTDIR)$(PREFIX)/lib/keyside/root/,$(ROOT_DIRECTORIES))
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	@for unit in $(UNITS); do \
		sed -E 's,/usr/(bin/keyside|lib/keyside),$(PREFIX)/\1,g' systemd/$$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit; \
	done
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d systemd/sysusers.d/keyside.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/tmpfiles.d systemd/tmpfiles.d/keyside.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/keyside/examples systemd/examples/* docs/*.example.toml
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/vendor-completions fish/vendor_completions.d)
	$(STATIC)/keyside man $(DESTDIR)$(PREFIX)/share/man/man1
	gzip --force --no-name --best $(DESTDIR)$(PREFIX)/share/man/man1/keyside*.1
	$(STATIC)/keyside completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/keyside
	$(STATIC)/keyside completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_keyside
	$(STATIC)/keyside completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/keyside.fish
	@test -e $(DESTDIR)$(SYSCONFDIR)/keyside/environment \
		|| install -D -m 644 -t $(DESTDIR)$(SYSCONFDIR)/keyside systemd/environment

uninstall: ## Remove what `make install` put there, but the configuration
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,keyside keyside-bootstrap)
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(UNITS))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/,sysusers.d/keyside.conf tmpfiles.d/keyside.conf)
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions/keyside \
		zsh/vendor-completions/_keyside fish/vendor_completions.d/keyside.fish)
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/keyside.1.gz $(DESTDIR)$(PREFIX)/share/man/man1/keyside-*.1.gz
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/,lib/keyside share/doc/keyside)

deb: $(if $(filter file,$(origin STATIC)),static) ## Make the Debian package in target/deb
	rm -rf target/deb
	$(MAKE) install DESTDIR=target/deb/root PREFIX=/usr SYSCONFDIR=/etc
	systemd/debian/build target/deb/root $(DEB_VERSION) $(DEB_ARCHITECTURE) $(STATIC_DATE)

systemd-tools:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg-query --show $(SYSTEMD_TOOLS) >/dev/null 2>&1; then \
		apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends $(SYSTEMD_TOOLS); \
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
