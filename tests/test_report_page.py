"""The report's page: what it says and shows is what was measured, whatever there is or is not to show."""

from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from measurements import FULL, QUERIES, measurement

from adaptor.evaluation.measurement import ADAPTOR, Variant
from adaptor.evaluation.recommendation import recommend
from adaptor.evaluation.rules import parse_rules
from adaptor.report.contents import Contents, DatedAlert, DatedFigure, JobRun
from adaptor.report.embedding_map import NEAREST, map_points
from adaptor.report.headline import numbers, verdict
from adaptor.report.page import panels_of, render
from adaptor.report.words import in_cell

NOON = datetime(2026, 3, 1, 12)
KEPT = {8: 0.8, 16: 0.97, 32: 1.0}


def contents(*measurements, gigabyte_month=0.02, **others):
    measurements = measurements or (measurement(KEPT),)
    fields = {
        "title": "Documents",
        "made_at": NOON,
        "version": "a" * 12,
        "measurements": measurements,
        "recommendation": recommend(measurements, parse_rules(["retention >= 0.9"], (), ()), gigabyte_month),
        "runs": [],
        "quality": [],
        "drift": [],
        "alerts": [],
        "embedding_map": None,
    }
    return Contents(**(fields | others))


class Page(HTMLParser):
    """The text of a page's headings, numbers and cells; every tag, and every attribute that could load something."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.loads, self.numbers, self.cells, self.headings = [], [], [], [], []
        self._into = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        named = dict(attributes)
        self.loads += [value for name, value in attributes if name in ("src", "href") and value[0] not in "#d"]
        into = {"td": self.cells, "h2": self.headings}.get(tag)
        if named.get("class") == "value":
            into = self.numbers
        if into is not None:
            into.append("")
            self._into = into

    def handle_data(self, data):
        if self._into is not None:
            self._into[-1] += data

    def handle_endtag(self, tag):
        if tag in ("td", "h2", "dd"):
            self._into = None


def panel(made, title):
    (one,) = [panel for panel in panels_of(made) if panel.title == title]
    return one


def test_the_first_screen_says_what_to_take_what_it_keeps_saves_and_costs():
    take, keeps, saves, search = numbers(contents())
    assert (take.value, take.beside) == ("16 bytes", "a row, of 256: the first 16 numbers as int8")
    assert keeps.value == "97.0%"
    assert "95 % interval" in keeps.beside
    assert saves.value == "240.0 MB"  # of a million rows, 240 bytes each
    assert "0.0048 of 0.0051 at 1,000,000 rows; 4.80 at a billion" in saves.beside
    assert search.name == "A query takes"


def test_without_a_price_savings_are_bytes_and_the_page_names_the_key():
    assert "rates.gigabyte_month puts a price to it" in numbers(contents(gigabyte_month=None))[2].beside


def test_where_nothing_holds_the_full_width_stays():
    made = contents(measurement({8: 0.5, 16: 0.6}))
    assert numbers(made)[0].value == "full width"
    assert verdict(made).startswith("No width and encoding holds retention >= 0.9: keep the full width")
    assert "full width" in render(made)


def test_every_number_of_the_page_is_one_of_the_tables_behind_it():
    labels = ["en"] * (QUERIES // 2) + ["de"] * (QUERIES - QUERIES // 2)
    made = contents(measurement(KEPT, strata=labels), measurement(KEPT, data_set="other"))
    page = Page(render(made))
    assert page.numbers == [number.value for number in numbers(made)]
    assert page.cells == [in_cell(value) for panel in panels_of(made) for row in panel.rows for value in row]
    assert page.headings == [panel.title for panel in panels_of(made)]
    one = made.measurements[0]
    width = {row[2]: row for row in panel(made, "Quality by width").rows if row[:2] == ("hand", "adaptor")}
    assert width[16][3] == one.mean(Variant(ADAPTOR, 16))
    assert width[16][4] == pytest.approx(one.retention(Variant(ADAPTOR, 16)))
    assert width[16][5] < width[16][4] < width[16][6]


def test_a_page_asks_nothing_of_anyone():
    html = render(contents())
    assert Page(html).loads == []
    assert "default-src 'none'" in html


def test_what_people_named_is_shown_and_never_run():
    evil = "</script><script>alert('&')</script><img src=x onerror=alert(1)>"
    labels = [evil] * QUERIES
    rows = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    made = contents(
        measurement(KEPT, data_set=evil, strata=labels),
        title=evil,
        alerts=[DatedAlert(NOON, "norm", 1.0, evil)],
        drift=[DatedFigure(NOON, evil, evil, 64, 1.0)],
        embedding_map=map_points(rows, rows[:, :4], [evil] * 12, [evil] * 12),
        missing=[evil],
    )
    html = render(made)
    page, plain = Page(html), Page(render(replace(made, title="Documents", missing=[])))
    assert page.tags.count("script") == plain.tags.count("script") == 2
    assert "img" not in page.tags
    assert "onerror=alert(1)>" not in html
    assert evil in page.cells


def test_a_figure_that_is_no_number_is_a_dash():
    one = measurement(KEPT)
    values = {variant: dict(by_metric) for variant, by_metric in one.values.items()}
    values[Variant(ADAPTOR, 8)]["nDCG@10"] = np.full(QUERIES, np.nan)
    made = contents(replace(one, values=values))
    cells = [row for row in panel(made, "Quality by width").rows if row[1:3] == ("adaptor", 8)]
    assert [in_cell(value) for value in cells[0][3:]] == ["-"] * 4
    assert "NaN" not in "".join(Page(render(made)).cells)


def test_of_a_hundred_thousand_strata_the_worst_twenty_are_shown():
    count = 100_000
    full = np.tile(FULL, count // QUERIES)
    kept = np.full(count, 0.99)
    kept[4711] = 0.1
    one = measurement({16: 1.0})
    made = contents(
        replace(
            one,
            queries=tuple(map(str, range(count))),
            strata=tuple(f"s{number}" for number in range(count)),
            values={one.full: {"nDCG@10": full}, Variant(ADAPTOR, 16): {"nDCG@10": full * kept}},
        )
    )
    strata = panel(made, "Strata")
    assert strata.rows[0][1] == "s4711"
    assert strata.rows[0][5] == pytest.approx(0.1)
    assert strata.marked == {0}
    assert len(strata.rows) == 20
    assert strata.says == "s4711 keeps least of its own full width. The worst 20 of 100,000 are shown."


def test_runs_are_shown_over_time_and_one_run_is_enough():
    runs = [JobRun("apply", "docs", NOON + timedelta(days=day), 1000, 10.0 + day, 20.0, None) for day in range(3)]
    rows = panel(contents(runs=runs), "Time, throughput and cost over runs").rows
    assert [row[6] for row in rows] == [100.0, 1000 / 11, 1000 / 12]
    assert len(panel(contents(runs=runs[:1]), "Time, throughput and cost over runs").rows) == 1
    assert "Time, throughput and cost over runs" not in Page(render(contents())).headings


def test_alerts_are_in_the_verdict_in_a_list_and_on_their_chart():
    drift = [DatedFigure(NOON + timedelta(days=day), "docs", "norm", 64, 1.0 + day / 10) for day in range(3)]
    alerts = [DatedAlert(NOON + timedelta(days=2), "norm", 1.2, "norm is 1.2")]
    made = contents(drift=drift, alerts=alerts)
    assert "The monitor has 1 alert, on 2026-03-03: norm." in verdict(made)
    assert panel(made, "Alerts").rows == [(alerts[0].at, "norm", "norm is 1.2")]
    assert '"is_alert": true' in render(made)
    assert "The monitor has no alerts." in verdict(replace(made, alerts=[]))


def test_a_map_of_ten_rows_and_none_of_nine():
    rows = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
    names = [f"row {number}" for number in range(10)]
    drawn = map_points(rows, rows, names, None)
    assert drawn.kept.tolist() == [1.0] * 10  # the prefix is all there is
    assert drawn.original_nearest.shape == (10, NEAREST)
    assert drawn.original.min() >= 0
    assert drawn.original.max() <= 1000
    with pytest.raises(ValueError, match="9 points make no map, 10 do"):
        map_points(rows[:9], rows[:9], names[:9], None)


def test_rows_that_are_alike_lie_near_each_other_on_both_maps():
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 32))
    group = np.repeat([0, 1, 2], 40)
    rows = (centres[group] + random.normal(0, 0.2, (120, 32))).astype(np.float32)
    drawn = map_points(rows, rows[:, :16], list(map(str, group)), None)
    for places in (drawn.original, drawn.prefix):
        middles = np.stack([places[group == one].mean(axis=0) for one in range(3)])
        nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
        assert (nearest == group).mean() > 0.95
