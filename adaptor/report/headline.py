"""The first screen: four numbers, and the verdict in words."""

from __future__ import annotations

from dataclasses import dataclass

from rich.filesize import decimal

from adaptor.evaluation.measurement import Measurement, Variant
from adaptor.evaluation.recommendation import Option, amount
from adaptor.report.contents import Contents
from adaptor.report.words import in_ms

MANY = 1_000_000_000  # rows at which savings are also told, for who has more than this table


@dataclass(frozen=True)
class Number:
    """A number of the first screen: what it is of, the number, and what puts it in proportion."""

    name: str
    value: str
    beside: str


def numbers(contents: Contents) -> list[Number]:
    """What to take, what it keeps, what it saves and what a query takes; full width where nothing holds."""
    advice, chosen = contents.recommendation, contents.recommendation.chosen
    if chosen is None:
        return [
            Number("Take", "full width", "no width and encoding holds the rules with its whole interval"),
            Number("Keeps", "100 %", "nothing is left out"),
            Number("Saves a month", decimal(0), f"of {decimal(advice.full_bytes * advice.rows)}"),
            _search(contents, None),
        ]
    variant, kept = chosen.variant, chosen.retention
    metric = next(m.metric for m in contents.measurements if m.data_set == kept.data_set)
    where = f" on {kept.data_set}, the data set that keeps least" if len(contents.measurements) > 1 else ""
    return [
        Number(
            "Take",
            f"{variant.bytes} bytes",
            f"a row, of {advice.full_bytes:,}: {_form(variant)}",
        ),
        Number("Keeps", f"{kept.value:.1%}", f"of {metric}{where}; 95 % interval {kept.low:.1%} to {kept.high:.1%}"),
        _saved(contents, chosen),
        _search(contents, chosen),
    ]


def verdict(contents: Contents) -> str:
    """What to do, what is ahead of SVD, and whether something has changed since."""
    advice = contents.recommendation
    rules, chosen, rescored = " and ".join(rule.text for rule in advice.rules), advice.chosen, advice.rescored
    sentences = [advice.sentence()]
    if chosen is not None:
        sentences = [
            f"Store {_form(chosen.variant)} a row: "
            f"{chosen.variant.bytes} bytes instead of {advice.full_bytes:,}. "
            f"The rule {rules} holds, {chosen.sure:.0%} sure."
        ]
    if rescored is not None and (chosen is None or rescored.variant.bytes < chosen.variant.bytes):
        sentences.append(
            f"Where the original vectors stay at hand to put a query's first {rescored.variant.shortlist} hits in "
            f"order, {rescored.variant.bytes} bytes a row are enough to search."
        )
    if contents.alerts:
        last = max(contents.alerts, key=lambda alert: alert.at)
        count = len(contents.alerts)
        how_many = "1 alert, on" if count == 1 else f"{count} alerts, the last on"
        sentences.append(f"The monitor has {how_many} {last.at:%Y-%m-%d}: {last.name}.")
    elif contents.drift:
        sentences.append("The monitor has no alerts.")
    return " ".join(sentences)


def _form(variant: Variant) -> str:
    if variant.encoding == "bits":
        return "a code that nests in bytes"
    return f"the first {variant.dim} numbers as {variant.encoding}"


def _saved(contents: Contents, chosen: Option) -> Number:
    advice = contents.recommendation
    saved = (advice.full_bytes - chosen.variant.bytes) * advice.rows
    if chosen.month is None or advice.full_month is None:
        beside = f"of {decimal(advice.full_bytes * advice.rows)}; rates.gigabyte_month puts a price to it"
        return Number("Saves a month", decimal(saved), beside)
    money = advice.full_month - chosen.month
    beside = (
        f"and {amount(money)} of {amount(advice.full_month)} at {advice.rows:,} rows; "
        f"{amount(money / advice.rows * MANY)} at a billion"
    )
    return Number("Saves a month", decimal(saved), beside)


def _search(contents: Contents, chosen: Option | None) -> Number:
    largest = _largest(contents)
    full = largest.search_seconds.get(largest.full)
    mine = full if chosen is None else chosen.search_seconds
    if mine is None:
        return Number("A query takes", "-", "not measured")
    beside = f"for {largest.rows:,} rows, one process"
    if chosen is not None and full is not None:
        beside += f"; {in_ms(full * largest.rows / 1e3)} at full width"
    return Number("A query takes", in_ms(mine * largest.rows / 1e3), beside)


def _largest(contents: Contents) -> Measurement:
    return max(contents.measurements, key=lambda measurement: measurement.rows)
