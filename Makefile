# Two commands for users: make demo, make test. Everything else is what CI runs.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test oldest results check lint format types wheel bench bench-gpu clean

demo: .venv/ready
	$(BIN)/dllm-eval demo

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --maxprocesses 8 --dist loadfile -m "not slow and not network and not gpu"

oldest: .venv/ready
	sh tests/oldest.sh

results: .venv/ready
	$(BIN)/dllm-eval demo --out results/demo
	$(BIN)/dllm-eval report results/demo --out results/reference
	$(BIN)/dllm-eval sweep samplers --workers 2
	$(BIN)/dllm-eval report results/samplers --out results/reference-samplers
	$(BIN)/dllm-eval sweep suites --workers 2
	$(BIN)/dllm-eval report results/suites --out results/reference-suites
	$(BIN)/dllm-eval sweep stress --workers 2
	$(BIN)/dllm-eval report results/stress --out results/reference-stress
	$(BIN)/dllm-eval sweep tiers
	$(BIN)/dllm-eval report results/tiers --out results/reference-tiers
	$(BIN)/dllm-eval sweep load
	$(BIN)/dllm-eval report results/load --out results/reference-load

check: lint types

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/ready
	$(BIN)/mypy

wheel: .venv/ready
	PYTHON=$(PYTHON) sh tests/wheel.sh

bench: .venv/ready
	$(BIN)/python benchmarks/step_time.py

bench-gpu: .venv/ready
	$(BIN)/python benchmarks/gpu.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info results/demo
