"""Spark Connect: the UDFs work, and what needs a classic session says so."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from optional import CONNECT
from synthetic import clustered, rotation, small_config, write_config

from adaptor import Adaptor
from adaptor.errors import AdaptorError
from adaptor.maps import Map
from adaptor.release import publish
from adaptor.spark import open_session

X = clustered(20)
A_SESSION = """
import json, sys
import numpy as np
from pyspark.sql import SparkSession
from adaptor.config import load_config
from adaptor.errors import AdaptorError
from adaptor.spark import adapt_udf, apply_table, evaluate_table, fit_table, register_decoders

artifact, path = sys.argv[1:]
spark = SparkSession.builder.remote("local[1]").config("spark.sql.artifact.copyFromLocalToFs.allowDestLocal", "true")
spark = spark.getOrCreate()
rows = [(i, x) for i, x in enumerate(np.load(path + ".npy").tolist())]
docs = spark.createDataFrame(rows, "id int, embedding array<float>")
nested = docs.select("id", adapt_udf(artifact)("embedding").alias("of")).orderBy("id").collect()
spark.udf.register("adapt", adapt_udf(artifact, encoding="int8"))
register_decoders(spark, artifact)
codes = spark.sql("SELECT adapt(array_repeat(1f, 32)).embedding_8 AS code").collect()
refused = []
for job in (fit_table, apply_table, evaluate_table):
    try:
        job(spark, load_config(path), print)
    except AdaptorError as error:
        refused.append(str(error))
print(json.dumps({"rows": [row.of.embedding_8 for row in nested], "codes": len(codes), "refused": refused}))
spark.stop()
"""


@CONNECT
@pytest.mark.slow  # a server of its own
def test_udfs_run_and_jobs_say_what_they_need(tmp_path):
    adaptor = Adaptor(Map(rotation()), (4, 8, 16), int8_scales=np.full(32, 1e-2, np.float32))
    artifact = publish(adaptor, str(tmp_path / "artifact"))
    config = write_config(tmp_path / "c.yaml", small_config(tmp_path, "lake/docs"))
    np.save(f"{config}.npy", X)
    env = os.environ | {"PYSPARK_PYTHON": sys.executable}
    ended = subprocess.run([sys.executable, "-c", A_SESSION, artifact, config], env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    np.testing.assert_allclose(said["rows"], adaptor.encode(X, dim=8), atol=1e-5)
    assert said["codes"] == 1
    assert len(said["refused"]) == 3
    assert all("need a classic Spark session" in sentence for sentence in said["refused"])


def test_a_job_that_is_sent_to_a_connect_server(monkeypatch):
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    with pytest.raises(AdaptorError, match="run them with spark-submit, without SPARK_REMOTE"):
        open_session("connect")
