"""A contest of candidates: what each reached, and which of them may ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adaptor.fitting.candidates import Candidate
from adaptor.fitting.report import Score
from adaptor.fitting.settings import FitSettings
from adaptor.fitting.tuning import Tuned
from adaptor.metrics import NEIGHBOURS


@dataclass(frozen=True)
class Contest:
    """What each candidate reached, how it can be made again, and with which settings."""

    scores: list[Score]
    candidates: dict[str, Candidate]
    settings: dict[str, FitSettings]
    left_out: dict[str, str]
    tuned: Tuned | None

    @property
    def ranking(self) -> list[str]:
        """Candidates that may ship, that of the highest agreement first, of equals the earlier one."""
        eligible = [score for score in self.scores if score.candidate not in self.left_out]
        return [score.candidate for score in sorted(eligible, key=lambda score: -score.agreement)]

    @property
    def winner(self) -> str:
        """The candidate that ships."""
        return self.ranking[0]


def below_svd(scores: Sequence[Score], svd: Mapping[int, float]) -> dict[str, str]:
    """Candidates that keep fewer neighbours than SVD at some dim, and so don't ship, with the reason.

    Where all do, the best of them is no such candidate: SVD was not asked to compete.
    """
    below: dict[str, str] = {}
    for score in sorted(scores, key=lambda score: score.agreement):
        dims = [str(dim) for dim, value in score.figures[NEIGHBOURS].items() if value < svd[dim]]
        if dims and len(below) < len(scores) - 1:
            below[score.candidate] = f"it keeps fewer neighbours than svd at {', '.join(dims)}"
    return below
