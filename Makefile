# Every target sets up what it needs by itself; nothing has to be run first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
WANTED := pyproject.toml setup.py constraints.txt
SITE   := .venv-site
LESSON ?=
CHECK  ?=
MINUTES ?= 8

.DEFAULT_GOAL := help
.PHONY: help audit lab test check fast setup pages site bench gpu wheels clean

help:            ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

audit: $(VENV)/core.done    ## Audit a credit model for bias and privacy, from data to report (under a minute)
	@$(BIN)/dlcourse audit demo

lab: $(VENV)/lab.done       ## Open your workspace of the course in JupyterLab
	@$(BIN)/dlcourse lab

test: $(VENV)/dev.done      ## Lint, export, run every notebook and every test
	@$(BIN)/python tools/gate.py

check: $(VENV)/dev.done     ## One lesson in seconds: make check LESSON=transformers.attention
	@$(BIN)/python tools/check.py $(LESSON)

fast: $(VENV)/dev.done      ## All of `make test` but the lessons, which want an environment of their own
	@$(BIN)/python tools/gate.py --fast

setup: $(VENV)/dev.done     ## Install everything into .venv

pages: $(VENV)/dev.done     ## Execute the lessons whose source changed, and rebuild README.md
	@$(BIN)/python tools/pages.py

site: $(SITE)/done         ## Make the web site in _out/site/html; CHECK=1 makes it twice and compares
	@$(SITE)/bin/python site/make_site.py $(if $(CHECK),--twice)

bench: $(VENV)/dev.done     ## Run every comparison in benchmarks/
	@for f in $(filter-out benchmarks/harness.py benchmarks/gpu.py, $(wildcard benchmarks/*.py)); do \
	  echo "== $$f"; OMP_NUM_THREADS=1 $(BIN)/python $$f || exit 1; done

gpu:             ## What needs a GPU, within MINUTES=8; with the Python that has torch: make gpu PYTHON=python3
	@$(PYTHON) benchmarks/gpu.py --minutes $(MINUTES)

wheels: $(VENV)/dev.done    ## Fetch the wheels that `make gpu` needs on a machine without a network
	@$(BIN)/python benchmarks/gpu.py --wheels $(if $(FOR),--for $(FOR)) $(if $(THERE),--there $(THERE))

clean:           ## Remove what the other targets made
	rm -rf $(VENV) $(SITE) _out build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "dlcourse needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/core.done: $(WANTED) | $(BIN)/python
	@echo "Setting up .venv (once, about 0.6 GB) …"
	@$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/lab.done: $(WANTED) | $(BIN)/python
	@echo "Setting up .venv with JupyterLab and PyTorch (once; with PyTorch's CPU build about 1.6 GB,"
	@echo "with the build for NVIDIA's GPUs several GB more) …"
	@$(PIP) install --no-compile -c constraints.txt -e '.[lab,torch]'
	@$(BIN)/python tools/slim.py
	@du -sh $(VENV) | cut -f1 | sed 's/^/.venv takes /'
	@touch $(VENV)/core.done $@

$(VENV)/dev.done: $(WANTED) | $(BIN)/python
	@echo "Setting up .venv with everything (once, a few minutes) …"
	@$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $(VENV)/core.done $(VENV)/lab.done $@

# The site has an environment of its own: learners need none of it, and it needs neither NumPy nor torch
$(SITE)/done: site/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "dlcourse needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11 site"; exit 1; }
	@echo "Setting up $(SITE) (once, about 0.1 GB) …"
	@$(PYTHON) -m venv --clear $(SITE)
	@$(SITE)/bin/python -m pip --disable-pip-version-check install -q -r site/constraints.txt
	@touch $@
