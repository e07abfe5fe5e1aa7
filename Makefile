# ostree-kernel: the targets for development. `make help` lists them.
# The targets build, test, replay and man need cargo and a C compiler, and no root. The test bed needs Debian 12 and
# root; `make deps` installs the packages that it needs.

PREFIX ?= /usr
DESTDIR ?=
CARGO ?= cargo
BED = tests/container/bed
TARGET = $(or $(CARGO_TARGET_DIR),target)
FUZZ_SECONDS ?= 300
# For `bed kills`: the numbers of kills, of disks that are too small, and of kills before rpm-ostree's undo.
KILLS ?= 12 7 3
CARGO_FUZZ = $(TARGET)/tools/bin/cargo-fuzz
CARGO_DENY = $(TARGET)/tools/bin/cargo-deny
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# The static program is linked with musl, whose getaddrinfo(3) loads no NSS modules (nsswitch.conf(5)).
STATIC_HOST = $(HOST:gnu=musl)
# The directory below $(TARGET) with the test bed's program. check, check-all and gate use `debug`, as the tests do, so
# that the dependencies are compiled only once.
PROFILE = release
PROFILE_FLAG = --release
export OSTREE_KERNEL = $(abspath $(TARGET)/$(PROFILE)/ostree-kernel)
export OSTREE_KERNEL_STATIC = $(abspath $(TARGET)/$(STATIC_HOST)/dist/ostree-kernel)

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: deps
deps: ## install the packages that the test bed needs (apt-get, dnf; adds an apt source; make clean removes the source)
	@$(BED) deps

.PHONY: build
build: ## build the program, in target/release
	$(CARGO) build $(PROFILE_FLAG) --locked

# The program reads only one column of one table, so the static program is built without these optional features of
# SQLite. This saves 340 KB.
SQLITE_WITHOUT = -USQLITE_ENABLE_FTS3 -USQLITE_ENABLE_FTS3_PARENTHESIS -USQLITE_ENABLE_FTS5 -USQLITE_ENABLE_RTREE \
    -USQLITE_ENABLE_DBSTAT_VTAB -USQLITE_ENABLE_STAT4 -USQLITE_ENABLE_COLUMN_METADATA -USQLITE_ENABLE_LOAD_EXTENSION \
    -USQLITE_SOUNDEX -DSQLITE_OMIT_JSON -DSQLITE_OMIT_LOAD_EXTENSION

.PHONY: static
static: deps ## build a static program of at most 10 MB, and print its path
	@! command -v rustup >/dev/null || rustup --quiet target add $(STATIC_HOST)
	@LIBSQLITE3_FLAGS='$(SQLITE_WITHOUT)' $(CARGO) rustc --profile dist --locked --target $(STATIC_HOST) --bin ostree-kernel -- \
	    -C link-arg=-Wl,-z,pack-relative-relocs
	@echo $(OSTREE_KERNEL_STATIC)

.PHONY: dist
dist: deps ## write two archives to target/dist-archives: the sources, and the crates that they need
	packaging/dist $(TARGET)/dist-archives

.PHONY: rpm
rpm: dist ## build the RPM, in target/rpm
	env -u CARGO_TARGET_DIR rpmbuild -bb --nodeps --define "_topdir $(abspath $(TARGET))/rpmbuild" \
	    --define "_sourcedir $(abspath $(TARGET))/dist-archives" --define "_rpmdir $(abspath $(TARGET))/rpm" \
	    --define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' packaging/ostree-kernel.spec

.PHONY: rpm-check
rpm-check: rpm ## install, use and erase the RPM of make rpm in a container build
	@RPM=$$(ls -t $(abspath $(TARGET))/rpm/ostree-kernel-[0-9]*.rpm | head -n 1) $(BED) check rpm

.PHONY: demo
demo: deps build ## run the RUN line in a real container build, print its result, and boot the image
	@$(BED) demo

.PHONY: check
check: KILLS = 4 1 1
check check-all gate: PROFILE = debug
check check-all gate: PROFILE_FLAG =
check: ready build lint test replay containers kills boot-matrix node-sample ## run all tests but the long ones: format, lints, unit tests, stub programs, hostile input, container builds, kills, boots

