# `make up` runs a whole network on this machine; `make test` passes every test. Both set up what they need.

SHELL := /bin/bash
.DEFAULT_GOAL := help

export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN_DIR := $(CARGO_TARGET_DIR)/debug
FUNCTIONS := $(patsubst edge-functions/%/src/entry.rs,%,$(wildcard edge-functions/*/src/entry.rs))
# What `locum up` is given, as in `make up ARGS="--port 9080"`.
ARGS ?=

.PHONY: help up test soak bench fleet dist fmt lint functions pages binaries compiled setup setup-test setup-fleet clean

help: ## Show the commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

up: setup functions pages binaries compiled ## Run a network of one region on this machine; Ctrl-C stops it.
	@exec "$(BIN_DIR)/locum" up $(ARGS)

test: setup-test ## Run every check and test; ends with `N passed, N failed`.
	@tests/run

soak: setup-test functions ## Faults and drills, 20 rounds each, calls 30, 200,000 simulated lives, 90 min of nothing: many hours. LOCUM_ROUNDS=n, LOCUM_SEEDS=n, LOCUM_JOBS=n; PARTS=faults, drills, calls or api.
	@tests/soak $(PARTS)

bench: setup functions ## Measure (PARTS=media: only that); docs/benchmarks.md holds the results with machine and date.
	@tests/bench $(PARTS)

fleet: setup-fleet functions pages binaries ## `terraform apply` on nine hosts of this machine, as root: some 25 min; PARTS=life, trouble, upgrade or certificates. docs/fleet.md has the results.
	@tests/fleet/run $(PARTS)

dist: setup functions pages ## Make a release in dist/: a long build; PROFILE=dev packs what is built. LOCUM_SIGN_KEY=file signs it.
	@setup/dist dist $(PROFILE)

fmt: setup ## Format all code.
	@cargo fmt --all
	@setup/node-packages web tests/browser
	@npm --prefix web run --silent fmt
	@setup/terraform && terraform -chdir=terraform fmt -recursive

lint: setup ## Formatting and lints only.
	@tests/run lint

functions: setup ## Build the edge functions to WebAssembly.
	@setup/functions $(FUNCTIONS)

pages: setup ## Build the pages.
	@setup/pages

binaries: setup
	@echo "building: binaries"
	@cargo build --workspace --bins --quiet
	@setup/sqld "$(BIN_DIR)"
	@setup/geography "$(BIN_DIR)"

compiled: functions binaries
	@setup/compiled "$(BIN_DIR)"

setup:
	@setup/system-packages cc=build-essential cmake
	@setup/toolchain
	@setup/wasm-target

setup-test: setup
	@setup/terraform
	@setup/system-packages chromium firefox-esr nft=nftables ip=iproute2 unshare=util-linux mount faketime
	@setup/system-packages tc=iproute2 nsenter=util-linux strace
	@setup/system-packages dig=bind9-dnsutils delv=bind9-dnsutils unbound
	@setup/node-packages web tests/browser media-node/tests/browser control-plane/geography \
		edge-functions/fhir/tests/others

setup-fleet: setup
	@setup/terraform
	@setup/system-packages debootstrap systemd-nspawn=systemd-container nmap ip=iproute2 nft=nftables dig=bind9-dnsutils
	@setup/system-packages ssh=openssh-client openssl python3 curl certbot pebble

clean: ## Remove what was built; data of `make up` in .locum stays.
	@rm -rf target dist web/dist edge-functions/build
