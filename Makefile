# Every target sets itself up: a bare machine needs Python 3.11-3.13, make and git.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
EXTRAS ?=
COUNT ?= 50
SEED ?= 0
# Films and feature maps are large blocks, which the GNU C library maps anew and unmaps again each
# time; here freed blocks stay with the process, in huge pages. Ignored by other C libraries.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
export MALLOC_MMAP_MAX_ ?= 0
export MALLOC_TRIM_THRESHOLD_ ?= 68719476736
export MALLOC_TOP_PAD_ ?= 67108864

.DEFAULT_GOAL := help
.PHONY: help setup reproduce smoke status test lint lock clean-tmp compare explain report bench torture

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv and install the locked packages (EXTRAS=slurm,ray adds extras)
	@PYTHON="$(PYTHON)" EXTRAS="$(EXTRAS)" bash .ci/setup

reproduce: setup ## the whole pipeline; ARGS="experiment=nih paths.nih=/data/nih" and any override
	@$(BIN)/python -m pipeline $(ARGS)

smoke: setup ## every stage at 64 px on a few phantoms, in minutes
	@$(BIN)/python -m pipeline experiment=smoke $(ARGS)

status: setup ## what a run would do: ARGS as for reproduce
	@$(BIN)/python -m pipeline.status $(ARGS)

test: setup ## the whole test suite; CXR_REAL=<folder> adds the tests on real films
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ARGS)

lint: setup ## ruff (format and rules) and mypy
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

lock: ## compile the lock files anew (needs uv)
	uv pip compile --universal --generate-hashes --python-version 3.11 requirements.in -o requirements.lock
	for extra in lrp loggers slurm ray; do uv pip compile --universal --generate-hashes --python-version 3.11 --extra $$extra -c requirements.lock pyproject.toml -o requirements-$$extra.lock || exit 1; done

clean-tmp: setup ## remove half-written files that no run can use
	@$(BIN)/python -m pipeline.store --clean-tmp $(ARGS)

torture: setup ## kill the smoke run COUNT times; ARGS="--campaign inputs" spoils files, mutants the code
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaigns.torture --count $(COUNT) --seed $(SEED) $(ARGS)

compare: setup ## runs side by side: ARGS="outputs/A outputs/B", or a sweep's folder
	@$(BIN)/python -m pipeline.compare $(ARGS)

explain: setup ## one film of your own: ARGS="--image film.png --target Pneumonia"; --help for all
	@$(BIN)/python -m pipeline.explain $(ARGS)

report: setup ## a finished run's report anew: ARGS="outputs/latest report.embed_images=false"
	@$(BIN)/python -m pipeline.report $(ARGS)

bench: setup ## seconds and memory of every method beside the published loop; ARGS="--methods lrp"
	@$(BIN)/python -m pipeline.tools.bench $(ARGS)
