PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# A process for each core, modules of tests as they are free; those that start DeepSpeed's ranks go one by one.
QUICK_TESTS := pytest -m "not slow and not long" --numprocesses auto --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long test-faults test-interop test-slurm check docs bench-domains bench-data bench-text bench-order bench-train clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.installed ## make .venv with the locked versions (PYTHON=python3.12 picks another Python)

.venv/.installed: setup.py constraints.txt scripts/install.sh
	scripts/install.sh $(PYTHON)
	touch $@

demo: install ## from raw text to a small trained model, in minutes, under demo/
	scripts/launch/demo.sh

test: install ## all tests but the long ones, DeepSpeed's runs included
	$(QUICK_TESTS)
	pytest -m "slow and not long"

test-long: install ## the tests that take minutes: builds killed at a hundred moments
	pytest -m long

test-faults: install ## runs killed at every point of a save, signalled, hung, on a full disk
	pytest tests/test_faults.py

test-interop: install .venv-interop/.installed ## converted corpora, read by megatron-core, datatrove, OLMo-core and datasets
	pytest -rs tests/interop

.venv-interop/.installed: constraints-interop.txt scripts/install-interop.sh
	scripts/install-interop.sh $(PYTHON)
	touch $@

test-slurm: install ## builds as real Slurm jobs, on a cluster of this machine (Debian: slurmctld slurmd slurm-client)
	pytest -rs tests/test_slurm.py

check: install ## what to run before a commit: format, lint, quick tests
	ruff format --check .
	ruff check .
	$(QUICK_TESTS)

docs: install ## write docs/domains.md from the docstrings, and the JSON schema of all specs
	python data_tools/domains.py document > docs/domains.md
	python data_tools/domains.py schema > docs/dataset.schema.json

bench-domains: install ## how fast the kernel of each preset is, beside a memory copy
	python benchmarks/bench_domains.py

bench-data: install ## how fast data is made, beside limits measured in the same run
	python benchmarks/bench_data.py

bench-text: install ## how fast a JSONL file becomes token ids, beside bare gigatoken, tokenizers and datatrove
	python benchmarks/bench_text.py

bench-order: install ## how fast windows are read in random order, beside a memory map and other programs' readers
	python benchmarks/bench_order.py

bench-train: install ## how fast a training step is, beside a bare loop and transformers' Trainer, with and without ZeRO-2
	python benchmarks/bench_train.py

clean: ## remove what was made here: .venv, .venv-interop, demo, build leftovers, caches
	rm -rf .venv .venv-interop demo build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
