"""How large a report of many runs, sets and points is, and what a browser makes of it: `python -m benchmarks.report`.

Needs Chromium on the path and the extra `bench`. Screenshots go to the folder that is named, or nowhere.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from shutil import which

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from adaptor.evaluation.measurement import ADAPTOR, SVD, TRUNCATION, Measurement, Variant
from adaptor.evaluation.recommendation import recommend
from adaptor.evaluation.rules import parse_rules
from adaptor.report.contents import Contents, DatedAlert, DatedFigure, JobRun
from adaptor.report.embedding_map import NEAREST, map_points
from adaptor.report.headline import numbers
from adaptor.report.page import panels_of, render
from adaptor.report.words import in_cell
from benchmarks import data_sets

DIMS, RUNS, POINTS, QUERIES = (32, 64, 96, 128, 192, 256), 50, 20_000, 300
SETS = ("contracts", "claims", "tickets", "products", "recipes")
CELLS = """[...document.querySelectorAll('section details table')].map(
    table => [...table.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent)))"""
DAY = datetime(2026, 1, 1)


def measurement(data_set: str, seed: int) -> Measurement:
    """Of made values: what a width keeps grows with its logarithm."""
    random = np.random.default_rng(seed)
    full = random.uniform(0.2, 1, QUERIES)

    def values(share: float) -> dict[str, np.ndarray]:
        return {"nDCG@10": full * np.clip(share + random.normal(0, 0.1, QUERIES), 0, 1.2)}

    by_variant = {Variant("original", 384): {"nDCG@10": full}}
    for number, dim in enumerate(DIMS):
        share = 0.8 + 0.04 * number
        by_variant |= {Variant(ADAPTOR, dim): values(share), Variant(ADAPTOR, dim, "int8"): values(share - 0.003)}
        by_variant |= {Variant(ADAPTOR, dim, "binary"): values(share - 0.2), Variant(SVD, dim): values(share - 0.03)}
        by_variant |= {Variant(TRUNCATION, dim): values(share - 0.15)}
    return Measurement(
        data_set=data_set,
        fingerprint="a" * 64,
        made_by="trained",
        width=384,
        dims=DIMS,
        encoding="float32",
        metric="nDCG@10",
        rows=20_000_000,
        queries=tuple(map(str, range(QUERIES))),
        values=by_variant,
        strata=tuple(f"language {number % 7}" for number in range(QUERIES)),
        search_seconds={variant: 1e-6 * variant.dim * 300 for variant in by_variant if variant.candidate == ADAPTOR},
    )


def contents() -> Contents:
    """50 runs of five data sets at six dims, a monitor's checks, and 20,000 points around SciFact's abstracts."""
    random = np.random.default_rng(0)
    measurements = [measurement(name, seed) for seed, name in enumerate(SETS)]
    days = [DAY + timedelta(days=number) for number in range(RUNS)]
    corpus = data_sets.load("scifact")[0].corpus
    rows = corpus[random.integers(0, len(corpus), POINTS)]
    rows = (rows + random.normal(0, 0.02, rows.shape)).astype(np.float32)
    names = [f"document {number}" for number in range(POINTS)]
    kept = {dim: 0.5 + 0.02 * number for number, dim in enumerate(DIMS)}
    return Contents(
        title="Five data sets, fifty runs",
        made_at=days[-1],
        version="a" * 12,
        measurements=measurements,
        recommendation=recommend(measurements, parse_rules(["retention >= 0.9"], (), ()), 0.023),
        runs=[
            JobRun(job, name, day, 20_000_000, random.uniform(50, 90), 300.0, 0.004)
            for day in days
            for name in SETS
            for job in ("apply", "evaluate")
        ],
        quality=[
            DatedFigure(day, name, "nDCG@10", dim, kept[dim] + random.normal(0, 0.005))
            for day in days
            for name in SETS
            for dim in DIMS
        ],
        drift=[
            DatedFigure(day, "contracts", check, 384, random.normal(0.5, 0.02))
            for day in days
            for check in ("norm", "mean direction", "energy at 64", "neighbours@10 at 64", "share of foreign rows")
        ],
        alerts=[DatedAlert(days[40], "norm", 0.9, "norm is 0.9, outside of 0.4 to 0.6: lengths have changed")],
        embedding_map=map_points(rows, rows[:, :64], names, None),
    )


def open_tab(browser: Browser, width: int, height: int) -> tuple[Page, list[str], list[str]]:
    """A tab, and what it will have said on its console and asked of anyone."""
    said: list[str] = []
    asked: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    return tab, said, asked


def main() -> None:
    """Write the page, open it three times at two widths, and compare the numbers on it with those it was made of."""
    made = contents()
    page = render(made)
    print(f"size: {len(page.encode()) / 1e6:.2f} MB, of {POINTS:,} points and {len(made.runs):,} runs")
    shots = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        path.write_text(page)
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        for name, width, height in (("desktop", 1280, 900), ("phone", 390, 844)):
            first, whole = [], []
            for _ in range(3):
                tab, said, asked = open_tab(browser, width, height)
                tab.goto(path.as_uri())
                tab.wait_for_selector("body[data-drawn]", state="attached")
                first.append(tab.evaluate("performance.now()") / 1e3)
                tab.wait_for_selector("body[data-drawn=all]", state="attached")
                whole.append(tab.evaluate("performance.now()") / 1e3)
            assert said == [], said
            assert asked == [path.as_uri()], asked
            assert tab.evaluate("document.documentElement.scrollWidth") == width, "it must not scroll sideways"
            shown = tab.locator("dd.value").all_text_contents()
            assert shown == [number.value for number in numbers(made)], shown
            cells = tab.evaluate(CELLS)
            assert cells == [[[in_cell(v) for v in row] for row in panel.rows] for panel in panels_of(made)]
            tab.fill("#row", "7")
            kept = f"{made.embedding_map.kept[7] * NEAREST:.0f} of its {NEAREST} nearest kept"
            assert tab.text_content("#row-says").endswith(kept), tab.text_content("#row-says")
            print(f"{name}: first chart after {np.median(first):.2f} s, all after {np.median(whole):.2f} s; no request")
            if shots:
                tab.screenshot(path=f"{shots}/{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
