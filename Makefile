# The one entry point, for a person and for CI. Each target sets itself up.
#   make demo       broker and agent together on the shipped dataset
#   make demo-fleet five machines, their broker and its console in a browser, until Ctrl-C
#   make demo-integrations  an alarm that arrives in Prometheus, webhook, mail, MQTT, an incident file
#   make test-quick lint, types, rooms and the pure tests, in under a minute
#   make test       every gate: those first, then stubs and the other tests
#   make test-browser the console's pages in a real browser, the long tests too
#   make test-oldest the tests with the oldest dependencies that are supported
#   make chaos      200 faults, and every sample's prediction; make chaos SEED=N repeats
#   make chaos-fleet  several brokers on one database that fail for 4 minutes; SEED=N repeats, MINUTES=N
#   make soak       pages open for ten minutes, half an hour without faults: does anything grow? MINUTES=N for more or less
#   make interop    clients in other languages, proxies and mDNS at a real broker (Debian, npm, PyPI)
#   make attack     what an attacker would try, in full
#   make bench      figures, as ratios to a plain implementation; make bench-quick in two minutes
#   make bench-compare REV=...  what became 10 % worse since a revision
#   make bench-docs fills docs/performance.md from the figures of make bench
#   make e2e        the playbook and the units on real systemd machines (Debian, root)
#   make e2e-arm64  a whole arm64 machine, emulated, with a virtual chip on a real bus (Debian, root)
#   make image-test the container image, built and asked over the wire (Linux, root)
#   make dist       the files of a release, in dist
#   make format     what the gates want of the code's form
#   make picture    the README's pictures, from real runs
#   make reference  what docs, man pages and example files say of commands and keys, from the code

PYTHON ?= python3
VENV ?= .venv

BIN = $(VENV)/bin

# $(call alone,FILE) COMMAND runs it once no other one runs that has locked the file.
alone = $(PYTHON) -c 'import fcntl, os, sys; lock = os.open(sys.argv[1], os.O_RDONLY | os.O_CREAT); \
    os.set_inheritable(lock, True); fcntl.flock(lock, fcntl.LOCK_EX); os.execvp(sys.argv[2], sys.argv[2:])' $(1)
CODE = agent ansible broker quartet proto tests bench dataset docs

.PHONY: demo demo-fleet demo-integrations test test-quick test-browser test-oldest chaos chaos-fleet soak interop attack bench bench-quick bench-docs bench-compare e2e e2e-services e2e-arm64 image-test dist format picture reference clean

demo: $(VENV)/demo
	PATH="$(abspath $(BIN)):$$PATH" sh dataset/demo.sh

demo-fleet: $(VENV)/demo
	$(BIN)/python dataset/demo_fleet.py

demo-integrations: $(VENV)/demo-integrations
	$(BIN)/python dataset/demo_integrations.py

test-quick: $(VENV)/dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy dataset/make_dataset.py dataset/demo_fleet.py dataset/demo_integrations.py docs/picture.py docs/console_picture.py docs/reference.py docs/performance.py ansible/roles/*/files/*.py
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto -m "not real"

test: test-quick
	$(call alone,$(VENV)/stubs.lock) env PYTHON="$(abspath $(BIN)/python)" STUBS_VENV="$(abspath $(VENV)/stubs)" \
	    sh proto/generate.sh --check
	$(BIN)/pytest -n auto --dist loadgroup -m real

test-browser: $(VENV)/dev
	$(BIN)/pytest tests/browser/test_*.py tests/browser/at_length.py

test-oldest: $(VENV)/oldest/dev
	$(VENV)/oldest/bin/pytest -n auto --dist loadgroup

chaos: $(VENV)/dev
	PYTHONPATH=tests $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED))

chaos-fleet: $(VENV)/dev
	PYTHONPATH=tests $(BIN)/python -m chaos.fleet $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

soak: $(VENV)/dev
	PYTHONPATH=tests $(BIN)/python -m chaos.page_soak $(if $(MINUTES),--minutes $(MINUTES))
	PYTHONPATH=tests $(BIN)/python -m chaos.soak $(if $(MINUTES),--minutes $(MINUTES))

interop: $(VENV)/dev
	$(BIN)/pytest tests/interop/test_*.py tests/interop/at_length.py tests/interop/by_mdns.py

attack: $(VENV)/dev
	PYTHONPATH=tests $(BIN)/python -m attack $(if $(SEED),--seed $(SEED))

# $(call measured,NAME) runs a bench, which writes its figures as JSON.
JSON ?= $(VENV)/figures
measured = $(BIN)/python -m bench.$(1) --json $(JSON)/$(firstword $(subst _, ,$(1))).json

bench: $(VENV)/bench
	mkdir -p $(JSON)
	$(call measured,chip_bench)
	$(call measured,broker_bench)
	$(call measured,capacity_bench)
	$(call measured,profile_bench)
	$(call measured,agent_bench)
	$(call measured,spool_bench)
	$(call measured,drain_bench)
	$(call measured,console_bench)
	$(call measured,metrics_bench)
	$(call measured,export_bench)
	$(call measured,processes_bench)
	$(call measured,fleet_bench)
	$(call measured,detection)
	$(call measured,scenarios)

bench-quick: $(VENV)/dev
	for name in chip broker profile agent spool drain metrics processes; do \
	    $(BIN)/python -m bench.$${name}_bench --quick || exit 1; done

bench-docs: $(VENV)/dev
	$(BIN)/python docs/performance.py $(JSON)

bench-compare: $(VENV)/dev
	$(BIN)/python -m bench.compare $(or $(REV),$(error say which revision: make bench-compare REV=main))

e2e: $(VENV)/e2e e2e-services
	$(BIN)/pytest --timeout 900 tests/machines/container_checks.py
	$(BIN)/pytest --timeout 900 tests/machines/deployment.py
	$(BIN)/pytest --timeout 900 tests/machines/integrations.py
	$(BIN)/pytest --timeout 900 tests/machines/named.py
	$(BIN)/pytest --timeout 900 tests/machines/upgrades.py
	$(BIN)/pytest --timeout 900 tests/machines/fleet.py

e2e-services: $(VENV)/e2e
	$(BIN)/ansible-lint -q --offline --profile production ansible
	PYTHONPATH=tests $(BIN)/python -m machines.roots
	$(BIN)/pytest --timeout 900 tests/machines/services.py

image-test: $(VENV)/dev
	PYTHON="$(abspath $(BIN))/python" bash tests/image_test.sh

e2e-arm64: $(VENV)/e2e
	$(BIN)/pytest tests/machines/arm64/deployment.py

dist:
	PYTHON="$(PYTHON)" RELEASE_VENV="$(abspath $(VENV)/release)" sh requirements/release.sh

format: $(VENV)/dev
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

picture: $(VENV)/dev
	$(BIN)/python docs/picture.py
	$(BIN)/python docs/console_picture.py

reference: $(VENV)/dev
	$(BIN)/python docs/reference.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Two at once in one checkout: the second waits here, and finds all of it made.
ifndef ALONE
$(VENV)/demo $(VENV)/demo-integrations: pyproject.toml
$(VENV)/dev: pyproject.toml tests/debian.sh
$(VENV)/e2e $(VENV)/bench: $(VENV)/dev
$(VENV)/oldest/dev: pyproject.toml tests/oldest.txt $(VENV)/dev
$(VENV)/demo $(VENV)/demo-integrations $(VENV)/dev $(VENV)/e2e $(VENV)/bench $(VENV)/oldest/dev:
	@$(call alone,pyproject.toml) $(MAKE) --no-print-directory ALONE=1 $@
else
$(VENV)/demo: pyproject.toml | $(VENV)/bin/pip
	@echo "Packages are installed into $(VENV): this takes a minute or two, once."
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[broker,console,live,plot]'
	touch $@

$(VENV)/demo-integrations: pyproject.toml | $(VENV)/bin/pip
	@echo "Packages are installed into $(VENV): this takes a minute or two, once."
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[broker,mqtt,notebook]' 'aiosmtpd>=1.4.6'
	touch $@

$(VENV)/dev: pyproject.toml tests/debian.sh | $(VENV)/bin/pip
	@echo "Packages are installed into $(VENV): this takes some minutes, once."
	sh tests/debian.sh "$(BIN)/python"
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	if command -v cc >/dev/null && pkg-config --exists libsystemd; then $(BIN)/pip install --quiet --disable-pip-version-check -e '.[journal]'; fi
	touch $@

$(VENV)/e2e: $(VENV)/dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[e2e]'
	touch $@

$(VENV)/bench: $(VENV)/dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@

$(VENV)/oldest/dev: pyproject.toml tests/oldest.txt $(VENV)/dev
	$(PYTHON) -m venv $(VENV)/oldest
	$(VENV)/oldest/bin/pip install --quiet --disable-pip-version-check -c tests/oldest.txt -e '.[dev]'
	touch $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
endif
