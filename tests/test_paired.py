"""An old model's rows for a newer model's queries: what is learned from rows that both have embedded."""

import numpy as np
import pytest
from synthetic import WIDTH, clustered, embeddings_frame, rotation, save_delta, small_config, write_config

import adaptor
from adaptor import Adaptor, AdaptorError, FitSettings
from adaptor.config import ConfigError, load_config
from adaptor.fitting import paired
from adaptor.fitting.closed_forms import tempered_svd
from adaptor.fitting.paired import reduced_rank, regression
from adaptor.fitting.settings import Paired, Training
from adaptor.metrics import nearest
from adaptor.spark.apply import apply_table
from adaptor.spark.evaluate import evaluate_table
from adaptor.spark.fit import fit_table
from adaptor.vectors import normalise, prefix

QUICK = FitSettings(effort="quick")


def quiet(line: str) -> None:
    pass


def two_models(rows: int, noise: float = 0.0, old_width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Rows by an old model of some width, and by a new one: a rotation of the same and, for the old one, noise."""
    new = normalise(clustered(rows))
    old = new @ rotation(seed=3)[:, :old_width]
    return old + noise * np.random.default_rng(5).normal(size=old.shape).astype(np.float32), new


def found_again(fitted: Adaptor, old: np.ndarray, new: np.ndarray, dim: int) -> float:
    """The share of new rows' nearest new rows that they find among the old ones."""
    expected = nearest(new, new, 10)
    hits = nearest(fitted.encode(new, dim=dim, side="query"), fitted.encode(old, dim=dim), 10)
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(expected, hits)]))


@pytest.mark.parametrize("form", [regression, reduced_rank])
def test_a_rotated_model_is_rotated_back(form):
    old, new = two_models(400)
    sides = form(old, new, tempered_svd(new).corpus, None)(1e-6)
    mine, right = (prefix(side, WIDTH) for side in (sides.corpus(old), sides.query(new)))
    assert (nearest(right, mine, 1)[:, 0] == np.arange(400)).mean() > 0.98


def test_new_queries_find_old_rows_at_every_dim():
    old, new = two_models(600, noise=0.01)
    fitted = adaptor.fit_paired(old, new, dims=[8, 16, WIDTH], settings=QUICK)
    assert fitted.metrics["paired"]["pairs"] == 600
    assert min(fitted.metrics["paired"]["kept"].values()) > 0.9
    assert found_again(fitted, old, new, WIDTH) > 0.7


def test_the_two_models_may_be_of_two_widths(tmp_path):
    old, new = two_models(600, old_width=24)
    fitted = adaptor.fit_paired(old, new, dims=[8, 16], settings=QUICK, queries=new[:300])
    assert (fitted.width, fitted.map("query").width) == (24, WIDTH)
    fitted.save(str(tmp_path / "artifact"))
    loaded = Adaptor.load(str(tmp_path / "artifact"))
    np.testing.assert_array_equal(loaded.encode(new, dim=8, side="query"), fitted.encode(new, dim=8, side="query"))
    with pytest.raises(AdaptorError, match="24 wide, but 32 is expected"):
        loaded.encode(old, dim=8, side="query")
    with pytest.raises(AdaptorError, match="25"):
        adaptor.fit_paired(old, new, dims=[25], settings=QUICK)


def test_training_starts_from_the_best_closed_form_and_keeps_what_it_had():
    old, new = two_models(600, noise=0.02)
    fitted = adaptor.fit_paired(old, new, dims=[8, 16])
    scores = {score["candidate"]: score["agreement"] for score in fitted.metrics["candidates"]}
    assert scores["trained"] >= max(scores["regression"], scores["reduced_rank"])


def test_what_was_trained_starts_again_from_its_own_closed_form(monkeypatch):
    """The form is remembered, not told from the ridge, which both forms may like best."""
    monkeypatch.setattr(paired, "RIDGES", (3.0,))
    old, new = two_models(400, noise=0.15, old_width=16)
    settings = FitSettings(training=Training(steps=100, pull=0.0), paired=Paired("table", least=0.0))
    fitted = adaptor.fit_paired(old, new, dims=[4, 8], settings=settings)
    scores = {score["candidate"]: score["agreement"] for score in fitted.metrics["candidates"]}
    assert scores["regression"] < scores["reduced_rank"] < scores["trained"]
    rows = np.random.default_rng(0).permutation(400)  # in the order of the fit's sample, whose sums round alike
    start = reduced_rank(old[rows], new[rows], tempered_svd(new[rows]).corpus, None)(3.0)
    np.testing.assert_allclose(fitted.map("query").weight, start.query.weight, atol=1e-5)


