"""What an import costs: the core needs neither Spark nor torch, and config no Spark."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import adaptor
import adaptor.spark

ROOT = Path(__file__).parents[1]


def loaded_by(code: str) -> set[str]:
    """The top-level modules in a fresh Python after `code`."""
    script = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(process.stdout.split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from adaptor import Adaptor, fit", {"torch", "pyspark", "pandas", "pyarrow", "pydantic"}),
        (
            "import numpy, adaptor\nadaptor.Adaptor(adaptor.artifact.Map(numpy.eye(4, dtype='f')), (2,)).encode("
            "numpy.ones((3, 4)), dim=2)",
            {"torch", "pyspark", "pandas"},
        ),
        (
            "from adaptor.config import load_config\nload_config('conf/quickstart.yaml')",
            {"torch", "pyspark", "pandas", "pyarrow"},
        ),
    ],
    ids=["import", "encode", "config"],
)
def test_left_alone(code, absent):
    loaded = loaded_by(code)
    assert "numpy" in loaded
    assert not loaded & absent


def test_the_daemon_of_workers_starts_where_little_is_installed():
    assert not loaded_by("import adaptor.spark.daemon") & {"safetensors", "torch", "pyarrow"}


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert adaptor.__version__ == project["version"]


@pytest.mark.parametrize("package", [adaptor, adaptor.spark], ids=["adaptor", "adaptor.spark"])
def test_what_is_public_is_there(package):
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing
