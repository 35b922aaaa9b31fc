# The house's commands. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TESTS  ?= tests starflow_v
JOBS   ?= 2
PROMPT ?= a red circle moves right on a blue background
DEMO   := outputs/demo.mp4

# One thread a process: test workers with several threads each would fight over the cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo docs test test-all lint format clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|'

setup: $(STAMP) ## install the package and its tools into .venv

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## make a video from a sentence: outputs/demo.mp4
	@mkdir -p $(dir $(DEMO))
	$(BIN)/starflow-v generate "$(PROMPT)" -o $(DEMO) --overwrite
	@test -s $(DEMO) && echo "Done. The video of \"$(PROMPT)\" is in $(CURDIR)/$(DEMO)"

docs: setup ## build the documentation, without a network: build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "Done. Open $(CURDIR)/build/docs/index.html"

lint: setup ## style and types, without the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## style, types, tests and doctests
	$(BIN)/python -m pytest -n $(JOBS) $(TESTS)

test-all: lint ## the same with the slow and the browser tests
	$(BIN)/python -m pytest -n $(JOBS) -m "" $(TESTS)

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what these commands made (outputs/ stays)
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
