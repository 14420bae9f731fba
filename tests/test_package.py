"""What is shipped: a wheel that holds the jobs, and a packed environment that is all a cluster's workers need."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cluster import HOME, environment, standalone
from synthetic import clustered, embeddings_frame, rotation, save_delta, small_config, write_config

from adaptor import Adaptor
from adaptor.maps import Map
from adaptor.release import publish

ROOT = Path(__file__).parents[1]
VENV = Path(sys.prefix)
JOBS = ("fit", "apply", "evaluate", "monitor", "report")
X = clustered(100)

pytestmark = pytest.mark.slow  # a package takes minutes to build


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """The folder that `make package` makes."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / "tools" / "package.sh", VENV, folder, "apply"], check=True)
    return folder


@pytest.fixture(scope="module")
def unpacked(dist, tmp_path_factory) -> Path:
    """The packed environment on the machine that submits."""
    folder = tmp_path_factory.mktemp("environment")
    with tarfile.open(dist / "environment-apply.tar.gz") as archive:
        archive.extractall(folder, filter="tar")
    return folder


def test_the_wheel_holds_the_jobs_and_all_that_is_read_at_run_time(dist):
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "adaptor").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    assert package <= names
    for job in JOBS:
        assert any(name.endswith(f"share/matryoshka-adaptor/jobs/{job}.py") for name in names), job


def test_the_command_runs_the_jobs(unpacked):
    """As whoever installs the wheel types it: a mistake in the config is told before Spark starts."""
    for job in JOBS:
        ended = subprocess.run(
            [unpacked / "bin" / "adaptor", job, "--config", "none.yaml"],
            env={"PATH": f"{unpacked / 'bin'}:/usr/bin:/bin"},
            cwd=unpacked,
            capture_output=True,
            text=True,
        )
        assert (ended.returncode, ended.stderr) == (2, f"{job}: no config file at none.yaml; conf/ holds examples\n")


def submit(master: str, python: Path | str, unpacked: Path, config: str, *options: str) -> subprocess.CompletedProcess:
    """The packed apply job, with executors that run `python`."""
    env = environment() | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYSPARK_DRIVER_PYTHON": str(unpacked / "bin" / "python"),
        "PYSPARK_PYTHON": str(python),
    }
    env = {name: value for name, value in env.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    job = unpacked / "share" / "matryoshka-adaptor" / "jobs" / "apply.py"
    conf = ["--driver-memory", "1g", "--conf", "spark.ui.enabled=false"]
    command = [str(HOME / "bin" / "spark-submit"), "--master", master, *conf, *options, str(job), "--config", config]
    return subprocess.run(command, env=env, cwd=unpacked.parent, capture_output=True, text=True)


def test_workers_without_the_project_s_environment_need_the_archive_alone(spark, dist, unpacked, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    docs = save_delta(embeddings_frame(spark, X), tmp_path / "docs")
    config = write_config(tmp_path / "c.yaml", small_config(tmp_path, docs))
    adaptor = Adaptor(Map(rotation()), (4, 8, 16))
    publish(adaptor, str(tmp_path / "artifact"))
    bare = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    archive = f"{dist / 'environment-apply.tar.gz'}#environment"
    with standalone(tmp_path) as master:
        without = submit(master, bare, unpacked, config)
        ended = submit(master, "./environment/bin/python", unpacked, config, "--archives", archive)
    assert without.returncode == 1
    assert "No module named 'adaptor'" in without.stdout + without.stderr
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = spark.read.format("delta").load(str(tmp_path / "nested")).orderBy("id").collect()
    np.testing.assert_allclose([row.embedding_8 for row in rows], adaptor.encode(X, dim=8), atol=1e-5)
