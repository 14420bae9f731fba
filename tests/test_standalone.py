"""A Spark standalone cluster on loopback: the jobs as they are submitted, training on Horovod in its executors."""

from pathlib import Path

import numpy as np
import pytest
from cluster import standalone, submit
from optional import HOROVOD
from synthetic import clustered, embeddings_frame, save_delta

from adaptor import Adaptor
from adaptor.config import load_config
from adaptor.spark.fit import fit_table

CONFIG = str(Path(__file__).parents[1] / "conf" / "standalone.yaml")
X = clustered(300)


def settings(folder: Path, table: str, workers: str) -> list[str]:
    """Overrides that put conf/standalone.yaml on `table`, its folders under `folder`, with a fit of few steps."""
    values = {
        "source.table": table,
        "sample.folder": folder / "sample",
        "artifact": folder / "artifact",
        "runs": folder / "runs",
        "apply.target": folder / "nested",
        "dims": "[4,8]",
        "fit.candidates": "[trained]",
        "fit.training.batch": 64,
        "fit.training.steps": 20,
        "fit.training.evaluate_every": 10,
        "workers.kind": workers,
    }
    return [f"{key}={value}" for key, value in values.items()]


@pytest.mark.slow
@HOROVOD
def test_fit_and_apply_on_a_cluster(spark, tmp_path):
    table = save_delta(embeddings_frame(spark, X), tmp_path / "docs")
    options = [f"--set={value}" for value in settings(tmp_path, table, "horovod")]
    with standalone(tmp_path) as master:
        for job in ("fit", "apply"):
            ended = submit(master, job, "--config", CONFIG, *options)
            assert ended.returncode == 0, ended.stdout + ended.stderr
    adaptor = Adaptor.load(str(tmp_path / "artifact"))
    assert adaptor.config["candidate"] == "trained"
    assert adaptor.corpus.residual is not None

    # One process with the same batches a step makes the same map but for rounding.
    alone = fit_table(spark, load_config(CONFIG, settings(tmp_path / "here", table, "local")), lambda line: None)
    np.testing.assert_allclose(adaptor.encode(X), alone.adaptor.encode(X), atol=1e-4)
    rows = spark.read.format("delta").load(str(tmp_path / "nested")).orderBy("id").collect()
    np.testing.assert_allclose([row.embedding_8 for row in rows], adaptor.encode(X, dim=8), atol=1e-5)
