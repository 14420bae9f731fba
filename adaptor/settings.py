"""What a fit can be asked for. Plain dataclasses: the core needs no config library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, MinLen

Count = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]
STRICT = {"extra": "forbid", "strict": True}  # how the config library is to read these

CandidateName = Literal["truncation", "svd", "paper", "trained"]


@dataclass(frozen=True)
class Training:
    """One training: where it starts, what it minimises, how long it may take.

    The weights of the losses are relative; a loss of weight 0 is not computed. `patience` counts
    evaluations on held-out rows without a better overlap.
    """

    __pydantic_config__: ClassVar = STRICT

    start: Literal["identity", "svd"] = "svd"
    hidden: Count | None = None  # units of the MLP; null: the width of the embeddings
    listwise: Weight = 1.0
    top_k: Weight = 0.0
    pairwise: Weight = 0.0
    reconstruction: Weight = 0.0
    temperature: Annotated[float, Gt(0)] = 0.05  # of the listwise softmax, in cosine
    learning_rate: Annotated[float, Gt(0)] = 2e-3
    steps: Count = 150
    batch: Annotated[int, Ge(2)] = 512  # rows whose pairs are compared
    batches_per_step: Count | None = None  # over all workers together; null: one a worker
    neighbours: Count = 3  # nearest rows that come into a batch with each row drawn
    evaluate_every: Count = 25
    patience: Count = 3


PAPER = Training(
    start="identity",
    listwise=0.0,
    top_k=1.0,
    pairwise=1.0,
    reconstruction=1.0,
    learning_rate=1e-3,
    steps=400,
    batch=128,
)
"""The paper's unsupervised stage (section 4.1): all weights 1, Adam 1e-3, batch 128."""


@dataclass(frozen=True)
class FitSettings:
    """A whole fit: which candidates compete, and how the trained one is made."""

    __pydantic_config__: ClassVar = STRICT

    candidates: Annotated[tuple[CandidateName, ...], MinLen(1)] = ("truncation", "svd", "trained")
    training: Training = Training()
