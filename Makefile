# Each target prepares the machine by itself: see scripts/setup.sh.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench soak screenshots clean

BIN := .venv/bin
SHELL_SCRIPTS := scripts/setup.sh scripts/test-on.sh .ci/run

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## build the bundled leaky server and watch it (DEMO="--for 30" adds options)
	@scripts/setup.sh demo
	@$(BIN)/memtui demo $(DEMO)

test: lint ## lint, then every test (TESTS="tests/tui -k slider" picks some)
	@timeout --foreground $(TEST_BUDGET) $(PYTEST) -n $(TEST_PROCESSES) --dist loadfile $(TESTS) || { \
		code=$$?; [ $$code = $(SOME_FAILED) ] || exit $$code; \
		echo "These failed beside the others. Once more, by themselves:" >&2; \
		timeout --foreground $(ALONE_BUDGET) $(PYTEST) --last-failed --last-failed-no-failures none $(TESTS); }

PYTEST := $(BIN)/python -m pytest -q
SOME_FAILED := 1
# Seconds; a hung suite fails instead of holding the machine, and so does one of which much fails.
TEST_BUDGET := 1500
ALONE_BUDGET := 240
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
	@missed=""; for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; \
		PYTHONPATH=. $(BIN)/python "$$bench" || missed="$$missed $$bench"; done; \
	[ -z "$$missed" ] || { echo "a bound was missed by:$$missed" >&2; exit 1; }

soak: ## what is slow and seldom finds anything: kills and signals in full, fuzzed parsers (an hour)
	@scripts/setup.sh test
	@MEMTUI_LONG_TESTS=1 $(BIN)/python -m pytest -q tests/integration/test_guest_killed.py tests/integration/test_guest_signals.py tests/integration/test_recorder_killed.py
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/fuzz_parsers.py --seconds 60

screenshots: ## draw screenshots/ anew from recorded sessions
	@scripts/setup.sh test
	@PYTHONPATH=. $(BIN)/python screenshots/make.py

clean: ## remove what was built here, the virtual environment too
	rm -rf .venv dist build tests/.built .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
