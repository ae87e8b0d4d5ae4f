# `make help` lists the targets. Each makes the environment it needs first.

PYTHON ?= python3
CORES ?= all
CONFIG ?=
DATA_DIR ?=

BIN = .venv/bin
SLURM = .venv-slurm/bin/python tests/slurm/cluster.py
# The benchmarks' own: torchattacks pins an old requests.
BENCH = .bench/bin
SNAKEMAKE = $(BIN)/snakemake --cores $(CORES) \
	$(if $(CONFIG),--configfile "$(CONFIG)") $(if $(DATA_DIR),--config "data_dir=$(DATA_DIR)")

DOCTOR = $(shell test -x $(BIN)/python && echo $(BIN)/python || echo "$(PYTHON)")

.DEFAULT_GOAL := help
.PHONY: help doctor environment results paper photos report challenge prune cluster test test-all test-faults test-gpu test-slurm lint format docs tutorial bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: CONFIG (default config/config.yaml), DATA_DIR (folder of data files),"
	@echo "             CORES (default all), PYTHON (a Python 3.11, default python3)"
	@echo "  Of bench:  EPSIGMA_MNIST (folder of MNIST's IDX files; else 5,000 images), PARTS (some of"
	@echo "             sweep,studies,filters,attacks,scale,profile), ROUNDS"
	@echo "  Of test-slurm: ONLY (the tests whose names match, as pytest -k has it)"

# By PYTHON as long as there is no environment.
doctor: ## say what is right and wrong with this machine, and what to do; changes nothing
	@$(DOCTOR) workflow/scripts/doctor.py $(if $(CONFIG),--study "$(CONFIG)")

environment: .venv/run.stamp ## make the environment, .venv, and no more

results: .venv/run.stamp ## run the default configuration to the end, into results/
	$(BIN)/python workflow/scripts/unlock.py
	$(SNAKEMAKE)

paper: ## run the paper's study on the full MNIST (DATA_DIR=folder of IDX files)
	$(MAKE) results CONFIG=config/paper.yaml

photos: .venv/photos.stamp ## run config/photos.yaml: a network of ImageNet on photographs that packages bring
	$(BIN)/python workflow/scripts/photos.py data/photos
	$(MAKE) results CONFIG=config/photos.yaml

report: results ## write results/report.html: figures, tables and configuration in one file
	$(SNAKEMAKE) --report results/report.html

challenge: .venv/run.stamp ## make challenge/ from results/, for filters and sets of others (SUBMISSION=FILE scores one)
	PYTHONPATH=workflow $(BIN)/python -m epsigma.challenge \
		$(if $(SUBMISSION),score challenge "$(SUBMISSION)",make results challenge)

prune: .venv/run.stamp ## list what results/ holds that the study no longer names (REMOVE=yes removes it)
	$(BIN)/python workflow/scripts/prune.py $(if $(REMOVE),--remove) \
		$(if $(CONFIG),--study "$(CONFIG)") $(if $(DATA_DIR),--config "data_dir=$(DATA_DIR)")

cluster: .venv/cluster.stamp ## make the environment for runs on SLURM (docs/running.md)

test: .venv/test.stamp lint ## check style and types, and run the tests, but for the slow ones
	$(BIN)/pytest -n 3 -m "not slow"

test-all: .venv/test.stamp lint ## the same with the slow ones, before a release
	$(BIN)/pytest -n 3

test-faults: .venv/test.stamp ## kill runs, damage files, fill disks; nothing may be lost
	$(BIN)/pytest -n 2 tests/faults tests/unit/test_bad_input.py tests/unit/test_files.py

test-gpu: .venv/test.stamp ## run the tests on a GPU; without one they are skipped, and say so
	$(BIN)/pytest -rs tests/gpu

test-slurm: .venv-slurm/stamp ## run the tests on a real SLURM, installed with apt (Debian 12, root)
	@$(SLURM) start; \
		.venv-slurm/bin/python -m pytest -n 2 --dist loadfile $(if $(ONLY),-k "$(ONLY)") tests/slurm; \
		status=$$?; $(SLURM) stop; exit $$status

lint: .venv/test.stamp ## check style, types and the direction of imports only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/mypy docs/atlas.py docs/tables.py docs/notebook.py workflow/scripts/doctor.py workflow/scripts/install.py
	PYTHONPATH=workflow $(BIN)/lint-imports pyproject.toml
	$(BIN)/snakemake --lint

format: .venv/test.stamp ## bring the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/Snakefile workflow/rules

docs: .venv/run.stamp ## write the tables and the figures of README.md and docs/ from docs/tables/
	$(BIN)/python docs/tables.py
	PYTHONPATH=workflow $(BIN)/python docs/atlas.py

tutorial: results ## run docs/tutorial.ipynb on results/, of the default study, and write what it shows
	PYTHONPATH=workflow $(BIN)/python docs/notebook.py docs/tutorial.ipynb results

bench: .bench/stamp ## measure everything against its peers, into tests/benchmarks/results.md
	PYTHONPATH=tests $(BENCH)/python -m benchmarks \
		$(if $(PARTS),--only $(PARTS)) $(if $(ROUNDS),--rounds $(ROUNDS))

clean: ## remove results, logs and Snakemake's records (not the environment)
	rm -rf results logs .snakemake

.venv/bin/python .bench/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "epsigma's pinned versions are for Python 3.11; name one: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(@:/bin/python=)

.venv/%.stamp: envs/%.txt envs/run.txt | .venv/bin/python
	@$(BIN)/python workflow/scripts/install.py $<
	@touch $@

.bench/stamp: envs/bench.txt envs/run.txt | .bench/bin/python
	@$(BENCH)/python workflow/scripts/install.py $<
	@touch $@

# The plugin slows every Snakemake down where a SLURM is installed that does not run, as after
# test-slurm: so these tests have an environment of their own, on top of the tests'.
.venv-slurm/stamp: envs/cluster.txt .venv/test.stamp
	$(BIN)/python -m venv --clear .venv-slurm
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
		"$$(.venv-slurm/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
	@.venv-slurm/bin/python workflow/scripts/install.py $<
	@touch $@
