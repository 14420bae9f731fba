"""Candidates from several workers: theirs must be one map, and processors of several kinds round apart."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from synthetic import clustered

from adaptor import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.candidates import Maker
from adaptor.fitting.judge import Judge, Standard
from adaptor.fitting.sample import in_memory
from adaptor.fitting.settings import FitSettings, Training
from adaptor.maps import Map, Sides
from adaptor.training.workers.local import Alone

X = clustered(300)
SETTINGS = FitSettings(training=Training(steps=4, evaluate_every=2))


@dataclass
class Two:
    """Two workers that train the same; each number of the second one's map is larger by this share."""

    share: float
    size = 2

    def run(self, fn):
        first = fn(Alone())
        larger = {name: value * np.float32(1 + self.share) for name, value in first.sides.corpus.tensors().items()}
        return [first, replace(first, sides=Sides(Map.from_tensors(larger)))]


def make(workers: Two) -> Sides:
    judge = Judge.of(closed_forms.truncation(X), clustered(30, seed=4), "corpus", X, (4, 8))
    return Maker(in_memory(X), None, (4, 8), SETTINGS, 0, workers).make("paper", Standard(judge, nested=False)).sides


@pytest.mark.slow
def test_workers_that_round_apart_made_the_same_map():
    alone, both = make(Two(0.0)), make(Two(3e-7))
    for one, other in zip(alone.corpus.tensors().values(), both.corpus.tensors().values(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("share", [1e-3, float("nan")])
def test_workers_whose_maps_differ(share):
    with pytest.raises(AdaptorError, match="the workers ended with different maps; check the network"):
        make(Two(share))
