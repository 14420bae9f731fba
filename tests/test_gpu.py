"""The torch path of the kernel on the CPU, and the GPU that Spark gives to a task."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from cluster import HOME, environment, standalone
from synthetic import WIDTH, clustered, rotation

from adaptor import Adaptor
from adaptor.encode import gpu
from adaptor.encode.kernel import Kernel
from adaptor.maps import Map, Residual
from adaptor.spark import task_gpu

DEVICES = ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]


def adaptors() -> list[Adaptor]:
    rng = np.random.default_rng(3)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape, scale=0.3).astype(np.float32)

    residual = Residual(draw(WIDTH, 24), draw(24), draw(24, WIDTH))
    return [Adaptor(map_, (4, 11)) for map_ in (Map(rotation()), Map(rotation(), draw(WIDTH), residual))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", ["columns", "bands"])
def test_torch_gives_what_numpy_gives(device, layout, monkeypatch):
    monkeypatch.setattr(gpu, "BLOCK_BYTES", 7 * 4 * (WIDTH + 11))  # many blocks, a shorter last one
    x = clustered(40, seed=2)
    for adaptor in adaptors():
        batch = pa.array([None, *x])
        result, expected = (Kernel(adaptor, layout)(batch, place) for place in (device, None))
        assert result.reasons.equals(expected.reasons)
        for one, other in zip(result.columns, expected.columns):
            assert one.is_null().equals(other.is_null())
            np.testing.assert_allclose(one.values.to_numpy(), other.values.to_numpy(), atol=1e-6)


def test_one_map_a_process():
    first, second = adaptors()
    x = pa.array(list(clustered(5)))
    kernels = [Kernel(first), Kernel(first, "bands"), Kernel(second)]
    held = []
    for kernel in kernels:
        kernel(x, "cpu")
        held.append(list(gpu._held.values()))
    assert held[0] == held[1] != held[2]
    assert [len(some) for some in held] == [1, 1, 1]


def test_outside_of_a_task_there_is_no_gpu():
    assert task_gpu.task_gpu() is None
    assert task_gpu.task_device() is None


SCRIPT = """
import json, sys, warnings
import numpy as np, pandas as pd
from pyspark.sql import SparkSession
from adaptor import Adaptor
from adaptor.maps import Map
from adaptor.spark import task_gpu
from adaptor.spark.udf import adapt_udf

def seen(frames):
    for _ in frames:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            device = task_gpu.task_device()
        words = " ".join(str(warning.message) for warning in caught)
        yield pd.DataFrame({"gpu": [task_gpu.task_gpu()], "device": [device], "words": [words]})

spark = SparkSession.builder.getOrCreate()
row = spark.range(1).mapInPandas(seen, "gpu string, device string, words string").first()
adaptor = Adaptor(Map(np.eye(2, dtype="f")), (1,))
df = spark.createDataFrame([([3.0, 4.0],)], "e array<float>")
nested = df.select(adapt_udf(adaptor, dims=[1, 2])("e").alias("n")).select("n.*").first()
json.dump([row.asDict(), nested.asDict()], open(sys.argv[1], "w"))
"""


@pytest.mark.slow
def test_a_task_knows_its_gpu(tmp_path, monkeypatch):
    """A worker that says it has a GPU, as Spark's discovery scripts do; the arithmetic is right with and without."""
    discovery = tmp_path / "gpus.sh"
    discovery.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["5"]}'\n""")
    discovery.chmod(0o755)
    options = f"-Dspark.worker.resource.gpu.amount=1 -Dspark.worker.resource.gpu.discoveryScript={discovery}"
    monkeypatch.setenv("SPARK_WORKER_OPTS", options)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    (tmp_path / "script.py").write_text(SCRIPT)
    confs = {"executor.resource.gpu.amount": 1, "task.resource.gpu.amount": 1, "ui.enabled": "false"}
    with standalone(tmp_path, workers=1) as master:
        command = [str(HOME / "bin" / "spark-submit"), "--master", master, "--driver-memory", "1g"]
        command += [part for key, value in confs.items() for part in ("--conf", f"spark.{key}={value}")]
        command += [str(tmp_path / "script.py"), str(tmp_path / "found.json")]
        ended = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    row, nested = json.loads((tmp_path / "found.json").read_text())
    assert row["gpu"] == "5"
    if torch.cuda.is_available():
        assert row["device"].startswith("cuda:")
    else:
        assert row["device"] is None
        assert (
            "Spark gives GPU 5 to this task, but there is no torch with CUDA here: NumPy does the work" in row["words"]
        )
    np.testing.assert_allclose(nested["embedding_1"], [1], atol=1e-6)
    np.testing.assert_allclose(nested["embedding_2"], [0.6, 0.8], atol=1e-6)
