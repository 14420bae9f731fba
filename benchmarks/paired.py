"""What an old model's vectors keep for a newer model's queries: `python -m benchmarks.paired` (QUALITY_DATA=DIR adds).

The newer model is that of `data/`, all-MiniLM-L6-v2. The old one is WordLlama, whose wheel holds its weights, read from
the texts; and, as a smoke test alone, the newer one's own vectors, rotated and with noise. Needs the extra `bench`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from adaptor.fitting import closed_forms
from adaptor.fitting.paired import fit_paired
from adaptor.fitting.settings import FitSettings, Paired
from adaptor.vectors import Float32, normalise, prefix
from benchmarks import data_sets
from benchmarks.retention import ndcg

NOISE = 0.02


def wordllama(texts: list[str]) -> Float32:
    """The mean of each text's token vectors: `(n, 256)`."""
    import importlib.util

    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = importlib.util.find_spec("wordllama")
    assert package is not None
    assert package.origin is not None
    root = Path(package.origin).parent
    tokens = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    (vectors,) = load_file(root / "weights" / "l2_supercat_256.safetensors").values()
    encoded = tokens.encode_batch(texts, add_special_tokens=False)
    return np.stack([vectors[text.ids or [0]].astype(np.float32).mean(axis=0) for text in encoded])


def texts_of(name: str) -> tuple[list[str], list[str]]:
    """Of the corpus, titles and all, and of the queries that judge."""
    folder = data_sets.folder_of(name)
    corpus, queries = (parquet.read_table(folder / f"{part}.parquet").to_pydict() for part in ("corpus", "queries"))
    titles = corpus.get("title", [""] * len(corpus["text"]))
    return [f"{title} {text}" for title, text in zip(titles, corpus["text"])], queries["text"]


def main() -> None:
    """A line for each collection, old model, log and dim."""
    print(
        "| collection | old model | queries of a log | dim | paired | the newer model's own | share |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name in data_sets.names():
        fold = data_sets.load(name)[0]
        if name.startswith("clip"):
            continue  # images have no words
        width = fold.corpus.shape[1]
        texts, questions = texts_of(name)
        spin = np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0].astype(np.float32)
        noise = NOISE * np.random.default_rng(1).normal(size=fold.corpus.shape).astype(np.float32)
        own = closed_forms.tempered_svd(fold.corpus)
        dims = [width // share for share in (12, 6, 3)]
        words = wordllama(texts)
        if len(questions) == len(fold.test):
            alone = ndcg(normalise(wordllama(questions)), normalise(words), fold.judgments).mean()
            print(f"| {name} | WordLlama, asked by itself | | 256 | {alone:.4f} | | |")
        for what, old in (("WordLlama", words), ("rotated, noise", fold.corpus @ spin + noise)):
            for log in (None, fold.learn):
                settings = FitSettings(paired=Paired("in memory", least=0.0))
                fitted = fit_paired(old, fold.corpus, dims=dims, queries=log, settings=settings)
                for dim in dims:
                    mine = ndcg(
                        fitted.encode(fold.test, dim=dim, side="query"), fitted.encode(old, dim=dim), fold.judgments
                    )
                    best = ndcg(
                        prefix(own.corpus(fold.test), dim), prefix(own.corpus(fold.corpus), dim), fold.judgments
                    )
                    share = mine.mean() / best.mean()
                    asked = 0 if log is None else len(log)
                    print(
                        f"| {name} | {what} | {asked} | {dim} | {mine.mean():.4f} | {best.mean():.4f} | {share:.3f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
