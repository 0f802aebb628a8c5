# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
TOOLS := $(VENV)/.installed
# It pins other versions of what the others need, so it has an environment of its own, inside theirs.
CHECKOV := $(VENV)/checkov/.installed
# cargo-lambda, its linker and sam live in the virtual environment.
IN_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" SAM_CLI_TELEMETRY=0
# `sam validate` wants a region to look things up in; nothing is sent there.
VALIDATE := $(IN_VENV) AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1}
# A folder of its own, so that a build without the SDK stays as it is. Without debug information: it is for the tests.
WITH_AWS := cargo build --locked --features aws --target-dir target/aws --config profile.dev.debug=false
RECORDS := $(wildcard events/records/*)
# What the sample of a stream holds: four records of two accounts.
STREAM := mutating-unapproved-region.json approved-region.json sensitive-read.json unreadable.ndjson

.PHONY: help demo test bench fuzz guard build validate events deploy smoke lint clean cargo python valgrind

help: ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST)

demo: cargo ## See alerts made from the sample payloads (no AWS account, no AWS SDK)
	cargo run --locked --quiet -- invoke events/*.json

test: cargo build validate ## Run every test, end to end ones included
	REGIONWATCH_E2E=required cargo test --locked

bench: cargo ## What a payload, a cold start, rules and history cost
	cargo bench --locked --bench pipeline
	cargo bench --locked --bench pipeline -- --instructions
	cargo bench --locked --bench start
	cargo bench --locked --bench rules
	cargo bench --locked --bench scan

fuzz: cargo ## Fuzz every target for a while: make fuzz FUZZ_SECONDS=900 (nightly and cargo-fuzz)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} fuzz/run

guard: cargo valgrind ## Fail where a record costs more instructions than it may
	cargo bench --locked --quiet --bench pipeline -- --guard

build: cargo $(TOOLS) ## Build the Lambda function as it is deployed, and the command line with the AWS SDK
	$(IN_VENV) sam build
	$(WITH_AWS)

validate: $(TOOLS) $(CHECKOV) ## Check the template
	$(VALIDATE) sam validate
	$(VALIDATE) sam validate --lint
	$(VENV)/bin/cfn-lint template.yaml
	$(VENV)/checkov/bin/checkov --file template.yaml --framework cloudformation --compact --quiet --skip-download

deploy: cargo $(TOOLS) ## Build and deploy: make deploy ARGS='--parameter-overrides LogGroupName=...'
	$(IN_VENV) sam build
	$(IN_VENV) sam deploy $(ARGS)

smoke: $(TOOLS) ## Invoke the deployed function with a sample, and see what became of its alert: make smoke ARGS='--stack-name ...'
	$(IN_VENV) python deploy/smoke.py $(ARGS)

lint: cargo ## What CI checks besides the tests
	cargo fmt --check
	cargo check --locked --lib --no-default-features
	cargo clippy --locked --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features --document-private-items

events: cargo ## Pack the sample records into payloads again
	cargo build --locked --quiet
	for record in $(RECORDS); do \
		name=$${record##*/}; \
		target/debug/regionwatch pack "$$record" >"events/$${name%.*}.json"; \
	done
	target/debug/regionwatch pack --control >events/control-message.json
	target/debug/regionwatch pack --kinesis $(addprefix events/records/,$(STREAM)) >events/kinesis.json

clean: ## Remove everything that was built or installed here
	rm -rf target fuzz/target .aws-sam $(VENV)

cargo:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: install gcc or clang (Debian: apt-get install gcc)" >&2; exit 1; }

valgrind:
	@command -v valgrind >/dev/null || { echo "valgrind is missing (Debian: apt-get install valgrind)" >&2; exit 1; }

python:
	@command -v python3 >/dev/null || { echo "python3 is missing (Debian: apt-get install python3)" >&2; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3 lacks venv (Debian: apt-get install python3-venv)" >&2; exit 1; }

$(TOOLS): requirements.txt | python
	rm -rf $(VENV)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(CHECKOV): requirements-checkov.txt $(TOOLS)
	rm -rf $(VENV)/checkov
	python3 -m venv $(VENV)/checkov
	$(VENV)/checkov/bin/pip install --quiet --disable-pip-version-check -r requirements-checkov.txt
	touch $@
