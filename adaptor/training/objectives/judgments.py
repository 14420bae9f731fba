"""From graded judgments: judged documents rise above mined hard negatives, on one shared change.

A map of each side's own memorises the judged documents; one change of the input, shared by both
sides, carries over to documents nobody judged. Short prefixes have most to learn, so a prefix of
width m weighs `m ** -0.5`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from adaptor.fitting.sample import Judgments
from adaptor.fitting.settings import QueryTraining, Supervision
from adaptor.maps import Map, Sides
from adaptor.training import losses
from adaptor.training.objectives.query_log import AffineSides, QueryLogObjective, log_temperature
from adaptor.training.shares import Share
from adaptor.vectors import Float32


@dataclass(frozen=True)
class MakeJudgmentObjective:
    """How the workers make the objective: `start` is what changes, `teacher` whose similarities the targets keep.

    `weight`, 0 to 1, is that of the judged terms; the unlabelled ones weigh the rest.
    """

    start: Sides
    teacher: Sides
    queries: Float32
    judgments: Judgments
    dims: tuple[int, ...]
    training: QueryTraining
    supervision: Supervision
    weight: float

    def __call__(self, share: Share, seed: int) -> JudgmentObjective:
        """The objective, inside a worker, on the rows that it holds."""
        return JudgmentObjective(share, self)


class SharedChange(nn.Module):
    """`y = (x + x @ change) @ weight + bias`, `change (D, D)` the same for both sides, zero at first."""

    def __init__(self, start: Sides, temperature: float, prefixes: int) -> None:
        super().__init__()
        self.log_temperature = log_temperature(temperature, prefixes)
        self.judged_log_temperature = log_temperature(temperature, prefixes)
        self.change = nn.Parameter(torch.zeros(start.corpus.width, start.corpus.width))
        self._start = start

    def to_sides(self) -> Sides:
        """The start's maps, each followed by the change."""
        change = self.change.detach().cpu().numpy().astype(np.float32)

        def changed(before: Map) -> Map:
            return Map(before.weight + change @ before.weight, before.bias)

        own = self._start.own_query
        return Sides(changed(self._start.corpus), None if own is None else changed(own))


class JudgmentObjective:
    """Judged queries beside the unlabelled terms of `QueryLogObjective`, weighed by one knob.

    Judged documents that other workers hold are fetched, so that each worker knows every judgment.
    """

    def __init__(self, share: Share, given: MakeJudgmentObjective) -> None:
        rows, self._judgments = _with_judged(share, given.judgments)
        self._questions = QueryLogObjective(rows, given.queries, given.teacher, given.dims, given.training)
        self._docs = self._questions.docs
        self._asked = torch.tensor(self._questions.queries, device=self._docs.device)
        self._labelled = np.array(sorted(given.judgments))
        self._start = AffineSides(given.start, "two", given.training.temperature, len(given.dims)).requires_grad_(False)
        self._start.to(self._docs.device)
        weight = torch.tensor(given.dims, device=self._docs.device) ** -0.5
        self._weight = weight / weight.mean()  # (P,)
        self._made = given
        self.module = SharedChange(given.start, given.training.temperature, len(given.dims)).to(self._docs.device)

    def loss(self, draw: Generator) -> Tensor:
        """The loss of one batch of judged and of other queries."""
        questions, settings = self._questions, self._made.supervision
        picked = draw.choice(self._labelled, min(self._made.training.batch, len(self._labelled)), replace=False)
        judged = self._asked[torch.from_numpy(picked)]
        unlabelled = questions.unlabelled(draw)
        positives = torch.tensor([doc for q in picked for doc in self._judgments[int(q)]])
        with torch.no_grad():
            scores = self._map(judged, "query") @ self._map(self._docs, "corpus").T
            hard = scores.topk(min(settings.hard_negatives, len(self._docs))).indices.flatten()
        rows = torch.unique(
            torch.cat([questions.near(unlabelled), questions.random(draw), hard, positives.to(hard.device)])
        )
        documents = self._map(self._docs[rows], "corpus")

        grades = self._grades(picked, rows)  # (B, J)
        target = (1 - settings.smooth) * grades / grades.sum(1, keepdim=True)
        target = target + settings.smooth * questions.target(judged, rows)
        scores = losses.prefix_cosines(self._map(judged, "query"), documents, self._made.dims)
        contrastive = losses.divergence(target, scores / self.module.judged_log_temperature.exp(), self._weight)
        if settings.ranking:
            contrastive = contrastive + settings.ranking * losses.ranking(grades, scores)

        scores = losses.prefix_cosines(self._map(unlabelled, "query"), documents, self._made.dims)
        scores = scores / self.module.log_temperature.exp()
        unlabelled_loss = losses.divergence(questions.target(unlabelled, rows), scores, self._weight)
        return self._made.weight * contrastive + (1 - self._made.weight) * unlabelled_loss

    def sides(self) -> Sides:
        """The maps as they are by now."""
        return self.module.to_sides()

    def _map(self, x: Tensor, side: str) -> Tensor:
        return getattr(self._start, side)(x + x @ self.module.change)

    def _grades(self, picked: np.ndarray, rows: Tensor) -> Tensor:
        column = {row: number for number, row in enumerate(rows.tolist())}
        grades = torch.zeros(len(picked), len(rows))
        for number, query in enumerate(picked):
            for document, grade in self._judgments[int(query)].items():
                grades[number, column[document]] = grade
        return grades.to(rows.device)


def _with_judged(share: Share, judgments: Judgments) -> tuple[Tensor, Judgments]:
    """The rows of a share and after them the judged ones of others, and the judgments by their places there."""
    if share.is_whole:
        return share.rows, judgments
    judged = torch.tensor(sorted({document for grades in judgments.values() for document in grades}))
    wanted = judged[~share.holds(judged)]
    places = {int(number): int(number) - share.first for number in judged[share.holds(judged)]}
    places |= {int(number): len(share.rows) + place for place, number in enumerate(wanted)}
    here = {query: {places[doc]: grade for doc, grade in grades.items()} for query, grades in judgments.items()}
    return torch.cat([share.rows, share.fetch(share.rows, wanted)]), here


def blend(start: Sides, end: Sides, share: float) -> Sides:
    """`share` of the way from one pair of affine maps to another; 0 is the start."""

    def mixed(a: Map, b: Map) -> Map:
        biases = [part * side.bias for part, side in ((1 - share, a), (share, b)) if side.bias is not None]
        bias = np.sum(biases, axis=0, dtype=np.float32) if biases else None
        return Map((1 - share) * a.weight + share * b.weight, bias)

    if start.own_query is None or end.own_query is None:
        return Sides(mixed(start.corpus, end.corpus))
    return Sides(mixed(start.corpus, end.corpus), mixed(start.own_query, end.own_query))