def test_too_little_kept_is_refused():
    old, new = two_models(400, noise=2.0)
    with pytest.raises(AdaptorError, match=r"keep too little .* under fit\.paired\.least=0\.8.*embed the rows again"):
        adaptor.fit_paired(old, new, dims=[8], settings=QUICK)


def test_rows_of_both_models_must_be_the_same():
    old, new = two_models(100)
    with pytest.raises(AdaptorError, match="old has 99 rows and new 100"):
        adaptor.fit_paired(old[:99], new, dims=[8])
    with pytest.raises(AdaptorError, match="too few"):
        adaptor.fit_paired(old[:9], new[:9], dims=[8])


@pytest.fixture(scope="module")
def tables(spark, tmp_path_factory):
    """400 rows by the old model; 300 of them, and one without numbers, by the new one, in another order."""
    folder = tmp_path_factory.mktemp("paired")
    old, new = two_models(400, noise=0.01)
    save_delta(embeddings_frame(spark, old), folder / "docs")
    order = np.random.default_rng(1).permutation(400)[:300]
    ids = [f"d{row:03d}" for row in order]
    save_delta(embeddings_frame(spark, [*new[order], None], [*ids, "d999"]), folder / "newer")
    return folder, old, new


def config(folder, name, **changes):
    fit = {"effort": "quick", "paired": {"table": str(folder / "newer")}} | changes.pop("fit", {})
    document = small_config(folder / name, str(folder / "docs"), fit=fit, **changes)
    return load_config(write_config(folder / name / "config.yaml", document))


def test_a_table_of_an_old_model_is_written_for_the_new_one(spark, tables):
    folder, old, new = tables
    said: list[str] = []
    settings = config(folder, "job")
    fitted = fit_table(spark, settings, said.append).adaptor
    assert fitted.config["paired"] == {"pairs": 300, "query_width": WIDTH}
    assert any("left out: 1 rows" in line for line in said)
    assert found_again(fitted, old, new, 16) > 0.5
    apply_table(spark, settings, quiet)
    rows = spark.read.format("delta").load(settings.target_table).orderBy("id").collect()
    written = np.array([row["embedding_16"] for row in rows], dtype=np.float32)
    np.testing.assert_allclose(written, fitted.encode(old, dim=16), atol=1e-5)


def test_evaluate_says_why_it_cannot(spark, tables):
    settings = config(tables[0], "evaluated", evaluate={"data_set": "docs"})
    fit_table(spark, settings, quiet)
    apply_table(spark, settings, quiet)
    with pytest.raises(AdaptorError, match="takes an old model's rows for a newer model's queries"):
        evaluate_table(spark, settings, quiet)


def test_ids_that_do_not_meet(spark, tables):
    folder, old, _ = tables
    save_delta(embeddings_frame(spark, old[:5], [f"x{i}" for i in range(5)]), folder / "others")
    with pytest.raises(AdaptorError, match=r"no id of .*others.* is in the source"):
        fit_table(spark, config(folder, "others_job", fit={"paired": {"table": str(folder / "others")}}), quiet)


@pytest.mark.parametrize("fit", [{"tune": True}, {"keep": "neighbours"}])
def test_what_is_for_one_model_is_refused_before_spark_starts(tables, fit):
    with pytest.raises(ConfigError, match=r"is for fits of one model; take it out, or fit\.paired"):
        config(tables[0], "one_model", fit=fit)


def test_least_is_a_setting_of_the_fit():
    old, new = two_models(400, noise=2.0)
    settings = FitSettings(effort="quick", paired=Paired("table", least=0.0))
    assert adaptor.fit_paired(old, new, dims=[8], settings=settings).metrics["paired"]["kept"]["8"] < 0.8
