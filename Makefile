# Two environments: `make demo` needs what the product needs and nothing more, the rest needs the tools too.
# Both are installed from locks with hashes, and only when a lock has changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
RUN := .venv-run
DEV := .venv

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench crashes mutants live images notebooks examples lock clean

help:  ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

demo: $(RUN)/.installed  ## Run the quickstart scenario and say where its report lies
	@$(RUN)/bin/twin run scenarios/quickstart.yaml

test: $(DEV)/.installed  ## Run all tests
	@$(DEV)/bin/pytest -n auto

lint: $(DEV)/.installed  ## Style, types, and the rules of the house
	@$(DEV)/bin/ruff check .
	@$(DEV)/bin/ruff format --check .
	@$(DEV)/bin/mypy
	@$(DEV)/bin/lint-imports

docs: $(DEV)/.installed  ## Make the pages of faults and scenarios anew from the code and the scenarios
	@$(DEV)/bin/python -m twin.docs_pages

bench: $(DEV)/.installed  ## Measure speed and memory; writes reports/bench.json
	@$(DEV)/bin/python -m tests.bench.run

crashes: $(DEV)/.installed  ## Kill the operator at every point of a whole life; says at how many it recovers
	@$(DEV)/bin/python -m tests.harness.run

mutants: $(DEV)/.installed  ## Which check finds each of some seventy mistakes in the operator
	@$(DEV)/bin/python -m tests.mutants.run

live: $(DEV)/.installed  ## Every scenario served, the operator a process that is killed in between (two hours)
	@$(DEV)/bin/python -m tests.live.run

images: $(DEV)/.installed  ## Build both images and run them, where docker or podman is
	@LORA_TWIN_IMAGES=1 $(DEV)/bin/pytest -rs tests/images

notebooks: $(DEV)/.installed  ## Run the notebooks anew and keep their outputs
	@rm -rf reports/notebooks
	@cd notebooks && for each in *.ipynb; do ../$(DEV)/bin/jupyter-execute --inplace $$each || exit 1; done

examples: $(DEV)/.installed  ## Make the example reports in reports/examples again
	@PATH="$(CURDIR)/$(DEV)/bin:$$PATH" reports/examples/make.sh

lock: $(DEV)/.installed  ## Make the locks anew from pyproject.toml
	@$(DEV)/bin/uv pip compile pyproject.toml --group pyproject.toml:build --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet --upgrade -o requirements.lock
	@$(DEV)/bin/uv pip compile pyproject.toml --all-extras --group pyproject.toml:build --group pyproject.toml:dev --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet --upgrade \
		-o requirements-dev.lock
	@$(DEV)/bin/uv pip compile --group pyproject.toml:controller --constraints requirements-dev.lock --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet \
		-o controller/deploy/requirements.lock
	@$(DEV)/bin/uv pip compile --group pyproject.toml:fake --constraints requirements-dev.lock --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet \
		-o fake_vllm/deploy/requirements.lock
	@$(DEV)/bin/uv pip compile --group pyproject.toml:build --constraints requirements-dev.lock --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet \
		-o requirements-build.lock

clean:  ## Remove both environments and caches
	@rm -rf $(RUN) $(DEV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(RUN)/.installed: requirements.lock pyproject.toml
	@$(call install,$(RUN),requirements.lock)

$(DEV)/.installed: requirements-dev.lock pyproject.toml
	@$(call install,$(DEV),requirements-dev.lock)

define install
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11")' && \
	echo "installing into $(1) from $(2)" && \
	$(PYTHON) -m venv $(1) && \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(2) && \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . && \
	touch $@
endef
