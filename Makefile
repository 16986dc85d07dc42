# The targets, each with what it does: make help
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
NUMPY2 := $(VENV)-numpy2
# Larq and NumPy before 2 cannot be installed on Python 3.13 and newer
CONSTRAINTS ?= $(shell $(PYTHON) -c 'import sys; print("constraints.txt" if sys.version_info < (3, 13) else "constraints-numpy2.txt")')
PIP = $(PY) -m pip install --disable-pip-version-check -q -c $(CONSTRAINTS)
OUTPUTS ?= outputs
ARGS ?=
SCALE ?= smoke
OLD ?= docs/benchmarks-history.csv
NEW ?= outputs/bench.json

.DEFAULT_GOAL := help
.PHONY: help run setup test test-thorough test-slow test-slurm test-numpy2 coverage lint docs bench bench-check tables publish text-pages reproduce status prune clean

help: # this list
	@awk -F ':.*# ' '/^[a-z][a-z0-9-]*:.*# / { printf "make %-14s %s\n", $$1, $$2 }' Makefile
	@echo 'Further arguments: make tables OUTPUTS="/some/folder" ARGS="--scale cpu"'

run: $(VENV)/.run # install into .venv and run the default experiment
	$(PY) run.py $(ARGS)

setup: $(VENV)/.run $(VENV)/.test $(VENV)/.lint $(VENV)/.docs # install everything for development

test: $(VENV)/.test # the quick suite
	$(PY) -m pytest -n auto --dist worksteal $(ARGS)

test-thorough: $(VENV)/.test # what the quick suite leaves out: many programs, kernels in an interpreter, rare options
	$(PY) -m pytest -m "thorough and not slow" -n auto --dist worksteal $(ARGS)

test-slow: $(VENV)/.test # long checks, on real data where the data folder has them
	$(PY) -m pytest -m slow --durations=10 $(ARGS)

test-slurm: $(VENV)/.test # a SLURM cluster of one node on loopback, from Debian's packages; as root
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v slurmdbd >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm slurmdbd munge mariadb-server-core mariadb-client-core; fi
	$(PY) -m pytest -m slow -rs tests/slow/test_slurm.py $(ARGS)

test-numpy2: $(NUMPY2)/.test # both suites with NumPy 2, which Larq does not allow
	NUMBA_CACHE_DIR="$(CURDIR)/$(NUMPY2)/numba" $(NUMPY2)/bin/python -m pytest -m "not slow" -n auto --dist worksteal $(ARGS)

coverage: $(VENV)/.test # the quick and the thorough suite, with the minimum coverage of pyproject.toml
	$(PY) -m pytest -m "not slow" -n auto --dist worksteal --cov --cov-report=term $(ARGS)

lint: $(VENV)/.lint # format, style, types, import rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy scd data attacks baselines pipeline scripts hydra_plugins run.py
	$(VENV)/bin/lint-imports

docs: $(VENV)/.docs # the documentation with an API reference, into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

bench: $(VENV)/.test # speeds, against ART and scikit-learn in the same run
	$(PY) -m scripts.bench $(ARGS)

bench-check: $(VENV)/.test # compare the last benchmark with the history, or two files: OLD=before.json NEW=after.json
	$(PY) -m scripts.bench.compare "$(OLD)" "$(NEW)"

tables: $(VENV)/.run # tables, figures and the report from finished runs
	$(PY) -m scripts.tables --outputs "$(OUTPUTS)" $(ARGS)

publish: $(VENV)/.run # records, tables, figures and report into docs/results, without weights, images and texts
	$(PY) -m scripts.publish --outputs "$(OUTPUTS)" $(ARGS)

text-pages: $(VENV)/.run # a page of originals and adversarials for each finished attack on texts
	$(PY) -m scripts.report.text_pages --outputs "$(OUTPUTS)" $(ARGS)

status: $(VENV)/.run # finished, running, killed and failed runs, and how to go on
	$(PY) -m scripts.status --outputs "$(OUTPUTS)" $(ARGS)

prune: $(VENV)/.run # list what is stale; ARGS=--yes removes it
	$(PY) -m scripts.prune --outputs "$(OUTPUTS)" $(ARGS)

reproduce: $(VENV)/.test # what is missing of the paper, then its tables; SCALE=smoke, cpu or paper
	$(PY) -m scripts.reproduce --outputs "$(OUTPUTS)" --scale $(SCALE) $(ARGS)

clean: # remove caches and build files; outputs/ stays
	rm -rf build site .coverage *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)*/*' -prune -exec rm -rf {} +

$(PY):
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt constraints-numpy2.txt | $(PY)
	@echo "Installing into $(VENV) (torch is large; minutes) and compiling meanwhile"
	$(PIP) numba scikit-learn tqdm
	$(PY) -m scripts.precompile >/dev/null 2>&1 & compiling=$$!; trap 'kill $$compiling 2>/dev/null' EXIT INT TERM; $(PIP) -e '.[run]' && wait
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.run
	$(PIP) -e '.[lint]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	$(PIP) -e '.[docs]'
	@touch $@

# NumPy 2 before all packages of $(VENV), so that torch is not installed twice
$(NUMPY2)/.test: $(VENV)/.test
	$(PYTHON) -m venv $(NUMPY2)
	$(PY) -c 'import site; print(site.getsitepackages()[0])' > "$$($(NUMPY2)/bin/python -c 'import site; print(site.getsitepackages()[0])')/packages.pth"
	$(NUMPY2)/bin/python -m pip install --disable-pip-version-check -q --no-deps --ignore-installed -c constraints-numpy2.txt numpy
	@touch $@
