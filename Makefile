# Everything that a person or a machine does with this repository. `make` alone lists it.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := python3.14 python3.13 python3.12 python3.11 python3
# The bar would be lines without an end; told.py says each second what pip does.
PIP := PIP_PROGRESS_BAR=off $(BIN)/python requirements/told.py $(BIN)/python -m pip --disable-pip-version-check

# Test processes: four for two processors, since half of a test is waiting.
# `make test PYTEST_WORKERS=0` runs in one, for a debugger.
PYTEST_WORKERS ?= 4
# More for pytest: `make test PYTEST_ARGS='-k reveal -x'`.
PYTEST_ARGS ?=
# What pytest made of the tests' asserts is kept for the next run: it takes longer to make than to collect them all.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# A file at a time, in the order of tests/conftest.py: the longest first. One process collects all tests and forks
# (tests/kit/spread.py). The libraries of macOS may not survive that: there, each process collects them.
SPREAD = $(if $(filter Linux,$(shell uname)),--forks $(PYTEST_WORKERS),$(SPREAD_ELSEWHERE))
SPREAD_ELSEWHERE = -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder
# What `make test` runs on LocalStack too; `make test-all` runs the rest.
SMOKE := tests/app/test_main_job.py
# Of `make fuzz`, all targets together.
FUZZ_SECONDS ?= 60

# `make lock LOCK_ARGS=--upgrade` takes the newest versions; without it only what must change does.
LOCK_ARGS ?=
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	$(LOCK_ARGS) pyproject.toml

# Spark's packages alone, in versions that fit those of the tests.
COMPILE_SPARK := $(subst pyproject.toml,--group spark -c requirements/dev.txt -o requirements/spark.txt,$(COMPILE))

