# Everything runs from .venv, which `make setup` builds from pyproject.toml and constraints.txt.
# PYTHON names the interpreter to build it with: 3.11 to 3.13.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: demo test setup lint format clean

demo: setup
	@$(BIN)/pipeline-flows classify demo:reviews --label-column label --output out/demo --replace
	@$(BIN)/pipeline-flows report out/demo --label-column label
	@echo
	@echo "Next: classify a file of your own, its texts in the column \"text\":"
	@echo "  $(BIN)/pipeline-flows preview text-classification --model demo:sentiment --dataset reviews.csv"
	@echo "  $(BIN)/pipeline-flows classify reviews.csv --output out/reviews"

test: setup
	$(BIN)/pytest -q -m "not real" -n auto --dist loadfile
	@echo "Next: \`make demo\` classifies the bundled reviews; \`make lint\` checks style, types and imports."

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11 to 3.13 is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deployments/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deployments/compose.yaml

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv out
