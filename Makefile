# Every target sets up what it needs by itself; nothing has to be run first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help audit test lab setup pages bench clean

help:            ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

audit: $(VENV)/core.done    ## Audit a credit model for bias, from data to report (under a minute)
	@$(BIN)/dlcourse audit demo

test: $(VENV)/dev.done      ## Lint, export, run every notebook and every test
	@$(BIN)/python tools/gate.py

lab: $(VENV)/dev.done       ## Open your workspace of the course in JupyterLab
	@$(BIN)/dlcourse lab

setup: $(VENV)/dev.done     ## Install everything into .venv

pages: $(VENV)/dev.done     ## Execute the lessons whose source changed, and rebuild README.md
	@$(BIN)/python tools/pages.py

bench: $(VENV)/dev.done     ## Run every comparison in benchmarks/
	@for f in benchmarks/*.py; do echo "== $$f"; OMP_NUM_THREADS=1 $(BIN)/python $$f || exit 1; done

clean:           ## Remove what the other targets made
	rm -rf $(VENV) _out build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "dlcourse needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/core.done: pyproject.toml setup.py constraints.txt | $(VENV)/bin/python
	@echo "Setting up .venv (once) …"
	@$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/dev.done: pyproject.toml setup.py constraints.txt | $(VENV)/bin/python
	@echo "Setting up .venv with everything (once, a few minutes) …"
	@$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $(VENV)/core.done $@
