# make quickstart   set up, then the main job: KGQR on MovieLens-100K      (options: make quickstart ARGS="--aggregator gat")
# make test         set up, then the whole test suite, in two processes    (options: make test WORKERS=4 ARGS="tests/nn -x")
# make fuzz         damaged files for every reader, 100,000 of them        (another number: make fuzz TIMES=10, of 600 each),
#                   and every wrong option of every public callable
# make docs         set up, then the documentation's site, in docs/_build/html; needs no network once set up
# make lint         set up, then ruff and mypy
# make clean        remove the virtual environment, the tools' caches and the built site
#
# Another interpreter: make PYTHON=python3.12 …        Another place for the environment: make VENV=/somewhere …

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
TIMES ?= 167
WORKERS ?= 2

PY := $(VENV)/bin/python

.PHONY: quickstart test fuzz docs lint clean
.DELETE_ON_ERROR:

quickstart: $(VENV)/.has-examples
	$(PY) examples/kgqr.py $(ARGS)

# the tests' tensors are small: threads would only wait for each other, processes do not
test: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.has-test,examples
	$(PY) -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

fuzz: export OMP_NUM_THREADS ?= 1
fuzz: export KGRL_FUZZ := $(TIMES)
fuzz: $(VENV)/.has-test,examples
	$(PY) -m pytest -rP tests/datasets/test_fuzz.py tests/test_wrong_options.py $(ARGS)

docs: export OMP_NUM_THREADS ?= 1
docs: $(VENV)/.has-docs
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html $(ARGS)

lint: $(VENV)/.has-dev
	$(PY) -m ruff check
	$(PY) -m mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build docs/generated

# One stamp for each set of extras: pip runs again only where what it would read has changed.
$(VENV)/.has-%: pyproject.toml constraints.txt $(VENV)/.created
	$(PY) -m pip install --quiet --no-compile -c constraints.txt -e ".[$*]"
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and "kgrl needs Python 3.11 or newer, got " + v + "; say make PYTHON=python3.12, or the like")'
	$(PYTHON) -m venv $(VENV)
	@touch $@
