"""A report's contents as one HTML page that asks nothing of any network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
import vl_convert
from jinja2 import Environment, select_autoescape

from adaptor.report import costs, quality, watching
from adaptor.report.contents import Contents, Panel
from adaptor.report.embedding_map import SPAN, EmbeddingMap
from adaptor.report.headline import numbers, verdict
from adaptor.report.theme import CONFIG, GOOD_ON_BOTH
from adaptor.report.words import in_cell

OTHERS = "all others"
GLOBALS = "window.vegaEmbed = vegaEmbed;"


def render(contents: Contents) -> str:
    """The page: numbers and verdict first, then a panel a question, each chart with its numbers in a table."""
    files_of = files("adaptor.report")
    environment = Environment(autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = in_cell
    template = environment.from_string((files_of / "page.html").read_text())
    panels = panels_of(contents)
    return template.render(
        contents=contents,
        numbers=numbers(contents),
        verdict=verdict(contents),
        panels=panels,
        charts=[chart.chart.to_dict(validate=False) for panel in panels for chart in panel.charts],
        chart_config=CONFIG,
        points=None if contents.embedding_map is None else _points(contents.embedding_map),
        style=(files_of / "page.css").read_text(),
        script=(files_of / "page.js").read_text(),
        libraries=vl_convert.javascript_bundle(GLOBALS),
    )


def panels_of(contents: Contents) -> list[Panel]:
    """What there is to show, in the order of the page."""
    advice, measurements = contents.recommendation, contents.measurements
    chosen = advice.chosen.variant if advice.chosen else advice.knee
    panels = [
        quality.by_width(measurements),
        quality.by_bytes(measurements),
        costs.cost_against_quality(advice),
        costs.storage(advice),
        quality.across_data_sets(measurements),
        quality.strata(measurements, chosen),
        watching.alerts_panel(contents.alerts),
        watching.drift(contents.drift, contents.alerts),
        quality.over_runs(contents.quality),
        costs.runs_over_time(contents.runs),
    ]
    return [panel for panel in panels if panel is not None]


def _points(embedding_map: EmbeddingMap) -> dict[str, object]:
    """The map as few and short lists, and how well each label's points keep their neighbours."""
    named = [label for label, _ in Counter(embedding_map.labels).most_common()]
    if len(named) > len(GOOD_ON_BOTH):
        named[len(GOOD_ON_BOTH) - 1 :] = [OTHERS]  # who have no colour of their own share the last
    number = {label: place for place, label in enumerate(named)}
    labels = np.array([number.get(label, len(named) - 1) for label in embedding_map.labels])
    kept = embedding_map.kept
    groups: Sequence[tuple[str, str, int, float]] = [
        (label, GOOD_ON_BOTH[place], int((labels == place).sum()), float(kept[labels == place].mean()))
        for place, label in enumerate(named)
    ]
    return {
        "dim": embedding_map.dim,
        "groups": groups,
        "are_clusters": embedding_map.labels_are_clusters,
        "kept": float(kept.mean()),
        "span": SPAN,
        "columns": {
            "name": list(embedding_map.names),
            "label": labels.tolist(),
            "original": embedding_map.original.tolist(),
            "prefix": embedding_map.prefix.tolist(),
            "originalNearest": embedding_map.original_nearest.tolist(),
            "prefixNearest": embedding_map.prefix_nearest.tolist(),
        },
    }