# The container cases that `make gate` runs. `make check` runs all cases that `bed cases` lists.
GATE_CASES = by-hand layout no-layout two-kernels dry-run dnf cliwrap fails-the-build kmods-missing flavour http dracut-fails fips tmp-tmpfs dnf-http \
    crowded cliwrap-loop uki rpmdb-places example-okd-scos

.PHONY: gate
gate: PRODUCTS = $(GATE_CASES)
gate: ready lint test replay ## what .ci/run runs: like check, but without kills and boots, and with only a few container builds
	@$(BED) check $(GATE_CASES)

.PHONY: check-all
check-all: CHECK = --all
check-all: ready build lint test replay containers kills boot ## like check, but without node-sample, and with the long container cases, more kills and more boots (hours)

# Building the bed's products waits for the network and for dpkg, so it runs while cargo compiles.
.PHONY: ready
ready: deps
	@$(BED) products $(PRODUCTS) & status=0; \
	$(CARGO) build $(PROFILE_FLAG) --locked && $(CARGO) test --locked --no-run && \
	    $(CARGO) clippy --locked --all-targets -- -D warnings && \
	    $(CARGO) test --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET) --no-run || status=$$?; \
	wait $$! || status=$$?; exit $$status

.PHONY: lint
lint: deps ## check the format, and run clippy and shellcheck
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@$(BED) lint

.PHONY: test
test: ## run the unit tests and the tests with stub programs; as root on Debian also the corpus and the judges
	@if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then $(BED) corpus >/dev/null && $(BED) foreign >/dev/null && $(BED) judges >/dev/null; fi
	$(CARGO) test --locked

.PHONY: replay
replay: ## build the fuzz targets, and run them on fuzz/seeds and on mutations of the seeds
	$(CARGO) test --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET) -- --nocapture

.PHONY: fuzz
fuzz: $(CARGO_FUZZ) ## fuzz each target for FUZZ_SECONDS; inputs that make it fail are stored in fuzz/artifacts
	set -e; for seeds in fuzz/seeds/*; do \
	    target=$${seeds##*/}; \
	    mkdir -p fuzz/corpus/$$target; \
	    $(CARGO_FUZZ) run --sanitizer none --target-dir $(TARGET)/fuzz $$target fuzz/corpus/$$target $$seeds -- \
	        -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=512 -print_final_stats=1; \
	done

$(CARGO_FUZZ):
	$(CARGO) install --locked --root $(TARGET)/tools cargo-fuzz@0.13.2

.PHONY: seeds
seeds: ## write the seeds of fuzz/seeds again
	UPDATE_SEEDS=1 $(CARGO) test --locked --lib seeds_are_current -- --test-threads 1

.PHONY: corpus
corpus: deps ## verify real initramfs images and broken variants of them
	@$(BED) corpus >/dev/null
	@$(BED) foreign >/dev/null
	$(CARGO) test --locked --test it corpus -- --nocapture

.PHONY: images
images: deps ## verify the corpus as OS images over all transports; the findings must be those of verify --root (minutes)
	@$(BED) corpus >/dev/null
	@$(BED) foreign >/dev/null
	$(CARGO) test --locked --test it as_images -- --ignored --nocapture

.PHONY: judges
judges: deps ## compare the readers of units, udev rules and libraries with systemd, udev and ld.so, on random mutations
	@$(BED) corpus >/dev/null
	@$(BED) judges >/dev/null
	$(CARGO) test --locked --test it judges:: -- --nocapture

.PHONY: mutants
mutants: deps ## run the corpus with each fatal check disabled in turn; the corpus must then fail
	@$(BED) corpus >/dev/null
	$(CARGO) test --locked --test it corpus_mutants -- --ignored --nocapture

.PHONY: containers
containers: deps build ## run the container builds of tests/container/cases
	@$(BED) check $(CHECK)

.PHONY: static-check
static-check: build static ## run two container builds with the static program, one with COPY --from and one with a bind mount
	@$(BED) check --jobs 1 static-copy static-mount

