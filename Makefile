# make run        install the core into .venv and run the default experiment
# make test       the quick suite; make lint: format, types, import rules
# make setup      everything, for development
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check -q -c constraints.txt
OUTPUTS ?= outputs
ARGS ?=
SCALE ?= smoke
OLD ?= outputs/bench_before.json
NEW ?= outputs/bench.json

.PHONY: setup run test test-slow test-slurm lint bench bench-check tables publish text-pages reproduce status prune clean

run: $(VENV)/.core
	$(PY) run.py $(ARGS)

test: $(VENV)/.test
	$(PY) -m pytest -n auto --dist worksteal $(ARGS)

test-slow: $(VENV)/.test
	$(PY) -m pytest -m slow --durations=10 $(ARGS)

test-slurm: $(VENV)/.test # a cluster of one node on loopback, out of Debian's packages; as root
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v slurmdbd >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm slurmdbd munge mariadb-server-core mariadb-client-core; fi
	$(PY) -m pytest -m slow -rs tests/slow/test_slurm.py $(ARGS)

lint: $(VENV)/.lint
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy scd data attacks baselines pipeline scripts hydra_plugins run.py
	$(VENV)/bin/lint-imports

bench: $(VENV)/.test
	$(PY) -m scripts.bench $(ARGS)

bench-check: $(VENV)/.test
	$(PY) -m scripts.bench.compare $(OLD) $(NEW)

tables: $(VENV)/.core
	$(PY) -m scripts.tables --outputs $(OUTPUTS) $(ARGS)

publish: $(VENV)/.core # records, tables, figures and report into docs/results, without weights, pictures and texts
	$(PY) -m scripts.publish --outputs $(OUTPUTS) $(ARGS)

text-pages: $(VENV)/.core # a page of originals and adversarials for each finished attack on texts
	$(PY) -m scripts.report.text_pages --outputs $(OUTPUTS) $(ARGS)

status: $(VENV)/.core # what the store holds, what is unfinished and how to go on
	$(PY) -m scripts.status --outputs $(OUTPUTS) $(ARGS)

prune: $(VENV)/.core # lists what is stale; ARGS=--yes removes it
	$(PY) -m scripts.prune --outputs $(OUTPUTS) $(ARGS)

reproduce: $(VENV)/.test # SCALE=smoke, cpu or paper: what is missing of the paper, then its tables
	$(PY) -m scripts.reproduce --outputs $(OUTPUTS) --scale $(SCALE) $(ARGS)

setup: $(VENV)/.core $(VENV)/.test $(VENV)/.lint

$(PY):
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(PY)
	@echo "Installing the core into $(VENV) (torch is large; minutes)"
	$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.core
	$(PIP) -e '.[lint]'
	@touch $@

clean: # what runs wrote stays; remove outputs/ by hand
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
