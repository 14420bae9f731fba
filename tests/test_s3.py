"""The three jobs with everything on S3: a server on loopback, conf/s3.yaml as it is written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyspark
import pytest
from synthetic import SMALL_SPARK, clustered, embeddings_frame, save_delta

from adaptor import Adaptor

ROOT = Path(__file__).parents[1]
(CLIENT,) = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
# Of the version of pyspark's own hadoop-client; 560 MB with the AWS SDK, fetched once.
PACKAGE = f"org.apache.hadoop:hadoop-aws:{CLIENT.stem.removeprefix('hadoop-client-api-')}"
X = clustered(200)


@dataclass
class Store:
    """An S3 server with an empty bucket named `bucket`: what Spark must be told, and a file system to look into it."""

    conf: dict[str, str]
    fs: Any


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    fs.mkdir("bucket")
    yield Store(
        {
            "spark.hadoop.fs.s3a.endpoint": endpoint,
            "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
            "spark.hadoop.fs.s3a.path.style.access": "true",
        },
        fs,
    )
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def submit(job: str, conf: dict[str, str], *changes: str) -> str:
    """What `spark-submit jobs/<job>.py --config conf/s3.yaml` says; it must end well."""
    command = [str(Path(sys.executable).parent / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g"]
    command += ["--packages", PACKAGE]
    for key, value in {**SMALL_SPARK, **conf}.items():
        command += ["--conf", f"{key}={value}"]
    command += [str(ROOT / "jobs" / f"{job}.py"), "--config", str(ROOT / "conf" / "s3.yaml")]
    for change in changes:
        command += ["--set", change]
    env = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    return done.stdout


@pytest.mark.slow
def test_the_three_jobs(spark, store, tmp_path):
    docs = embeddings_frame(spark, [*X, None]).withColumnRenamed("id", "doc_id")
    store.fs.put(save_delta(docs, tmp_path / "docs"), "bucket/documents", recursive=True)
    changes = ("dims=[4,8,16]", "fit.training.steps=20")

    assert "200 rows of s3a://bucket/documents" in submit("fit", store.conf, *changes)
    assert "200 written" in submit("apply", store.conf, *changes)
    elsewhere = ("apply.engine=direct", "apply.target=s3a://bucket/direct", "apply.quarantine=s3a://bucket/direct_bad")
    assert "200 written" in submit("apply", store.conf, *changes, *elsewhere)
    assert "retrieval@10" in submit("evaluate", store.conf, *changes)

    adaptor = Adaptor.load("s3://bucket/matryoshka/artifact")
    assert Adaptor.load("s3a://bucket/matryoshka/artifact").fingerprint == adaptor.fingerprint
    tables = {}
    for name in ("documents_nested", "documents_set_aside", "direct", "direct_bad", "matryoshka/runs"):
        store.fs.get(f"bucket/{name}", str(tmp_path / name), recursive=True)
        tables[name] = spark.read.format("delta").load(str(tmp_path / name))
    for target, set_aside in (("documents_nested", "documents_set_aside"), ("direct", "direct_bad")):
        rows = tables[target].orderBy("doc_id").collect()
        assert [row.doc_id for row in rows] == [f"d{i:03d}" for i in range(200)]
        assert rows[3].title == "title of d003"
        for dim in (4, 8, 16):
            prefixes = np.array([row[f"embedding_{dim}"] for row in rows])
            np.testing.assert_allclose(prefixes, adaptor.encode(X, dim=dim), atol=1e-5)
        assert [tuple(row) for row in tables[set_aside].select("reason").collect()] == [("null",)]
    assert {row.job for row in tables["matryoshka/runs"].select("job").distinct().collect()} == {
        "fit",
        "apply",
        "evaluate",
    }
    assert list(store.fs.find("bucket/matryoshka/sample")) == list(store.fs.find("bucket/matryoshka/sample/set_aside"))
