"""The tables that jobs print at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from adaptor.console.app import console
from adaptor.evaluation.recommendation import amount
from adaptor.metrics import MEANING, geometric_mean

if TYPE_CHECKING:
    from adaptor.fitting.report import FitReport
    from adaptor.release import Versions
    from adaptor.spark.apply import Applied, Plan
    from adaptor.spark.fit import Fitted
    from adaptor.spark.release import Release
    from adaptor.spark.report import Reported


def print_fitted(fitted: Fitted) -> None:
    """What every candidate keeps of what held-out rows should find, what won, and where it lies."""
    adaptor, report = fitted.adaptor, fitted.report
    who = "queries" if report.held_out_side == "query" else "rows"
    others = list(report.candidates[0].figures)[1:]
    table = Table(title=f"Held-out {who}, fit.keep={report.keep}: {report.metric} at each dim", title_justify="left")
    table.add_column("candidate")
    for dim in [*map(str, adaptor.dims), "agreement", *others, "seconds"]:
        table.add_column(dim, justify="right")
    for score in report.candidates:
        kept = score.figures[report.metric]
        values = [*(kept[dim] for dim in adaptor.dims), score.agreement, *map(geometric_mean, score.others)]
        table.add_row(score.candidate, *(f"{value:.4f}" for value in values), f"{score.seconds:.1f}")
    console.print(table)
    explain(report.metric, *others)
    if report.strata:
        console.print(_strata_fitted(adaptor.dims, report))
    winner = adaptor.config["candidate"]
    if report.tuning:
        console.print(f"tuning       {report.tuning.summary}")
    if report.zero_prefixes:
        console.print(f"beware       {report.zero_prefixes.summary}")
    for name, reason in report.left_out.items():
        console.print(f"left out     {name}: {reason}")
    if winner not in ("trained", "tuned", "paper"):
        console.print(f"No trained map beat {winner} on held-out rows, so {winner} ships.")
    console.print(f"artifact     {fitted.path}   ({winner}, fingerprint {adaptor.fingerprint[:12]})")
    if fitted.is_candidate:
        console.print("candidate    another version is current: `adaptor compare`, then `adaptor promote`")
    if report.origin and report.origin.moments:
        console.print(f"moments      of all {report.origin.moments:,} good rows")
    console.print(f"source       {fitted.source}, {sum(fitted.bad_rows.values())} bad rows set aside")
    console.print(f"took         {fitted.seconds:.0f} s")


def explain(*metrics: str) -> None:
    """What each figure without labels means, a line each."""
    for metric in metrics:
        console.print(f"{metric:12} {MEANING[metric]}")


def _strata_fitted(dims: tuple[int, ...], report: FitReport) -> Table:
    """What the winner, the runner-up, SVD and truncation keep of each stratum."""
    title = f"Held-out rows of each stratum, among rows of all strata: {report.metric}"
    table = Table(title=title, title_justify="left")
    table.add_column("stratum")
    table.add_column("rows", justify="right")
    table.add_column("candidate")
    for dim in dims:
        table.add_column(str(dim), justify="right")
    for label, part in report.strata.items():
        for name, kept in part.kept.items():
            cells = (f"{kept[dim]:.4f}" for dim in dims)
            table.add_row(escape(label), str(part.held_out_rows), name, *cells)
    return table


def print_applied(applied: Applied) -> None:
    """What was written and what was set aside."""
    bad = sum(applied.bad_rows.values())
    console.print(f"target       {applied.target}   columns {', '.join(applied.columns)}")
    inserted = f"{applied.written - applied.updated:,} inserted"
    console.print(
        f"rows         {inserted}, {applied.updated:,} updated, {applied.removed:,} deleted, from {applied.source}"
    )
    if applied.quarantine:
        console.print(f"quarantine   {applied.quarantine}   {bad} rows")
    for reason, count in applied.bad_rows.items():
        console.print(f"  {count} rows: {reason}")
    if applied.view:
        console.print(f"view         {applied.view}   every prefix of the bands, of length 1")
    if applied.way_back:
        console.print(f"way back     {applied.way_back}")
    console.print(f"fingerprint  {applied.fingerprint[:12]}")
    console.print(f"took         {applied.seconds:.0f} s")


def print_plan(plan: Plan) -> None:
    """What a full run would read, write and cost."""
    console.print(f"target       {plan.target}   from {plan.source}, engine {plan.engine}")
    console.print(f"rows         {plan.rows:,} in {plan.files} files, {plan.chunks} commits")
    console.print(f"bytes in     {decimal(plan.bytes_in)} of source files; columns that nobody asked for are skipped")
    before = decimal(plan.bytes_before)
    for dim, count in plan.bytes_out.items():
        saved = f"{1 - count / max(plan.bytes_before, 1):.1%} less than the {before} of the vectors as they are"
        console.print(f"bytes out    {decimal(count)} of numbers at {dim}, {saved}")
    price = "" if plan.price is None else f", {amount(plan.price)} at the configured price"
    console.print(
        f"cost         {amount(plan.core_hours)} core-hours{price}   by {plan.measured_rows:,} rows that were measured"
    )
    console.print("nothing was written")


def print_versions(versions: Versions) -> None:
    """Every version, and what it is at the moment."""
    table = Table(title=f"Versions in {versions.root}", title_justify="left")
    for name in ("version", "state", "candidate", "rows", "dims", "fitted at"):
        table.add_column(name)
    for version in versions.all():
        made_of = (str(version.config.get(key, "-")) for key in ("candidate", "rows"))
        dims, fitted_at = "+".join(map(str, version.dims)), str(version.metrics.get("started_at", "-"))
        table.add_row(version.name, version.state, *made_of, dims, fitted_at)
    console.print(table)


def print_release(release: Release) -> None:
    """What is current now."""
    if release.applied:
        print_applied(release.applied)
    console.print(f"current      {release.version}, instead of {release.instead_of}")


def print_reported(reported: Reported) -> None:
    """Where the page lies, and what it could not show."""
    for sentence in reported.missing:
        console.print(f"note         {escape(sentence)}")
    console.print(f"report       {escape(reported.file)}, {decimal(reported.size)}; open it in a browser")
    console.print(f"took         {reported.seconds:.0f} s")
