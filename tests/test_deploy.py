"""Templates for clusters: what of them can be tried where there is none."""

import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from synthetic import clustered, embeddings_frame, rotation

from adaptor import Adaptor
from adaptor.maps import Map
from adaptor.release import publish

DEPLOY = Path(__file__).parents[1] / "conf" / "deploy"
PRINTS = '#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n'


@pytest.mark.parametrize(
    ("script", "variables", "job"),
    [
        ("yarn.sh", {}, str(DEPLOY / ".." / ".." / "jobs" / "apply.py")),
        (
            "kubernetes.sh",
            {"IMAGE": "ours", "API": "https://api", "BUCKET": "s3a://bucket"},
            "local:///usr/local/share/matryoshka-adaptor/jobs/apply.py",
        ),
    ],
)
def test_a_script_submits_the_job_with_its_config_sent_along(tmp_path, script, variables, job):
    (tmp_path / "spark-submit").write_text(PRINTS)
    (tmp_path / "spark-submit").chmod(0o755)
    command = ["bash", DEPLOY / script, "apply", "conf/mine.yaml", "--set", "sample.rows=5"]
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", **variables}
    words = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    assert words[words.index("--files") + 1] == "conf/mine.yaml"
    assert words[words.index(job) :] == [job, "--config", "mine.yaml", "--set", "sample.rows=5"]


def test_the_bundle_names_files_that_are_there():
    (job,) = yaml.safe_load((DEPLOY / "databricks.yml").read_text())["resources"]["jobs"].values()
    (task,) = job["tasks"]
    assert (DEPLOY / task["spark_python_task"]["python_file"]).is_file()
    assert len(task["spark_python_task"]["parameters"]) == 3


def test_the_job_for_databricks_writes_nested_columns(spark, tmp_path):
    adaptor = Adaptor(Map(rotation()), (4, 8))
    publish(adaptor, str(tmp_path / "artifact"))
    x = clustered(20)
    embeddings_frame(spark, [*x, None]).createOrReplaceTempView("documents_to_deploy")
    main = runpy.run_path(str(DEPLOY / "databricks_apply.py"))["main"]
    try:
        main(str(tmp_path / "artifact"), "documents_to_deploy", "deployed_nested")
        rows = spark.table("deployed_nested").orderBy("id").collect()
    finally:
        spark.sql("DROP TABLE IF EXISTS deployed_nested")
    np.testing.assert_allclose([row.embedding_8 for row in rows[:-1]], adaptor.encode(x, dim=8), atol=1e-5)
    assert rows[-1].embedding_8 is None
