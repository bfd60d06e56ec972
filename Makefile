# Two environments: `make demo` needs what the product needs and nothing more, the rest needs the tools too.
# Both are installed from locks with hashes, and only when a lock has changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
RUN := .venv-run
DEV := .venv

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench crashes mutants live chart images notebooks examples record conform conform-operator record-weights record-fuzz record-schema conform-fuzz record-clients conform-clients record-kubernetes conform-kubernetes fuzz lock clean

help:  ## Print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(RUN)/.installed  ## Run the quickstart scenario and print the path of its report
	@$(RUN)/bin/twin run scenarios/quickstart.yaml

test: $(DEV)/.installed  ## Run all tests
	@$(DEV)/bin/pytest -n auto

lint: $(DEV)/.installed  ## Style, types and import contracts
	@$(DEV)/bin/ruff check .
	@$(DEV)/bin/ruff format --check .
	@$(DEV)/bin/mypy
	@$(DEV)/bin/lint-imports

docs: $(DEV)/.installed  ## Regenerate the pages of faults and scenarios
	@$(DEV)/bin/python -m twin.docs_pages

bench: $(DEV)/.installed  ## Measure speed and memory; writes reports/bench.json
	@$(DEV)/bin/python -m tests.bench.run

crashes: $(DEV)/.installed  ## Kill the operator at every point of an adapter's life and of a move; prints at how many it recovers
	@$(DEV)/bin/python -m tests.harness.run

mutants: $(DEV)/.installed  ## Apply listed mistakes to the operator, or random ones: make mutants SAMPLE=200 SEED=1
	@$(DEV)/bin/python -m $(if $(SAMPLE),tests.mutants.generated.run --sample $(SAMPLE) --seed $(or $(SEED),1),tests.mutants.run)

live: $(DEV)/.installed  ## Every scenario on a served cluster, the operator a process that is killed (about an hour)
	@$(DEV)/bin/python -m tests.live.demand
	@$(DEV)/bin/python -m tests.live.run

chart: $(DEV)/.installed  ## Lint the Helm chart and record what helm makes of it; needs helm
	@$(DEV)/bin/python -m tests.controller.deploy.record_chart

images: $(DEV)/.installed  ## Build the images and run them; needs docker or podman
	@LORA_TWIN_IMAGES=1 $(DEV)/bin/pytest -rs tests/images

notebooks: $(DEV)/.installed  ## Run the notebooks and store their outputs
	@rm -rf reports/notebooks
	@cd notebooks && for each in *.ipynb; do ../$(DEV)/bin/jupyter-execute --inplace $$each || exit 1; done

examples: $(DEV)/.installed  ## Make the example reports in reports/examples again
	@PATH="$(CURDIR)/$(DEV)/bin:$$PATH" reports/examples/make.sh

record: $(DEV)/.installed  ## Play the conformance table to a real vLLM and keep its answers: make record VLLM=0.32.0
	@$(DEV)/bin/python -m tests.conformance.record $(VLLM) $(if $(ONLY),--only $(ONLY)) --cases "$(CASES)"

conform: $(DEV)/.installed  ## List where the fake engine differs from the recordings of real vLLM
	@$(DEV)/bin/python -m tests.conformance.conform $(VLLM) --by $(or $(BY),case) --cases "$(CASES)"

conform-operator: $(DEV)/.installed  ## Play the operator's story to two real vLLM servers, record it, and compare it with the twin
	@$(DEV)/bin/python -m tests.conformance.operator_story $(or $(VLLM),0.32.0)

record-weights: $(DEV)/.installed  ## Record which weights of a changed adapter a real vLLM answers with: make record-weights VLLM=0.32.0
	@$(DEV)/bin/python -m tests.conformance.stories.prefix_cache $(VLLM)

record-fuzz: $(DEV)/.installed  ## Play 5 000 random bodies to a real vLLM and keep its answers: make record-fuzz VLLM=0.32.0
	@$(DEV)/bin/python -m tests.conformance.fuzz.record $(VLLM)

record-schema: $(DEV)/.installed  ## Keep the schema of a real vLLM's request bodies: make record-schema VLLM=0.32.0
	@$(DEV)/bin/python -m tests.conformance.fuzz.record_schema $(VLLM)

conform-fuzz: $(DEV)/.installed  ## List random bodies that the fake engine answers otherwise than real vLLM
	@$(DEV)/bin/python -m tests.conformance.fuzz.conform $(VLLM)

record-clients: $(DEV)/.installed  ## Drive openai, litellm, LangChain and lm-eval against a real vLLM: make record-clients VLLM=0.32.0
	@$(DEV)/bin/python -m tests.conformance.clients.record $(VLLM)

conform-clients: $(DEV)/.installed  ## List what those clients get from the fake engine otherwise than from real vLLM
	@$(DEV)/bin/python -m tests.conformance.clients.conform $(VLLM)

record-kubernetes: $(DEV)/.installed  ## Play stories to real Kubernetes controllers and keep the states: needs KUBEBUILDER_ASSETS
	@$(DEV)/bin/python -m tests.conformance_kubernetes.record $(STORIES)

conform-kubernetes: $(DEV)/.installed  ## List where the twin's controllers differ from the recordings of real ones
	@$(DEV)/bin/python -m tests.conformance_kubernetes.conform --by $(or $(BY),story) $(STORIES)

fuzz: $(DEV)/.installed  ## Send 200 000 generated requests to the served API, the fake engine and the sidecar
	@$(DEV)/bin/python -m tests.adversary fuzz --count $(or $(COUNT),200000) --seed $(or $(SEED),1)

lock: $(DEV)/.installed  ## Regenerate the locks from pyproject.toml
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
	echo "installing into $(1) from $(2): once, a minute or two" && \
	$(PYTHON) -m venv $(1) && \
	$(1)/bin/python .ci/install-lock $(2) && \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . && \
	touch $@
endef
