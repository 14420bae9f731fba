"""The neighbours that training compares rows with: exact, and within equal blocks."""

import numpy as np
import pytest
import torch
from synthetic import clustered

from adaptor.metrics import nearest
from adaptor.training.objectives import nearest as nearest_module
from adaptor.training.objectives.nearest import nearest_rows
from adaptor.vectors import normalise


@pytest.mark.parametrize(("rows", "block", "parts"), [(2100, 50_000, [2100]), (2100, 1000, [700] * 3), (7, 4, [4, 3])])
def test_neighbours_are_the_nearest_other_rows_of_the_block(monkeypatch, rows, block, parts):
    monkeypatch.setattr(nearest_module, "NEIGHBOUR_BLOCK", block)
    x = normalise(clustered(rows))
    found = nearest_rows(torch.from_numpy(x), 2).numpy()
    start = 0
    for part in parts:
        some = x[start : start + part]
        expected = nearest(some, some, 2, skip=np.arange(part)) + start
        np.testing.assert_array_equal(found[start : start + part], expected)
        start += part
    assert start == len(found)
