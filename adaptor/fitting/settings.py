"""What a fit can be asked for. Plain dataclasses: the core needs no config library."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen

Count = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]
STRICT = {"extra": "forbid", "strict": True}  # how the config library is to read these

Keep = Literal["retrieval", "neighbours"]
Effort = Literal["quick", "normal", "best"]
Precision = Literal["float32", "bfloat16"]
LEAST_KEPT = 0.8  # of what a new model's own vectors find, under which a paired fit publishes nothing
LONGER = 6  # times as many steps `best` trains
CandidateName = Literal[
    "truncation",
    "pca",
    "svd",
    "tempered_svd",
    "query_aware_svd",
    "query_aware_tempered",
    "paper",
    "trained",
    "query_aware_trained",
]
TRAINED: tuple[CandidateName, ...] = ("paper", "trained", "query_aware_trained")


@dataclass(frozen=True)
class Training:
    """Training on a corpus alone: where it starts, what it minimises, how long it may take.

    The weights of the losses are relative; a loss of weight 0 is not computed. `patience` counts
    evaluations on held-out rows without a better score.
    """

    __pydantic_config__: ClassVar = STRICT

    start: Literal["identity", "svd"] | None = None  # null: what keeps more on held-out rows
    hidden: Count | None = None  # units of the MLP; null: the width of the embeddings
    listwise: Weight = 1.0
    top_k: Weight = 0.0
    pairwise: Weight = 0.0
    reconstruction: Weight = 0.0
    pull: Weight = 0.5  # toward the start: the square of what the MLP adds
    temperature: Positive = 0.05  # of the listwise softmax, in cosine
    learning_rate: Positive = 1e-3
    steps: Count = 200
    batch: Annotated[int, Ge(2)] = 384  # rows drawn and their neighbours
    batches_per_step: Count | None = None  # over all workers together; null: one a worker
    scale_learning_rate: bool = False  # by the root of the batches of a step
    precision: Precision = "float32"  # of the products in a loss; weights and what rows judge stay float32
    neighbours: Count = 1  # nearest rows that come into a batch with each row drawn
    evaluate_every: Count = 50
    patience: Count = 2


PAPER = Training(
    start="identity",
    listwise=0.0,
    top_k=1.0,
    pairwise=1.0,
    reconstruction=1.0,
    pull=0.0,
    learning_rate=1e-3,
    steps=1500,
    batch=128,
    neighbours=3,
    evaluate_every=50,
    patience=10,
)
"""The paper's unsupervised stage (section 4.1): weights of 1, Adam 1e-3, batch 128, patience 500 steps.

It allows 5,000 steps; 1,500 are where its figures stopped rising here.
"""


@dataclass(frozen=True)
class QueryTraining:
    """Training on a query log: each query's softmax over documents is kept at every prefix."""

    __pydantic_config__: ClassVar = STRICT

    sides: Literal["one", "two"] | None = None  # maps; null: what keeps more on held-out queries
    temperature: Positive = 0.05
    learning_rate: Positive = 3e-4
    steps: Count = 200
    batch: Count = 64
    batches_per_step: Count | None = None
    scale_learning_rate: bool = False
    precision: Precision = "float32"
    near: Count = 10  # documents nearest to each query of the batch, under the start
    random: Count = 512  # documents drawn at random
    evaluate_every: Count = 50
    patience: Count = 2


@dataclass(frozen=True)
class Supervision:
    """Training on judgments, after the rest: one change shared by both sides."""

    __pydantic_config__: ClassVar = STRICT

    weight: Share | None = None  # of the judged terms, the unlabelled ones weigh the rest; null: by held-out queries
    smooth: Share = 0.4  # of a judged query's target that comes from the similarities of the teacher, first the start
    ranking: Weight = 0.0  # of the paper's ranking loss, beside the contrastive one
    hard_negatives: Count = 30
    learning_rate: Positive = 1e-3
    steps: Count = 200


@dataclass(frozen=True)
class Tuning:
    """How long to search for better settings of the training, where `tune` asks for it."""

    __pydantic_config__: ClassVar = STRICT

    trials: Count = 16  # trainings, the first with the settings as given
    at_once: Count = 4  # trials that start without the scores of each other: what may run in parallel


@dataclass(frozen=True)
class Paired:
    """A Delta table with rows of the source as another, newer model embeds them, by the source's ids.

    The fit then takes the source's vectors into the newer model's nested space; queries come from that model.
    """

    __pydantic_config__: ClassVar = STRICT

    table: Annotated[str, MinLen(1)]
    id: Annotated[str, MinLen(1)] = "id"
    embedding: Annotated[str, MinLen(1)] = "embedding"
    least: Share = LEAST_KEPT  # of what the newer model's own vectors find, at each dim, or nothing is published


@dataclass(frozen=True)
class FitSettings:
    """A whole fit: which candidates compete, and how the trained ones are made."""

    __pydantic_config__: ClassVar = STRICT

    effort: Effort = "normal"  # quick: closed forms alone; best: longer training, minutes for thousands of rows
    keep: Keep = "retrieval"  # what queries should find, hubs corrected; or the original's own neighbours
    candidates: Annotated[tuple[CandidateName, ...], MinLen(1)] = (
        "truncation",
        "pca",
        "svd",
        "tempered_svd",
        "query_aware_svd",
        "query_aware_tempered",
        "trained",
        "query_aware_trained",
    )
    training: Training = Training()
    query_training: QueryTraining = QueryTraining()
    supervision: Supervision = Supervision()
    tune: bool = False  # search around the settings of `training`, or with queries `query_training`
    tuning: Tuning = Tuning()
    paired: Paired | None = None  # rows by a newer model, whose queries are to find the source's vectors

    @property
    def to_compete(self) -> tuple[CandidateName, ...]:
        """The candidates that this effort makes; all of them where it would leave none."""
        if self.effort != "quick":
            return self.candidates
        return tuple(name for name in self.candidates if name not in TRAINED) or self.candidates

    def with_effort(self) -> FitSettings:
        """These settings with the training as long as the effort asks for."""
        if self.effort != "best":
            return self
        longer, queries = self.training, self.query_training
        return replace(
            self,
            training=replace(longer, steps=LONGER * longer.steps, patience=LONGER * longer.patience),
            query_training=replace(queries, steps=LONGER * queries.steps, patience=LONGER * queries.patience),
        )
