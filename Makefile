# `make help` lists the targets. Everything that can be made again goes to $(BUILD).
PYTHON ?= $(shell command -v python3.11 || echo python3)
BUILD ?= build
PROFILE ?= laptop
JOBS ?= 2
STUDY ?= wu2024.grid
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.requirements.lock

export OMP_NUM_THREADS ?= 1
export TQDM_DISABLE ?= 1
export MPLBACKEND ?= agg

.DEFAULT_GOAL := help
.PHONY: help venv lock book serve runs test bench lint readme clean distclean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18
	@echo "  variables: BUILD=$(BUILD) PROFILE=$(PROFILE) (smoke, laptop, paper) JOBS=$(JOBS) PYTHON=$(PYTHON)"

venv: $(STAMP)  ## create .venv from requirements.lock (done again only when the lock changes)

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@cp requirements.lock $@

lock: ## write requirements.lock from what .venv holds
	$(BIN)/python workflow/lock.py > requirements.lock.part
	mv requirements.lock.part requirements.lock

book: $(STAMP)  ## run the notebooks that changed, build the site, print the path to open
	@$(BIN)/python workflow/book.py --build $(BUILD) --profile $(PROFILE) --jobs $(JOBS)

serve: book  ## the same, then serve the site on http://localhost:8000
	$(BIN)/python -m http.server --bind localhost --directory $(BUILD)/site/_build/html 8000

runs: $(STAMP)  ## do the runs of a study that are not stored: make runs STUDY=wu2024.grid
	$(BIN)/snakemake --snakefile workflow/runs.smk --workflow-profile workflow/profiles/local \
		--directory $(BUILD) --cores $(JOBS) --config study=$(STUDY) profile=$(PROFILE)

test: $(STAMP)  ## the whole test suite: library, notebooks at smoke, book, site in a browser
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

bench: $(STAMP)  ## time the library on one thread into results/benchmarks (minutes, best on a quiet machine)
	@mkdir -p $(BUILD)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -o addopts="" benchmarks/bench_*.py --benchmark-json=$(BUILD)/bench.json; \
	status=$$?; $(BIN)/python benchmarks/table.py $(BUILD)/bench.json && exit $$status

lint: $(STAMP)  ## ruff, and that the notebooks are committed stripped
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify notebooks/*.ipynb

readme: book  ## renew the table of claims and the figure of README.md from the last build
	$(BIN)/python workflow/pages.py readme --build $(BUILD)

clean:  ## remove what was built, keep the cache of runs and the data
	rm -rf $(BUILD)/site $(BUILD)/executed $(BUILD)/claims $(BUILD)/.snakemake

distclean: clean  ## remove .venv and the cache of runs as well
	rm -rf $(VENV) $(BUILD)/cache
