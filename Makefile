# What this repository can do. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
NOTEBOOKS := $(wildcard jupyter_notebooks/*.ipynb)
# Cleans what differs from run to run, so that notebooks with stored outputs have readable diffs.
NORMALISE := $(BIN)/nbstripout --keep-output --drop-output-type stream:stderr --extra-keys metadata.language_info
EXECUTE := $(BIN)/jupyter nbconvert --to notebook --execute --log-level WARN

.PHONY: help setup run serve page page-static test test-cluster test-browser mutants check notebooks models

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | expand -t 14

setup: $(VENV)/.installed ## Make .venv and install requirements.txt into it
	@echo "Ready: $(BIN)/python"

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "No venv module (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	$(PIP) -r requirements.txt
	@touch $@

# An extra of pyproject.toml: .installed-dev is `pip install -e ".[dev]"`, on top of requirements.txt.
$(VENV)/.installed-%: pyproject.toml $(VENV)/.installed
	$(PIP) -r requirements.txt -e ".[$*]"
	@touch $@

run: $(VENV)/.installed ## Execute the three notebooks on the bundled speech, then predict one clip
	@mkdir -p runs
	$(EXECUTE) --output-dir runs $(NOTEBOOKS)
	$(BIN)/python inference.py dataset/audio/test-0009.mp3 --model "$$(ls -d runs/2*/model | tail -1)"
	@echo "Done. Executed notebooks: runs/*.ipynb. Model, metrics.json, predictions.csv and pictures:" \
		"$$(ls -d runs/2*/model | tail -1 | xargs dirname)"

serve: $(VENV)/.installed-serve ## Answer over HTTP on 127.0.0.1:8000
	$(BIN)/python serve.py

page: $(VENV)/.installed-demo ## Serve a page to try the classifier and to record data: http://127.0.0.1:7860
	$(BIN)/python app.py

page-static: $(VENV)/.installed-space ## Serve a page that answers in the browser, with no server behind it: http://127.0.0.1:7861
	rm -rf runs/page-static
	$(BIN)/python -m speech_intent.publish models/moonshine-tiny-scooter USER/spoken-requests \
		--space --dry-run runs/page-static
	@echo "Open http://127.0.0.1:7861"
	$(BIN)/python -m http.server 7861 --bind 127.0.0.1 --directory runs/page-static

test: $(VENV)/.installed-dev ## Run the whole test suite, a file a core
	$(BIN)/python -m pytest

# One process each: their tests share servers, nodes and a browser.
test-cluster: $(VENV)/.installed-dev $(VENV)/.installed-cluster ## Run the tests on two simulated Ray nodes
	$(BIN)/python -m pytest -n 0 tests/cluster

test-browser: $(VENV)/.installed-browser ## Test both pages, and exported models, in Chromium (on Debian: apt install chromium)
	$(BIN)/python -m pytest -n 0 tests/browser

mutants: $(VENV)/.installed-dev ## Change the code in small ways, one at a time: the tests must notice each (an hour)
	$(BIN)/python tests/mutants.py

check: $(VENV)/.installed-dev ## Check style (ruff), types (mypy) and that the stored notebooks are normalised
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(NORMALISE) --verify $(NOTEBOOKS)

notebooks: $(VENV)/.installed-dev ## Execute the notebooks in place: the only way their stored outputs are made
	$(EXECUTE) --inplace $(NOTEBOOKS)
	$(BIN)/python .ci/shrink_notebooks.py $(NOTEBOOKS)
	$(NORMALISE) $(NOTEBOOKS)

models: $(VENV)/.installed ## Train the classifier that ships in models/: the only thing that writes there
	rm -rf runs/models
	$(BIN)/python -m speech_intent.train --data bundled --output-dir runs/models
	$(BIN)/python pretraining/ship.py --classifier runs/models/model
	$(BIN)/python benchmarks/tables.py