# `make audit AUDIT_ARGS=--must-answer` fails when the advisories cannot be asked.
AUDIT_ARGS ?=
# Reproducible: without the time, a serial number, and the shape of the machine. The lock knows no graph, of which it warns.
SBOM := $(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml \
	--output-reproducible --output-format JSON

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help bench bench-quick demo docs endurance test test-on-moto test-the-main-job test-fast test-localstack check check-types check-the-rest test-all chaos fuzz format lock audit dist clean policy-evaluator programs spark integrations

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo-installed ## the whole story in about a minute: queue, keys, tokens, one audited access
	@$(BIN)/vault-etl demo

test: $(VENV)/.dev-installed ## run the tests that need Python alone, on moto, and the main job on LocalStack
	@$(MAKE) --no-print-directory -j 2 test-on-moto test-the-main-job

# Six keep two processors busy; four leave a fifth of their time unused. The tests of `endurance` wait for the clock.
test-on-moto: PYTEST_WORKERS = 6
test-on-moto: $(VENV)/.dev-installed
	$(PYTEST) $(SPREAD) $(PYTEST_ARGS)

test-the-main-job: $(VENV)/.dev-installed
	$(PYTEST) --quiet --emulator localstack $(SMOKE) $(PYTEST_ARGS)

# Two processes: these tests compute. `-m` replaces that of pyproject.toml, so it leaves out what `make test` leaves out.
test-fast: PYTEST_WORKERS = 2
test-fast: $(VENV)/.dev-installed ## run the unit tests, with the vectors and most of the docs, in about a minute
	$(PYTEST) $(SPREAD) -m "unit and not endurance and not declared" --hypothesis-profile fast $(PYTEST_ARGS)

test-localstack: PYTEST_WORKERS = 6
test-localstack: $(VENV)/.dev-installed ## run every test that needs an emulator on a real LocalStack
	$(PYTEST) $(SPREAD) --emulator localstack $(PYTEST_ARGS)

check: $(VENV)/.dev-installed ## formatting, lint, types, the direction of imports, workflows, objects of Kubernetes
	@$(MAKE) --no-print-directory -j 2 check-types check-the-rest

check-types: $(VENV)/.dev-installed
	$(BIN)/mypy

check-the-rest: $(VENV)/.dev-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	$(PYTEST) --quiet tests/deploy/kubernetes/test_objects.py
	@if [ -x $(BIN)/zizmor ]; then $(BIN)/zizmor --offline --quiet --persona pedantic .github; \
		else echo 'zizmor has no wheel here: the workflows are not audited'; fi

endurance: $(VENV)/.dev-installed ## outages, signals, killed workers, a year in fast motion; long suites on a second declaration
	$(PYTEST) $(SPREAD) -m "(endurance or declared) and not chaos" $(PYTEST_ARGS)

# Endurance waits, while the evaluator of policies and the builds of images compute: so they run together.
test-all: PYTEST_WORKERS = 6
test-all: test programs spark integrations policy-evaluator ## `make test`, endurance, all of LocalStack, and what needs Node, PgBouncer, Prometheus, Podman, Java, Spark, Airflow, Dagster and dbt (installs them, as root)
	$(PYTEST) $(SPREAD) -m "(endurance or declared or system) and not chaos" $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory test-localstack

chaos: $(VENV)/.dev-installed ## kill, cut and silence everything under load for minutes; CHAOS_SEED=N repeats a run
	$(PYTEST) -m chaos -s $(PYTEST_ARGS)

fuzz: $(VENV)/.dev-installed ## search for input that breaks the parsers, for FUZZ_SECONDS; Linux x86_64
	$(BIN)/python -m tests.fuzz.run $(FUZZ_SECONDS)

bench: bench-peers ## measure ingest and more beside their peers; write docs/benchmarks.md and docs/capacity.md
	$(BIN)/python -m benchmarks --record
	$(BIN)/python docs/generate_benchmarks.py
	$(BIN)/python docs/generate_capacity.py

bench-quick: bench-peers ## a first impression of the same, in one round, which is not recorded
	$(BIN)/python -m benchmarks --size quick

format: $(VENV)/.dev-installed ## format the code, and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(VENV)/.dev-installed ## write requirements/*.txt again from pyproject.toml
	$(COMPILE) --extra arrow --extra local --extra traces --group build --group dev -o requirements/dev.txt >/dev/null
	$(COMPILE) --extra local --group build -c requirements/dev.txt -o requirements/demo.txt >/dev/null
	$(COMPILE) --extra arrow -c requirements/dev.txt -o requirements/arrow.txt >/dev/null
	$(COMPILE) --extra traces -c requirements/dev.txt -o requirements/traces.txt >/dev/null
	$(COMPILE) -c requirements/dev.txt -o requirements/runtime.txt >/dev/null
	$(COMPILE) --extra arrow --group integrations -c requirements/arrow.txt -o requirements/integrations.txt >/dev/null
	$(COMPILE_SPARK) >/dev/null
	@! grep -nE '://|^ *--(index|extra-index|find-links)' requirements/*.txt \
		|| { echo 'error: a lock file holds an address' >&2; exit 1; }

audit: $(VENV)/.dev-installed ## ask for known vulnerabilities of what production installs; says so when offline
	@for lock in runtime arrow traces; do \
		$(BIN)/python .ci/advisories.py requirements/$$lock.txt $(AUDIT_ARGS) || exit; done

dist: $(VENV)/.dev-installed ## what a release carries: the wheel, made from its sources; production's locks, their SBOM, and the sums
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	cp requirements/runtime.txt requirements/arrow.txt requirements/traces.txt dist/
	$(SBOM) --output-file "$$(echo dist/*.whl | sed 's/-py3.*/.cdx.json/')" requirements/runtime.txt
	cd dist && sha256sum * > SHA256SUMS

docs: $(VENV)/.dev-installed ## build the site of docs/ into site/; a dead link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

clean: ## remove what make and the tools made; .vault-etl/ (your local data) stays
	rm -rf $(VENV) build dist site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf tests/attacks/iam/node_modules benchmarks/peers/consumer/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The two halves of the environment. `make demo` waits for the first alone.
# Both are stamped: nothing is asked or installed until a lock file or pyproject.toml changes.

$(VENV)/.demo-installed: requirements/demo.txt pyproject.toml | $(VENV)/.made
	@echo 'Installing what vault-etl needs into $(VENV) (about half a minute, once)'
	@$(PIP) install --require-hashes -r requirements/demo.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-installed: requirements/dev.txt $(VENV)/.demo-installed
	@echo 'Installing the tools for tests and checks into $(VENV) (about half a minute, once)'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# A name on the PATH proves nothing: version managers leave shims that fail, and Debian's python3
# comes without ensurepip. So each is run.
$(VENV)/.made:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			"$$python" requirements/told.py "$$python" -m venv --clear $(VENV) && touch $@; \
			exit; \
		fi; \
	done; \
	echo 'error: no Python 3.11 or newer here runs and has ensurepip' >&2; \
	echo 'hint: Debian, Ubuntu: apt-get install python3 python3-venv' >&2; \
	echo 'hint: Fedora: dnf install python3; macOS: brew install python@3.13' >&2; \
	exit 1

# What the system tests need beside Python, from Debian's packages: $(call installed,TEST,PACKAGES).
# Debian would start servers of its own: RUNLEVEL=1 keeps them off.
define installed
	@if ! { $(1); } >/dev/null 2>&1; then \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo 'error: the system tests need $(2)' >&2; \
			echo 'hint: as root on Debian or Ubuntu: apt-get install $(2)' >&2; \
			exit 1; \
		fi; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
			apt-get install -qq -y --no-install-recommends $(2) >/dev/null; \
	fi
endef

# Each of these programs is there: $(call present,NAMES).
present = (for name in $(1); do command -v "$$name" || exit 1; done)

# The evaluator of IAM policies that tests/attacks/iam runs, from npm, locked by hash. Stamped like the rest.
policy-evaluator: tests/attacks/iam/node_modules/.installed

tests/attacks/iam/node_modules/.installed: tests/attacks/iam/package-lock.json
	$(call installed,command -v node && command -v npm,nodejs npm)
	@cd tests/attacks/iam && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

# What the system tests run beside Node, in one call: PgBouncer, Prometheus with Alertmanager, Podman with what it needs, and Java.
programs:
	$(call installed,test -x /usr/sbin/pgbouncer && $(call present,promtool prometheus-alertmanager podman runc catatonit mmdebstrap iptables java),pgbouncer prometheus prometheus-alertmanager podman runc catatonit netavark aardvark-dns iptables mmdebstrap debian-archive-keyring default-jre-headless)

# Spark, in a folder of its own that only its tests put on the path: half a gigabyte. pyspark has no wheel, and is built with
# the locked setuptools.
SPARK := $(VENV)/spark
INTO_SPARK := --prefix $(SPARK) --ignore-installed --no-warn-script-location --require-hashes --no-deps
spark: $(SPARK)/.installed

$(SPARK)/.installed: requirements/spark.txt | $(VENV)/.dev-installed
	@rm -rf $(SPARK)
	@sed -n '/^setuptools==/,/^[^ ]/{/^setuptools==/p;/^ /p}' requirements/spark.txt > $(VENV)/setuptools.txt
	@$(PIP) install $(INTO_SPARK) -r $(VENV)/setuptools.txt
	@PYTHONPATH=$$(echo $(SPARK)/lib/python3.*/site-packages) $(PIP) install $(INTO_SPARK) --no-build-isolation -r requirements/spark.txt
	@touch $@

# Airflow, Dagster and dbt, in an environment of their own: their packages do not fit those of the tests.
INTEGRATIONS := $(VENV)/integrations
integrations: $(INTEGRATIONS)/.installed

$(INTEGRATIONS)/.installed: requirements/integrations.txt | $(VENV)/.dev-installed
	@$(BIN)/python -m venv --clear --without-pip $(INTEGRATIONS)
	@$(PIP) --python $(INTEGRATIONS) install --no-compile --no-deps --require-hashes -r requirements/integrations.txt
	@touch $@

# The peer on Node of benchmarks/, from npm, locked by hash. Without Node the benchmarks leave it out, and say so.
.PHONY: bench-peers
bench-peers: $(VENV)/.dev-installed
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
		$(MAKE) --no-print-directory benchmarks/peers/consumer/node_modules/.installed; fi

benchmarks/peers/consumer/node_modules/.installed: benchmarks/peers/consumer/package-lock.json
	@cd $(@D)/.. && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
