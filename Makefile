# `make help` lists the targets. Everything that can be made again goes to $(BUILD).
# Programs of the environment are called as modules of its Python: a script's first line cannot hold a path with a space.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BUILD ?= build
PROFILE ?= laptop
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null | awk '{print ($$1 > 4 ? 4 : $$1)}')
STUDY ?= linguistic_scaling
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.requirements.lock

# Where a container says not to, some hundred processes would compile nclib anew, each in three seconds.
unexport PYTHONDONTWRITEBYTECODE
export OMP_NUM_THREADS ?= 1
export TQDM_DISABLE ?= 1
export MPLBACKEND ?= agg

.DEFAULT_GOAL := help
.PHONY: help venv lock book serve runs test test-data bench lint readme clean distclean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18
	@echo "  variables: BUILD=$(BUILD) PROFILE=$(PROFILE) (smoke, laptop, paper) JOBS=$(JOBS) PYTHON=$(PYTHON)"

venv: $(STAMP)  ## create .venv from requirements.lock (done again only when the lock changes)

$(STAMP): requirements.lock pyproject.toml
	@test -x "$(RUN)" || "$(PYTHON)" -m venv $(VENV)
	"$(RUN)" -m pip install --quiet --disable-pip-version-check -r requirements.lock
	"$(RUN)" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@cp requirements.lock $@

lock: ## write requirements.lock from what .venv holds
	"$(RUN)" workflow/lock.py > requirements.lock.part
	mv requirements.lock.part requirements.lock

book: $(STAMP)  ## run the notebooks that changed, build the site, print the path to open
	@"$(RUN)" workflow/book.py --build "$(BUILD)" --profile $(PROFILE) --jobs $(JOBS)

serve: book  ## the same, then serve the site on http://localhost:8000
	"$(RUN)" -m http.server --bind localhost --directory "$(BUILD)/site/_build/html" 8000

runs: $(STAMP)  ## do the runs of a study that are not stored: make runs STUDY=linguistic_scaling
	"$(RUN)" workflow/warm.py serve "$(RUN)" -m snakemake --snakefile workflow/runs.smk --workflow-profile workflow/profiles/local \
		--directory "$(BUILD)" --cores $(JOBS) --config study=$(STUDY) profile=$(PROFILE)

test: $(STAMP)  ## the test suite: library, notebooks at smoke, book, site in a browser
	"$(RUN)" -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

test-data: $(STAMP)  ## the tests that read real data files, in the folder that NCLIB_DATA names
	"$(RUN)" -m pytest -m data $(TESTS)

bench: $(STAMP)  ## time the library on one thread into results/benchmarks (minutes, best on a quiet machine)
	@mkdir -p "$(BUILD)"
	OMP_NUM_THREADS=1 "$(RUN)" -m pytest -o addopts="" -W default -p no:xdist benchmarks/bench_*.py --benchmark-json="$(BUILD)/bench.json"; \
	status=$$?; "$(RUN)" benchmarks/table.py "$(BUILD)/bench.json" && exit $$status

lint: $(STAMP)  ## ruff, and that the notebooks are committed stripped
	"$(RUN)" -m ruff check .
	"$(RUN)" -m ruff format --check .
	"$(RUN)" -m nbstripout --verify --keep-id notebooks/*.ipynb

readme: book  ## renew the table of claims and the figure of README.md from the last build
	"$(RUN)" workflow/pages.py readme --build "$(BUILD)" --profile $(PROFILE)

clean:  ## remove what was built, keep the cache of runs and the data
	rm -rf "$(BUILD)/site" "$(BUILD)/executed" "$(BUILD)/claims" "$(BUILD)/.snakemake"

distclean: clean  ## remove .venv and the cache of runs as well
	rm -rf $(VENV) "$(BUILD)/cache"
