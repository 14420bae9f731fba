"""Every mistake in a config is one sentence, with the key and the way out."""

import re
from pathlib import Path

import pytest
from synthetic import small_config, write_config

from adaptor.config import load_config
from adaptor.errors import ConfigError

ROOT = Path(__file__).parents[1]


def load(tmp_path, overrides=(), section=None, **changes):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "lake/docs", **changes))
    return load_config(path, overrides, section)


def test_a_good_config(tmp_path):
    config = load(tmp_path, section="apply")
    assert config.dims == (4, 8, 16)
    assert config.source.id == "id"
    assert config.apply.bad_rows == "quarantine"
    assert config.fit.training.steps == 20


@pytest.mark.parametrize("path", sorted(ROOT.glob("conf/*.yaml")), ids=lambda path: path.name)
def test_the_configs_that_ship_are_good(path):
    assert load_config(str(path)).dims


def test_dims_are_sorted(tmp_path):
    assert load(tmp_path, dims=[16, 4]).dims == (4, 16)


def test_bytes_stand_in_for_dims(tmp_path):
    alone = {key: value for key, value in small_config(tmp_path, "lake/docs").items() if key != "dims"}
    config = load_config(write_config(tmp_path / "codes.yaml", alone | {"bytes": [48, 24]}))
    assert (config.dims, config.bytes) == ((24, 48), (24, 48))
    with pytest.raises(ConfigError, match="dims is missing"):
        load_config(write_config(tmp_path / "neither.yaml", alone))


def test_overrides_win(tmp_path):
    config = load(
        tmp_path, ["sample.rows=77", "dims=[2,3]", "source.version=3", "apply.carry=[]", "fit.training.top_k=1"]
    )
    assert (config.sample.rows, config.dims, config.source.version, config.apply.carry) == (77, (2, 3), 3, ())
    assert config.fit.training.top_k == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"artefact": "x"}, "unknown key artefact; did you mean artifact? (allowed here: source, sample, dims, "),
        ({"source": {"tabel": "x"}}, "unknown key source.tabel; did you mean source.table? (allowed here: table, "),
        (
            {"dims": [4, 16], "apply": {"layout": "bands", "encoding": "binary"}},
            "binary bands need dims that are multiples of 8, not 4; or layout: columns",
        ),
        (
            {"source": {"version": 3}, "apply": {"mode": "stream"}},
            "apply.mode: stream goes up to the latest version; take source.version out",
        ),
        ({"apply": {"carrry": []}}, "unknown key apply.carrry; did you mean apply.carry?"),
        ({"fit": {"training": {"step": 3}}}, "unknown key fit.training.step; did you mean fit.training.steps?"),
        ({"zzzzzz": 1}, "unknown key zzzzzz (allowed here: source, "),
        ({"sample": {"rows": "many"}}, "sample.rows is 'many': Input should be a valid integer"),
        ({"sample": {"rows": 0}}, "sample.rows is 0: Input should be greater than or equal to 1"),
        ({"source": {"table": ""}}, "source.table is '': String should have at least 1 character"),
        ({"source": {"version": -1}}, "source.version is -1: Input should be greater than or equal to 0"),
        ({"apply": {"bad_rows": "skip"}}, "apply.bad_rows is 'skip': Input should be 'quarantine', 'fail' or 'null'"),
        ({"workers": {"kind": "ray"}}, "workers.kind is 'ray': Input should be 'local'"),
        ({"fit": {"candidates": []}}, "fit.candidates is []: Tuple should have at least 1 item"),
        (
            {"fit": {"training": {"learning_rate": 0}}},
            "fit.training.learning_rate is 0: Input should be greater than 0",
        ),
        ({"dims": []}, "dims is []: dims is empty: name at least one prefix width"),
        ({"dims": [4, 4]}, "dims is [4, 4]: dims [4, 4] names a width twice"),
        ({"dims": [0]}, "dims is [0]: dims must be whole numbers of at least 1, not 0"),
        ({"dims": [4, "x"]}, "dims.1 is 'x': Input should be a valid integer"),
        ({"dims": 64}, "dims is 64: Input should be a valid array"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_sentence(tmp_path, changes, message):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'c.yaml'}: {message}")
    assert "\n" not in str(error.value)


def test_missing_keys(tmp_path):
    path = write_config(tmp_path / "c.yaml", {"source": {}, "sample": {"folder": "s"}, "dims": [4], "runs": "r"})
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).splitlines() == [f"{path}: source.table is missing", f"{path}: artifact is missing"]


def test_every_mistake_has_its_line(tmp_path):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, dims=[0], sample={"rows": -1}, source={"tabel": "x"})
    assert len(str(error.value).splitlines()) == 3


def test_a_section_that_the_job_needs(tmp_path):
    assert load(tmp_path, evaluate=None).evaluate is None
    with pytest.raises(ConfigError, match=r"section 'evaluate' is missing; conf/quickstart.yaml shows one"):
        load(tmp_path, section="evaluate", evaluate=None)


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"no config file at {tmp_path}/none.yaml; conf/ holds examples")):
        load_config(f"{tmp_path}/none.yaml")


@pytest.mark.parametrize("text", ["source: [", "a: 1\na: 2", "- 1\n- 2", "runs: ${nowhere}"])
def test_no_yaml_mapping(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(str(path))
    assert str(error.value).startswith(f"{path} can't be read: ")
    assert "\n" not in str(error.value)


def test_an_empty_file_lacks_everything(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("")
    with pytest.raises(ConfigError, match="source is missing"):
        load_config(str(path))


def test_an_override_without_a_value(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("--set 'sample.rows' lacks a value; write --set KEY=VALUE")):
        load(tmp_path, ["sample.rows"])


def test_an_unknown_override(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("unknown key sample.row; did you mean sample.rows?")):
        load(tmp_path, ["sample.row=3"])