.PHONY: matrix-sid
matrix-sid: deps build ## run container builds on Debian sid: dnf5, rpm 6, the newest dracut (sid changes daily, so check leaves them out)
	@$(BED) matrix-sid

.PHONY: kills
kills: deps build ## kill the real replace at 15 moments, run it on 7 disks that are too small, and run it again on each remaining tree
	@$(BED) kills $(KILLS)

.PHONY: boot-matrix
boot-matrix: deps build ## six boots: four images with a new kernel must boot; on two bases, the new kernel with the old initramfs must not
	@$(BED) boot-matrix

.PHONY: boot
boot: boot-matrix ## boot-matrix, then boots of other kernels, then boots of the corpus, compared with the verdict of verify (long)
	@$(BED) boot-shapes
	@$(BED) boot-corpus

# `bed node` makes the node's disks from the replaced images and the corpus, and builds these if they are missing.
.PHONY: node
node: deps build ## stage broken and good deployments on a real ostree system in QEMU, and reboot it without and with the gate (long)
	@$(BED) node

.PHONY: node-sample
node-sample: deps build ## like node, but with only two broken and two good deployments
	@$(BED) node sample

.PHONY: secure-boot
secure-boot: deps build ## OVMF with Secure Boot must start the kernel of the case sign, and refuse a changed and an unsigned one
	@$(BED) secure-boot

# The number of random mutations.
N ?= 40
.PHONY: truth
truth: deps build ## compare the verdict of verify with a boot, for N random mutations; SEED is by default the commit (long)
	@$(BED) truth $(N) $(SEED)

.PHONY: bench
bench: deps build ## run benchmarks against other tools; results in benches/RESULTS.md (minutes)
	@$(BED) bench-setup
	$(CARGO) build --profile dist --locked
	$(CARGO) bench --locked --bench bench
	apt-get install -qq umoci docker-registry skopeo >/dev/null
	(echo; benches/images $(or $(BED_DIR),target/bed)/bench/tree $(OSTREE_KERNEL)) >>benches/RESULTS.md

.PHONY: man
man: ## write the man pages, the completions and packaging/report.schema.json again
	UPDATE_MAN=1 $(CARGO) test --locked --test it -- man:: completions::
	UPDATE_SCHEMA=1 $(CARGO) test --locked --lib -- report::tests::

.PHONY: install
install: ## install into DESTDIR and PREFIX; needs `make build` first
	install -D -m 0755 $(OSTREE_KERNEL) $(DESTDIR)$(PREFIX)/bin/ostree-kernel
	install -d $(DESTDIR)$(PREFIX)/libexec/libostree/ext
	ln -sf ../../../bin/ostree-kernel $(DESTDIR)$(PREFIX)/libexec/libostree/ext/ostree-kernel
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/lib/kernel/install.d packaging/kernel-install/04-ostree-kernel.install
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system packaging/systemd/*.service packaging/systemd/*.path
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system-preset packaging/systemd/*.preset
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man7 man/*.7
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man8 man/*.8
	install -D -m 0644 completions/ostree-kernel.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ostree-kernel
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/zsh/site-functions completions/_ostree-kernel
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d completions/ostree-kernel.fish
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/ostree-kernel packaging/report.schema.json

.PHONY: deny
deny: $(CARGO_DENY) ## check the linked crates' licences, bans and sources with deny.toml (builds cargo-deny once, minutes)
	$(CARGO_DENY) --locked --all-features check bans licenses sources

$(CARGO_DENY):
	$(CARGO) install --locked --root $(TARGET)/tools cargo-deny@0.20.2

.PHONY: release-check
release-check: dist deny ## check the conditions of a release; CONTRIBUTING.md lists the steps
	packaging/release-check $(TARGET)/dist-archives

.PHONY: cross-check
cross-check: build ## build for the other architectures, try the programs under QEMU, run the unit tests on s390x (3 GB on disk)
	packaging/cross-check $(TARGET)/cross

.PHONY: clean
clean: ## remove the program, the bed's images and outputs, and the apt source of make deps; the bed's downloads stay
	$(CARGO) clean --package ostree-kernel
	@$(BED) clean
