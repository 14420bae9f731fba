"""README and docs: the code in them runs, the links lead somewhere, and one page is one page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from synthetic import embeddings_frame

import adaptor
from adaptor.spark import adapt_udf

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
WIDTH, ROWS = 256, 300


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def given() -> dict[str, object]:
    """What the examples take for granted."""
    draw = np.random.default_rng(0)
    corpus, queries = draw.normal(size=(ROWS, WIDTH)), draw.normal(size=(40, WIDTH))
    languages = ["en", "de", "es"] * (ROWS // 3)
    return {"corpus": corpus, "x": corpus, "queries": queries, "past_queries": queries, "languages": languages}


def test_the_readme_fits_on_a_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = given()
    for block in blocks(ROOT / "README.md", "python"):
        exec(block, names)
    assert adaptor.Adaptor.load("adaptor_v1").dims == (64, 128, 256)


def test_the_code_about_querying_runs(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = given()
    fitted = adaptor.fit(names["corpus"], dims=[64, 128])
    adaptor.publish(fitted, "lake/docs_artifact", "# card")
    docs = embeddings_frame(spark, names["corpus"].astype(np.float32))
    docs.selectExpr("id AS doc_id", "embedding AS vector").write.format("delta").save(f"{tmp_path}/lake/docs")
    for layout, view in (("columns", "docs_as_codes"), ("bands", "docs_in_bands_of_bytes")):
        coded = docs.select("id", adapt_udf(fitted, [24, 48], layout=layout, encoding="bits")("embedding").alias("of"))
        coded.selectExpr("id AS doc_id", "of.*").createOrReplaceTempView(view)
    for block in blocks(ROOT / "docs" / "querying.md", "python"):
        exec(block.replace('"lake/', f'"{tmp_path}/lake/'), names)
    assert names["spark"].sql("SELECT adapt(vector).embedding_64 FROM docs").count() == ROWS


def test_the_yaml_of_the_readme_is_a_config(tmp_path):
    from adaptor.config import load_config

    (yaml,) = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "mine.yaml").write_text(yaml)
    assert load_config(str(tmp_path / "mine.yaml"), section="apply").dims == (64, 128, 256)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        there = page.parent / name if name else page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_examples_import_from_nowhere_deeper():
    notebook = json.loads((ROOT / "notebooks" / "querying_nested_tables.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = "\n".join(cells + [block for page in PAGES for block in blocks(page, "python")])
    modules = set(re.findall(r"^\s*from (adaptor[\w.]*) import", code, re.MULTILINE))
    assert modules <= {"adaptor", "adaptor.spark"}
