"""The tables that jobs print at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from adaptor.cli import console

if TYPE_CHECKING:
    from adaptor.spark.apply import Applied
    from adaptor.spark.evaluate import Evaluated
    from adaptor.spark.fit import Fitted


def print_fitted(fitted: Fitted) -> None:
    """Every candidate's held-out overlap, what won, and where it lies."""
    adaptor = fitted.adaptor
    table = Table(
        title="Held-out rows: share of the 10 neighbours at full width, hubs corrected, that are found again",
        title_justify="left",
    )
    table.add_column("candidate")
    for dim in [*map(str, adaptor.dims), "agreement", "seconds"]:
        table.add_column(dim, justify="right")
    for score in adaptor.metrics["candidates"]:
        values = [score["overlap"][str(dim)] for dim in adaptor.dims]
        cells = [f"{value:.4f}" for value in [*values, score["mean"]]]
        table.add_row(score["candidate"], *cells, f"{score['seconds']:.1f}")
    console.print(table)
    winner = adaptor.config["candidate"]
    if adaptor.metrics["tuning"]:
        console.print(f"tuning       {adaptor.metrics['tuning']['summary']}")
    for name, reason in adaptor.metrics["left_out"].items():
        console.print(f"left out     {name}: {reason}")
    if winner not in ("trained", "tuned", "paper"):
        console.print(f"No trained map beat {winner} on held-out rows, so {winner} ships.")
    console.print(f"artifact     {fitted.path}   ({winner}, fingerprint {adaptor.fingerprint[:12]})")
    console.print(f"source       {fitted.source}, {sum(fitted.bad_rows.values())} bad rows set aside")
    console.print(f"took         {fitted.seconds:.0f} s")


def print_applied(applied: Applied) -> None:
    """What was written and what was set aside."""
    bad = sum(applied.bad_rows.values())
    console.print(f"target       {applied.target}   columns {', '.join(applied.columns)}")
    console.print(f"rows         {applied.written} written from {applied.source}")
    if applied.quarantine:
        console.print(f"quarantine   {applied.quarantine}   {bad} rows")
    for reason, count in applied.bad_rows.items():
        console.print(f"  {count} rows: {reason}")
    console.print(f"fingerprint  {applied.fingerprint[:12]}")
    console.print(f"took         {applied.seconds:.0f} s")


def print_evaluated(evaluated: Evaluated) -> None:
    """For each dim: truncation, SVD and the adaptor, with the paired interval against SVD."""
    full = evaluated.value("original", evaluated.width)
    table = Table(
        title=f"{evaluated.metric}: {full:.4f} at full width {evaluated.width}, {4 * evaluated.width} bytes a row",
        title_justify="left",
    )
    for name in ("dim", "truncation", "svd", "adaptor", "retention", "gain over svd, 95 % interval", "bytes a row"):
        table.add_column(name, justify="right")
    for dim in evaluated.dims:
        values = [evaluated.value(name, dim) for name in ("truncation", "svd", "adaptor")]
        low, high = evaluated.intervals[dim]
        table.add_row(
            str(dim),
            *(f"{value:.4f}" for value in values),
            f"{values[-1] / full:.1%}" if full else "-",
            f"{values[-1] - values[-2]:+.4f} [{low:+.4f}, {high:+.4f}]",
            str(evaluated.stored_bytes(dim)),
        )
    console.print(table)
    console.print(f"adaptor      {evaluated.candidate}, searched in the columns that apply wrote")
    console.print(f"took         {evaluated.seconds:.0f} s")
