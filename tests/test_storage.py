"""Folders lie where the config says, by their names as they stand, whatever characters a name holds."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from applying import ADAPTOR
from optional import PETASTORM
from synthetic import clustered, embeddings_frame

from adaptor import Adaptor, AdaptorError
from adaptor.config import SampleSettings
from adaptor.release import publish
from adaptor.spark.sampling import materialise
from adaptor.storage import as_url, open_folder, remove_folder
from adaptor.training.batches import gather
from adaptor.training.batches.arrow import ArrowBatches
from adaptor.training.batches.petastorm import PetastormBatches

NAMES = ["my data", "a%20b#c?d", "[a]*{b,c}", "a:b", "a::b@v1", "'q' \"r\" `s`", "ünï+日\\&=;|<t>", ".-~u", "-v", "~w"]


@pytest.fixture
def beside(tmp_path):
    """A folder that a name might be taken for."""
    names = ["my%20data", "a b#c?d", "a", "axb", "ab", "a*", "file:"]
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "kept").touch()
    return tmp_path / "in"


def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def docs(spark):
    return embeddings_frame(spark, [*clustered(60), None]).coalesce(1).cache()


@pytest.mark.parametrize("name", NAMES)
def test_a_sample(docs, beside, monkeypatch, name):
    """Named by a relative path, as most are."""
    before = listed(beside)
    monkeypatch.chdir(beside)
    sample = materialise(docs, "id", "embedding", SampleSettings(folder=name), "arrow")
    assert len(sample.whole.rows) == 60
    assert sorted(path.name for path in (beside / name).iterdir()) == sorted(
        [sample.url.rpartition("/")[2], "set_aside"]
    )
    sample.delete()
    assert [path.name for path in (beside / name).iterdir()] == ["set_aside"]
    (aside,) = (beside / name / "set_aside").glob("*.parquet")
    assert parquet.ParquetFile(aside).read()["id"].to_pylist() == ["d060"]
    assert [path for path in listed(beside) if path.split("/")[0] != name] == before


@pytest.mark.parametrize("kind", [pytest.param(PetastormBatches, marks=PETASTORM), ArrowBatches])
def test_batches(tmp_path, kind):
    lists = pa.array(list(clustered(5)), pa.list_(pa.float32()))
    for name in NAMES:
        (tmp_path / name).mkdir()
        parquet.write_table(pa.table({"embedding": lists}), tmp_path / name / "part-0.parquet")
        for url in (as_url(str(tmp_path / name)), f"file:{tmp_path / name}"):
            np.testing.assert_array_equal(gather(kind((url,), 5)).numpy(), clustered(5))


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact(beside, monkeypatch, name):
    before = listed(beside)
    for folder in (beside / name / "1", f"file://{beside / name / '2'}"):
        version = publish(ADAPTOR, str(folder))
        assert Adaptor.load(str(folder)).fingerprint == Adaptor.load(version).fingerprint == ADAPTOR.fingerprint
    if not name.startswith("~"):  # is somebody's home
        monkeypatch.chdir(beside)
        assert Adaptor.load(f"{name}/1").fingerprint == ADAPTOR.fingerprint
    assert sorted(path.name for path in (beside / name).iterdir()) == ["1", "2"]
    assert [path for path in listed(beside) if path.split("/")[0] != name] == before


def test_a_folder_elsewhere_is_removed_by_its_very_name():
    fs, _ = open_folder("memory://")
    for name in ("a*", "ab", "[a]", "a"):
        fs.pipe_file(f"/removing/{name}/file", b"")
    for name in ("a*", "[a]", "gone"):
        remove_folder(f"memory://removing/{name}")
    assert sorted(fs.find("/removing")) == ["/removing/a/file", "/removing/ab/file"]


def test_urls_and_chains_are_still_opened():
    for url in ("file:/x/y", "file:///x/y", "/x/y", "/x/y/"):
        assert open_folder(url)[1] == "/x/y"
    assert "simplecache" in open_folder("simplecache::memory://x")[0].protocol
    for url, why in (("nowhere://x", "Protocol not known"), ("s3:/bucket/x", "write two slashes")):
        with pytest.raises(AdaptorError, match=f"{url} can't be opened: {why}"):
            open_folder(url)
