PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --constraint constraints.txt
# The newest Python that is here, for the newest of all packages.
LATEST_PYTHON ?= $(firstword $(foreach minor,13 12 11,$(shell python3.$(minor) -c 'print("python3.$(minor)")' 2>/dev/null)))
LATEST := .venv-latest
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two processes, each with a Spark of its own; one that has no test left takes over half of the other's.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
# What multiplies, and compares what several batches, engines and runs have written.
MULTIPLYING := kernel.py bad_rows.py udf.py direct.py pipeline.py::test_the_engines_write_the_same \
    changes.py::test_as_a_full_run changes.py::test_stream_and_incremental_take_turns \
    changes.py::test_an_id_that_was_changed_leaves_no_row_behind \
    faults.py::test_a_driver_killed_at_random_moments faults.py::test_a_source_rewritten_under_a_killed_run
# A Spark installed elsewhere, or its settings, must not take the place of the environment's own.
unexport SPARK_HOME SPARK_CONF_DIR PYTHONPATH PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-kernels test-slow test-latest package lint check bench-quality bench-learning-curve bench-tuning bench-fit bench-train bench-scale bench-apply clean

help:  ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/run.stamp  ## from SciFact in a Delta table to nested columns and a table of what was kept
	@tools/quickstart.sh

test: $(VENV)/full.stamp lint  ## the full environment, Horovod and petastorm included, and every test but the slow ones
	$(PYTEST)

test-kernels: $(VENV)/full.stamp  ## kernel, engines, changes and faults again, with a kernel of OpenBLAS that rounds otherwise
	@kernel=$$($(BIN)/python tools/other_kernel.py) && if [ -n "$$kernel" ]; then set -x; \
	    OPENBLAS_CORETYPE=$$kernel $(PYTEST) $(MULTIPLYING:%=tests/test_%); fi

test-slow: $(VENV)/full.stamp  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

test-latest: $(LATEST)/full.stamp  ## the suite with the newest Spark, Python and packages, without Horovod and petastorm
	PATH=$(CURDIR)/$(LATEST)/bin:$$PATH $(LATEST)/bin/python -m pytest -n 2 --dist worksteal -rs

package: $(VENV)/run.stamp  ## the wheel and a packed environment for a cluster: dist/ (PACKAGE=full: with torch, to fit there)
	$(PIP) venv-pack
	tools/package.sh $(VENV) dist $(or $(PACKAGE),apply)

lint: $(VENV)/full.stamp  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-quality: $(VENV)/full.stamp  ## every candidate on every collection: docs/quality.md, README's table (QUALITY_DATA=DIR adds yours)
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.readme_table

bench-learning-curve: $(VENV)/full.stamp  ## what more rows and more queries give: docs/learning-curve.md
	$(BIN)/python -m benchmarks.learning_curve

bench-fit: $(VENV)/full.stamp  ## what a fit costs beside one SVD and one neighbour search
	$(BIN)/python -m benchmarks.fit_time

bench-train: $(VENV)/bench.stamp  ## training on workers, what feeds it, a fit beside SVD and faiss: docs/performance.md (TRAIN_ROWS=N, FIT_ROWS=N)
	$(BIN)/python -m benchmarks.train --rows $(or $(TRAIN_ROWS),20000)
	$(BIN)/python -m benchmarks.fit_baseline --rows $(or $(FIT_ROWS),100000)

bench-scale: $(VENV)/full.stamp  ## a log of 200,000 files, and what 10 billion rows would cost: docs/scale.md
	$(BIN)/python -m benchmarks.log
	$(BIN)/python -m benchmarks.estimate

bench-apply: $(VENV)/bench.stamp  ## apply beside what else does the same: docs/performance.md; 30 minutes, 12 GB in /tmp
	$(BIN)/python -m benchmarks.apply

bench-tuning: $(VENV)/full.stamp  ## does a search rank settings as nDCG does: docs/tuning.md
	$(BIN)/python -m benchmarks.tuning

clean:  ## remove what the quickstart made; the environment stays
	rm -rf lake

# Before anything is downloaded: one sentence for what is missing.
check:
	@tools/check_machine.sh $(PYTHON)

$(BIN)/python: | check
	$(PYTHON) -m venv $(VENV)

# What the three jobs and the notebook need, without Horovod.
$(VENV)/run.stamp: pyproject.toml constraints.txt tools/setup_spark.py conf/spark/spark-defaults.conf conf/spark/log4j2.properties | check $(BIN)/python
	@echo "installing the environment (.venv); a few minutes, mostly torch"
	$(PIP) setuptools wheel
	$(PIP) --no-build-isolation --editable '.[spark,train,petastorm,notebook,report]'
	$(BIN)/python tools/setup_spark.py
	@touch $@

$(VENV)/full.stamp: $(VENV)/run.stamp tools/build_horovod.sh
	$(PIP) --no-build-isolation --editable '.[spark,train,petastorm,notebook,report,horovod,s3,tune,search,tracking,connect,package,dev]'
	tools/build_horovod.sh $(VENV)
	@touch $@

$(VENV)/bench.stamp: $(VENV)/full.stamp
	$(PIP) --no-build-isolation --editable '.[bench]'
	@touch $@

$(LATEST)/full.stamp: pyproject.toml constraints-latest.txt tools/setup_spark.py conf/spark/spark-defaults.conf
	$(LATEST_PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/pip install --quiet --constraint constraints-latest.txt setuptools wheel
	$(LATEST)/bin/pip install --quiet --constraint constraints-latest.txt --no-build-isolation \
	    --editable '.[spark,train,notebook,report,s3,tune,search,tracking,connect,package,dev]'
	$(LATEST)/bin/python tools/setup_spark.py
	@touch $@
