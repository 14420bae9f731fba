"""The model card: what an artifact is, where it came from, what it was compared with."""

import importlib.metadata

from adaptor.artifact import Adaptor


def model_card(adaptor: Adaptor) -> str:
    """The artifact's README.md, in Markdown; every candidate's held-out figures stand in it."""
    metrics, config = adaptor.metrics, adaptor.config
    dims = [str(dim) for dim in adaptor.dims]
    version = metrics.get("source_version")  # None for a view
    truth = "as they are" if metrics["already_nested"] else "hubs corrected"
    lines = [
        "# Matryoshka adaptor",
        "",
        f"Maps embeddings of width {adaptor.width} to nested ones: the first m numbers, renormalised, are an",
        f"m-d embedding, judged at m = {', '.join(dims)}.",
        "",
        f"- fingerprint: `{adaptor.fingerprint}`",
        f"- source: `{metrics.get('source', 'arrays in memory')}`, version {'-' if version is None else version}",
        f"- sample: {config['rows']} rows, seed {config['seed']}, {metrics['held_out_rows']} held out",
        f"- chosen: {config['candidate']}, then fitted again on all {config['rows']} rows",
        f"- made with matryoshka-adaptor {importlib.metadata.version('matryoshka-adaptor')}",
        "",
        f"Share of the 10 neighbours at full width, {truth}, that",
        f"held-out {'queries' if metrics['held_out_side'] == 'query' else 'rows'} find again, and what ranks",
        "the candidates: agreement, nDCG@10 over those dims, where nearer neighbours have higher grades.",
        "",
        f"| candidate | {' | '.join(dims)} | agreement |",
        f"|---|{'---|' * (len(dims) + 1)}",
    ]
    for score in metrics["candidates"]:
        values = [score["overlap"][str(dim)] for dim in adaptor.dims]
        cells = " | ".join(f"{value:.4f}" for value in [*values, score["mean"]])
        lines.append(f"| {score['candidate']} | {cells} |")
    lines += [f"\nLeft out: {name}, {reason}." for name, reason in metrics["left_out"].items()]
    if metrics["zero_prefixes"]:
        lines.append(f"\nBeware: {metrics['zero_prefixes']['summary']}.")
    if metrics["tuning"]:
        lines.append(f"\nTuning: {metrics['tuning']['summary']}.")
    if metrics["supervised"]:
        judged = metrics["supervised"]
        lines.append(
            f"\nJudgments of {judged['labelled']} queries: {judged['share']:.0%} of the way was taken, "
            f"nDCG@10 {judged['gain']:+.4f} on held-out ones."
        )
    if metrics["strata"]:
        lines += [
            "",
            "The same by stratum, neighbours of held-out rows looked for among rows of all strata:",
            "",
            f"| stratum | held-out rows | candidate | {' | '.join(dims)} |",
            f"|---|---|---|{'---|' * len(dims)}",
        ]
    for label, part in metrics["strata"].items():
        for name, overlap in part["overlap"].items():
            cells = " | ".join(f"{overlap[dim]:.4f}" for dim in dims)
            lines.append(f"| {label.replace('|', '')} | {part['held_out_rows']} | {name} | {cells} |")
    lines += [
        "",
        "```python",
        "import adaptor",
        'adaptor.Adaptor.load("THIS FOLDER").encode(x, dim=' + dims[0] + ', side="query")',
        "```",
        "",
    ]
    return "\n".join(lines)
