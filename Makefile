# Each target prepares the machine by itself: see scripts/setup.sh.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench screenshots clean

BIN := .venv/bin
SHELL_SCRIPTS := scripts/setup.sh .ci/run

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## build the bundled leaky server and watch it (DEMO="--for 30" adds options)
	@scripts/setup.sh demo
	@$(BIN)/memtui demo $(DEMO)

test: lint ## lint, then every test (TESTS="tests/tui -k slider" picks some)
	@timeout --foreground $(TEST_BUDGET) $(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile $(TESTS)

# Seconds; a hung suite fails instead of holding the machine.
TEST_BUDGET := 840
TEST_PROCESSES := 2
TESTS := tests

lint: ## style, types, layers, shell scripts
	@scripts/setup.sh test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@shellcheck $(SHELL_SCRIPTS)

bench: ## measure what the design promises (minutes)
	@scripts/setup.sh test
	@for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; PYTHONPATH=. $(BIN)/python "$$bench" || exit 1; done

screenshots: ## draw screenshots/ anew from recorded sessions
	@scripts/setup.sh test
	@PYTHONPATH=. $(BIN)/python screenshots/make.py

clean: ## remove what was built here, the virtual environment too
	rm -rf .venv dist build tests/.built .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
