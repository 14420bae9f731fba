"""How a job ends: the cause in the first line, and the exit code."""

import os
import subprocess
import sys

import pytest
from pyspark.sql import functions as F

from adaptor.console.app import one_sentence
from adaptor.errors import AdaptorError, ConfigError, cause


@pytest.mark.parametrize(
    ("error", "code", "first"),
    [
        (ConfigError("dims is empty"), 2, "fit: dims is empty"),
        (AdaptorError("no artifact at lake"), 1, "fit: no artifact at lake"),
        (KeyError("x"), 1, "fit: KeyError: 'x'"),
        (RuntimeError(), 1, "fit: RuntimeError: no message"),
    ],
)
def test_exit_code_and_first_line(capsys, error, code, first):
    with pytest.raises(SystemExit) as end, one_sentence("fit"):
        raise error
    assert end.value.code == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == first
    if isinstance(error, AdaptorError):
        assert lines == [first]
    else:
        assert "Traceback (most recent call last):" in lines


def test_no_error_no_exit(capsys):
    with one_sentence("fit"):
        pass
    assert capsys.readouterr().err == ""


def worker_error(spark, message: str, kind: type[Exception]) -> Exception:
    @F.udf("int")
    def crash(_):
        raise kind(message)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever Spark makes of it
        spark.range(2).select(crash("id")).collect()
    return caught.value


def test_the_cause_of_a_crash_in_a_python_worker(spark):
    assert cause(worker_error(spark, "the disk is full", ValueError)) == "ValueError: the disk is full"


def test_the_sentence_of_an_adaptor_error_in_a_worker(spark):
    sentence = "Batches: 5 rows were written, 4 arrived"
    assert cause(worker_error(spark, sentence, AdaptorError)) == sentence


def test_the_cause_of_a_crash_in_java(spark):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        spark.range(2).selectExpr("raise_error(concat('row ', id, ' is odd'))").collect()
    assert "row " in cause(caught.value)
    assert "is odd" in cause(caught.value)


A_TASK = """
from adaptor.errors import cause
from adaptor.spark.session import open_session

context = open_session("bare").sparkContext
try:
    context.parallelize([1], 1).map(str).collect()
except Exception as error:
    print(cause(error))
"""


def test_the_cause_where_the_executors_python_lacks_the_library(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\ncd /\nexec {os.path.realpath(sys.executable)} -S "$@"\n')
    bare.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"PYSPARK_PYTHON": str(bare), "PYSPARK_SUBMIT_ARGS": "--master local[1] pyspark-shell"}
    ended = subprocess.run([sys.executable, "-c", A_TASK], env=env, capture_output=True, text=True)
    assert "No module named 'adaptor'" in ended.stdout, ended.stderr
