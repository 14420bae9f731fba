"""Artifacts: saved, loaded, fingerprinted, published; damage is noticed."""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import clustered, rotation

from adaptor import Adaptor, AdaptorError
from adaptor.maps import Map
from adaptor.release import publish


def fitted(seed: int = 0, **changes) -> Adaptor:
    adaptor = Adaptor(
        corpus=Map(rotation(seed=seed)),
        dims=(4, 8),
        config={"candidate": "rotation", "seed": seed},
        metrics={"held_out_rows": 5},
    )
    return replace(adaptor, **changes)


def test_saved_and_loaded_it_encodes_the_same(tmp_path):
    adaptor = fitted()
    adaptor.save(str(tmp_path / "a"), card="# card")
    loaded = Adaptor.load(str(tmp_path / "a"))
    x = clustered(9, seed=3)
    np.testing.assert_array_equal(loaded.encode(x, dim=8), adaptor.encode(x, dim=8))
    assert loaded.dims == (4, 8)
    assert loaded.config == adaptor.config
    assert loaded.metrics == adaptor.metrics
    assert loaded.fingerprint == adaptor.fingerprint
    assert (tmp_path / "a" / "README.md").read_text() == "# card"


def test_a_query_map_of_its_own_survives_and_is_used(tmp_path):
    adaptor = fitted(query=Map(np.eye(32, dtype=np.float32)))
    adaptor.save(str(tmp_path))
    loaded = Adaptor.load(str(tmp_path))
    x = clustered(9, seed=3)
    expected = x[:, :4] / np.linalg.norm(x[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(loaded.encode(x, dim=4, side="query"), expected, atol=1e-6)
    assert np.abs(loaded.encode(x, dim=4, side="corpus") - expected).max() > 0.1


def test_encode_gives_rows_of_length_one_at_any_dim():
    for dim in (1, 5, 8, 32):
        rows = fitted().encode(clustered(9, seed=3), dim=dim)
        assert rows.shape == (9, dim)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert fitted().encode(clustered(9)).shape == (9, 32)


def test_encode_refuses_another_width():
    with pytest.raises(AdaptorError, match="embeddings are 16 wide, but 32 is expected"):
        fitted().encode(clustered(9, width=16))


def test_encode_refuses_a_dim_above_the_width():
    with pytest.raises(AdaptorError, match="dim 33 is above the width of the embeddings, 32"):
        fitted().encode(clustered(9), dim=33)


def test_encode_refuses_an_unknown_side():
    with pytest.raises(AdaptorError, match="side 'document' is unknown: it is 'corpus' or 'query'"):
        fitted().encode(clustered(9), dim=4, side="document")


def test_dims_above_the_width_make_no_adaptor():
    with pytest.raises(AdaptorError, match="dim 64 is above the width"):
        fitted(dims=(4, 64))


def test_fingerprint_counts_weights_config_and_dims_but_not_metrics():
    adaptor = fitted()
    assert adaptor.fingerprint == fitted().fingerprint
    assert adaptor.fingerprint == fitted(metrics={"held_out_rows": 99}).fingerprint
    weight = adaptor.corpus.weight.copy()
    weight[0, 0] = np.nextafter(weight[0, 0], np.float32(2))
    others = [
        fitted(corpus=Map(weight)),
        fitted(dims=(4, 9)),
        fitted(config={"candidate": "rotation", "seed": 1}),
        fitted(query=adaptor.corpus),
    ]
    assert len({adaptor.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_config_is_written_last(tmp_path, monkeypatch):
    """A save that is cut off before its last file leaves nothing to load."""
    names = []
    replace = os.replace

    def note(beside, path):
        names.append(Path(path).name)
        return replace(beside, path)

    monkeypatch.setattr(os, "replace", note)
    fitted().save(str(tmp_path))
    assert sorted(names) == ["README.md", "config.json", "metrics.json", "model.safetensors"]
    assert names[-1] == "config.json"


def test_a_folder_without_config_is_no_artifact(tmp_path):
    fitted().save(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(AdaptorError, match=r"no artifact at .*: it has no config.json; run jobs/fit.py"):
        Adaptor.load(str(tmp_path))
    fitted().save(str(tmp_path))
    assert Adaptor.load(str(tmp_path)).fingerprint == fitted().fingerprint


def test_a_missing_folder_is_no_artifact(tmp_path):
    with pytest.raises(AdaptorError, match="no artifact at"):
        Adaptor.load(str(tmp_path / "nowhere"))


def test_cut_off_weights_are_refused(tmp_path):
    fitted().save(str(tmp_path))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(AdaptorError, match=r"is damaged .*; fit it again"):
        Adaptor.load(str(tmp_path))


def test_missing_weights_are_refused(tmp_path):
    fitted().save(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(AdaptorError, match="is damaged"):
        Adaptor.load(str(tmp_path))


def test_one_changed_weight_is_refused(tmp_path):
    fitted().save(str(tmp_path))
    weights = tmp_path / "model.safetensors"
    stored = bytearray(weights.read_bytes())
    stored[-2] ^= 1
    weights.write_bytes(bytes(stored))
    with pytest.raises(AdaptorError, match="are not those it was saved with"):
        Adaptor.load(str(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_cut_off_json_is_refused(tmp_path, name):
    fitted().save(str(tmp_path))
    (tmp_path / name).write_text('{"format": 1, ')
    with pytest.raises(AdaptorError, match="is damaged"):
        Adaptor.load(str(tmp_path))


def test_another_format_is_refused(tmp_path):
    fitted().save(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(AdaptorError, match="has format 99, this version reads 1"):
        Adaptor.load(str(tmp_path))


def test_saving_the_same_again_changes_nothing(tmp_path):
    fitted().save(str(tmp_path), card="first")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fitted().save(str(tmp_path), card="second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_saving_over_another_artifact_is_refused(tmp_path):
    fitted().save(str(tmp_path))
    with pytest.raises(AdaptorError, match="already holds another artifact; choose another folder"):
        fitted(seed=1).save(str(tmp_path))
    assert Adaptor.load(str(tmp_path)).fingerprint == fitted().fingerprint


def test_publish_names_the_current_version_and_can_go_back(tmp_path):
    root = str(tmp_path)
    first, second = fitted(0), fitted(1)
    older = publish(first, root)
    assert Adaptor.load(root).fingerprint == first.fingerprint
    publish(second, root)
    assert Adaptor.load(root).fingerprint == second.fingerprint
    assert json.loads((tmp_path / "current.json").read_text()) == {
        "version": second.fingerprint[:12],
        "history": [first.fingerprint[:12]],
    }
    publish(Adaptor.load(older), root)
    assert Adaptor.load(root).fingerprint == first.fingerprint
    assert Adaptor.load(f"{root}/{second.fingerprint[:12]}").fingerprint == second.fingerprint


def test_artifacts_live_on_any_file_system():
    publish(fitted(), "memory://artifacts/here")
    assert Adaptor.load("memory://artifacts/here").fingerprint == fitted().fingerprint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://a/b", "nowhere://a/b can't be opened: .*nowhere"),
        # A None in sys.modules: to Python this package is not installed.
        ("s3://bucket/a", r"s3://bucket/a can't be opened: .*; pip install 'matryoshka-adaptor\[s3\]'$"),
    ],
)
def test_a_file_system_that_is_not_there(monkeypatch, url, message):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(AdaptorError, match=message):
        Adaptor.load(url)


def test_one_vector_gives_one_row():
    adaptor, x = fitted(), clustered(3, seed=3)
    for one in (x[1], x[1].tolist(), tuple(x[1].tolist())):
        row = adaptor.encode(one, dim=4)
        assert row.shape == (4,)
        np.testing.assert_array_equal(row, adaptor.encode(x[1:2], dim=4)[0])
    with pytest.raises(AdaptorError, match="embeddings are 3 wide, but 32 is expected"):
        adaptor.encode([1.0, 2.0, 3.0])


def test_bad_rows_can_be_null_as_in_sql():
    adaptor, x = fitted(), clustered(5, seed=3)
    x[1], x[3, 7] = 0, np.nan
    with pytest.raises(AdaptorError, match="2 of 5 rows are zero, NaN or infinite"):
        adaptor.encode(x)
    y = adaptor.encode(x, dim=4, bad="null")
    assert np.isnan(y).all(axis=1).tolist() == [False, True, False, True, False]
    np.testing.assert_array_equal(y[[0, 2, 4]], adaptor.encode(x[[0, 2, 4]], dim=4))
    assert np.isnan(adaptor.encode(x[1], dim=4, bad="null")).tolist() == [True] * 4
    with pytest.raises(AdaptorError, match="bad is 'skip'; it is 'raise' or 'null'"):
        adaptor.encode(x, bad="skip")


def test_a_prefix_of_zeros_is_bad_too():
    adaptor = Adaptor(Map(np.eye(4, dtype=np.float32)), (2,))
    rows = np.array([[0, 0, 1, 0], [1, 0, 0, 0]], np.float32)
    assert np.isnan(adaptor.encode(rows, dim=2, bad="null")).all(axis=1).tolist() == [True, False]


def test_it_shows_itself_in_one_line():
    adaptor = fitted()
    assert re.fullmatch(r"Adaptor\(32 to [\d+]+, [\w ]+, fingerprint \w{12}\)", repr(adaptor))
    assert adaptor.fingerprint[:12] in repr(adaptor)
