"""The model card: what an artifact is, where it came from, what it was compared with."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from adaptor.artifact import Adaptor
from adaptor.metrics import MEANING, geometric_mean

if TYPE_CHECKING:
    from adaptor.fitting.report import FitReport, PairedReport


def model_card(adaptor: Adaptor, report: FitReport) -> str:
    """The artifact's README.md, in Markdown; every candidate's held-out figures stand in it."""
    config, dims = adaptor.config, [str(dim) for dim in adaptor.dims]
    source, version = "arrays in memory", None
    sampled = ""
    if report.origin:
        source, version = report.origin.source, report.origin.source_version
        sampled = f"; {report.origin.sample}" if report.origin.sample else ""
    meaning = f"{report.metric}, {MEANING[report.metric]}" if report.metric in MEANING else report.metric
    others = list(report.candidates[0].figures)[1:]
    lines = [
        "# Matryoshka adaptor",
        "",
        f"Maps embeddings of width {adaptor.width} to nested ones: the first m numbers, renormalised, are an",
        f"m-d embedding, judged at m = {', '.join(dims)}.",
        "",
        f"- fingerprint: `{adaptor.fingerprint}`",
        f"- source: `{source}`, version {'-' if version is None else version}",
        f"- sample: {config['rows']} rows, seed {config['seed']}, {report.held_out_rows} held out{sampled}",
        f"- chosen: {config['candidate']}, then fitted again on all {config['rows']} rows",
        *_moments(report),
        f"- made with matryoshka-adaptor {importlib.metadata.version('matryoshka-adaptor')}",
        "",
        f"The fit was to keep {report.keep}: {meaning}.",
        f"Held-out {'queries' if report.held_out_side == 'query' else 'rows'} ask; agreement, the geometric mean over "
        "dims, ranks the candidates.",
        "",
        f"| candidate | {' | '.join([*dims, 'agreement', *others])} |",
        f"|---|{'---|' * (len(dims) + 1 + len(others))}",
    ]
    for score in report.candidates:
        kept = score.figures[report.metric]
        values = [*(kept[dim] for dim in adaptor.dims), score.agreement, *map(geometric_mean, score.others)]
        lines.append(f"| {score.candidate} | {' | '.join(f'{value:.4f}' for value in values)} |")
    lines += [f"\n{name}: {MEANING[name]}; its mean over dims." for name in others]
    lines += [f"\nLeft out: {name}, {reason}." for name, reason in report.left_out.items()]
    if report.zero_prefixes:
        lines.append(f"\nBeware: {report.zero_prefixes.summary}.")
    if report.training and report.training.sharing:
        lines.append(f"\nTraining: {report.training.sharing}.")
    if report.tuning:
        lines.append(f"\nTuning: {report.tuning.summary}.")
    if report.supervised:
        gain = report.supervised
        lines.append(
            f"\nJudgments of {gain.labelled} queries, of weight {gain.weight:g}: {gain.share:.0%} of the way, "
            f"nDCG@10 {gain.gain:+.4f} on held-out ones."
        )
    lines += _paired(report.paired) if report.paired else []
    lines += _strata(adaptor.dims, report) if report.strata else []
    lines += [
        "",
        "```python",
        "import adaptor",
        'adaptor.Adaptor.load("THIS FOLDER").encode(x, dim=' + dims[0] + ', side="query")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _moments(report: FitReport) -> list[str]:
    rows = report.origin.moments if report.origin else None
    return [] if rows is None else [f"- moments: of all {rows} good rows of the source, not of the sample"]


def _paired(paired: PairedReport) -> list[str]:
    shares = ", ".join(f"{share:.3f} at {dim}" for dim, share in paired.kept.items())
    return [
        f"\nRows are an old model's, queries a newer one's, of width {paired.query_width}: learned from {paired.pairs} "
        f"rows by both. Of what the newer model's own vectors find they keep {shares}."
    ]


def _strata(dims: Sequence[int], report: FitReport) -> list[str]:
    lines = [
        "",
        "The same by stratum, neighbours of held-out rows looked for among rows of all strata:",
        "",
        f"| stratum | held-out rows | candidate | {' | '.join(map(str, dims))} |",
        f"|---|---|---|{'---|' * len(dims)}",
    ]
    for label, part in report.strata.items():
        for name, kept in part.kept.items():
            cells = " | ".join(f"{kept[dim]:.4f}" for dim in dims)
            lines.append(f"| {label.replace('|', '')} | {part.held_out_rows} | {name} | {cells} |")
    return lines
