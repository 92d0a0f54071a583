# HYPOTHESIS_PROFILE=nightly makes the property tests large; ci (default) repeats the same examples each time.
HYPOTHESIS_PROFILE ?= ci
export HYPOTHESIS_PROFILE
# The bytecode of tests and product is kept: to compile it anew takes 3 s of each stage.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := .venv/bin/pytest --durations=10 --durations-min=0.5
# Files of tests that run side by side: those with a stack wait half of their time. A stack takes 3 GB of memory.
WORKERS ?= 2
BESIDE := $(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# In a JVM of its own: Iceberg's threads keep the class loader of the job that began them, which S3's client asks.
ON_S3 := tests/integration/test_upkeep_on_s3.py

STAGES := lint types unit properties integration e2e

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup run picture check test lint types unit properties integration e2e monitoring-test soak torture upgrade-test bench figures schemas lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-17s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing or stale: Python environment, jars, Kinesis emulator
	@./bootstrap.sh

run: setup ## Start the local stack and feed it a sample; ONCE=1 checks the numbers and exits
	.venv/bin/python -m lab.run $(if $(ONCE),--once)

picture: setup ## docs/flink-ui.png anew, from the job that `make run` runs beside this; needs Chromium
	.venv/bin/python -m lab.picture

check: lint types unit properties ## Everything that needs no JVM, about a minute

test: ## Everything, each stage whatever becomes of the others; what CI runs
	@failed=; for stage in $(STAGES); do $(MAKE) --no-print-directory $$stage || failed="$$failed $$stage"; done; \
		[ -z "$$failed" ] && echo "PASSED: $(STAGES)" || { echo "FAILED:$$failed"; exit 1; }

lint: setup ## Ruff: lint and format, changes nothing
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup ## mypy --strict on the product's code
	.venv/bin/mypy

unit: setup ## Rules, settings and architecture
	$(PYTEST) -p no:hypothesispytest -p no:xdist tests/unit

properties: setup ## Generated inputs against the rules; HYPOTHESIS_PROFILE=nightly for many more
	$(BESIDE) tests/properties

integration: setup ## The real topology on a mini cluster
	$(BESIDE) tests/integration --ignore $(ON_S3)
	$(PYTEST) -p no:xdist $(ON_S3)

e2e: setup ## Real processes, emulators, kills and a shard split
	$(BESIDE) tests/e2e

monitoring-test: setup build/prometheus ## Alert rules by promtool, of Debian's package of Prometheus (19 MB)
	$(PYTEST) tests/unit/test_monitoring.py tests/integration/test_promtool.py

build/prometheus: # Debian's package, unpacked and not installed: nothing starts by itself
	mkdir -p build && cd build && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb prometheus.part && rm prometheus_*.deb
	mv build/prometheus.part $@

soak: setup ## Mutated traffic through the local stack, every record accounted for; MINUTES=10 SEED=1
	.venv/bin/python -m lab.proofs.soak --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

torture: setup ## Faults while the sample is fed, everything compared; RUNS=10 SEED=1, EXPORT=1 the export job
	.venv/bin/python -m lab.proofs.torture$(if $(EXPORT),_export) --runs $(or $(RUNS),10) --seed $(or $(SEED),1)

upgrade-test: setup ## Older code stopped in mid-feed, its state restored by this code; BASE=revision
	.venv/bin/python -m lab.proofs.upgrade test $(if $(BASE),--base $(BASE))

bench: setup ## Throughput beside SQL, PySpark, Bytewax, plain Python, naive PyFlink (680 MB and 30 min)
	.venv/bin/python -m lab.bench.throughput

figures: setup ## The other figures of docs/performance.md
	.venv/bin/python -m lab.bench

schemas: setup ## JSON Schemas under docs/ anew, out of the code that they describe
	.venv/bin/python -m lab.schemas

lock: setup ## Resolve pyproject.toml anew into requirements.lock
	.tools/bin/uv pip compile pyproject.toml --group dev --python-version 3.11 --universal --generate-hashes \
		--no-header --no-annotate -o requirements.lock

clean: ## Remove run data and caches; stop `make run` first. The environment and the jars stay
	rm -rf var .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +
