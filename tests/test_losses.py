"""The losses against values worked out by hand."""

import math

import pytest
import torch

from adaptor.training import losses

ORIGINAL = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
ITSELF = torch.eye(6, dtype=torch.bool)
NESTED = torch.tensor([[[1.0, 0.1], [0.1, 1.0]], [[1.0, 0.3], [0.3, 1.0]]])


def test_prefix_similarities_are_the_cosines_of_each_prefix():
    y = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    dims = (1, 3, 7)
    result = losses.prefix_similarities(y, dims)
    assert result.shape == (3, 5, 5)
    for p, dim in enumerate(dims):
        for i in range(5):
            for j in range(5):
                a, b = y[i, :dim], y[j, :dim]
                assert result[p, i, j].item() == pytest.approx((a @ b / a.norm() / b.norm()).item(), abs=1e-5)


def test_prefix_similarities_of_a_zero_prefix_are_finite():
    result = losses.prefix_similarities(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), (1, 2))
    assert torch.isfinite(result).all()


def test_pairwise():
    # summed over prefixes and others: |0.5 - 0.1| twice and |0.5 - 0.3| twice; mean over two anchors
    assert losses.pairwise(ORIGINAL, NESTED).item() == pytest.approx((2 * 0.4 + 2 * 0.2) / 2)


def test_top_k_counts_only_neighbours():
    neighbour = torch.tensor([[False, True], [False, False]])
    assert losses.top_k(ORIGINAL, NESTED, neighbour).item() == pytest.approx((0.4 + 0.2) / 2)


def test_reconstruction_sums_a_row_and_averages_rows():
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.5, 0.25], [0.0, 3.0]])
    assert losses.reconstruction(x, y).item() == pytest.approx((0.75 + 2.0) / 2)


def test_listwise_is_the_divergence_of_the_others():
    # Row 0 sees its others as 1 : 3 before and 1 : 1 after; the two other rows do not change.
    before = torch.tensor([[0.0, 0.0, math.log(3)], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    after = torch.zeros(1, 3, 3)
    divergence = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert losses.listwise(before, after, ITSELF[:3, :3], 1.0).item() == pytest.approx(divergence / 3, abs=1e-6)
    assert losses.listwise(before / 10, after, ITSELF[:3, :3], 0.1).item() == pytest.approx(divergence / 3, abs=1e-6)


def test_listwise_leaves_a_row_itself_out():
    before, after = torch.randn(4, 4), torch.randn(2, 4, 4)
    result = losses.listwise(before, after, ITSELF[:4, :4], 0.5)
    after.diagonal(dim1=1, dim2=2).fill_(9.0)
    assert losses.listwise(before, after, ITSELF[:4, :4], 0.5).item() == pytest.approx(result.item(), abs=1e-6)


def test_prefix_cosines_between_two_sets():
    y, others = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 5.0]])
    result = losses.prefix_cosines(y, others, (1, 2))
    assert result[0, 0, :2].tolist() == pytest.approx([1, -1])
    assert result[1, 0].tolist() == pytest.approx([0.6, -0.6, 0.8])


def test_ranking_weighs_each_graded_pair_by_its_gap():
    grades = torch.tensor([[2.0, 0.0, 0.0]])
    cosines = torch.tensor([[[0.5, 0.1, 0.7]]])
    expected = 2 * (math.log1p(math.exp(0.1 - 0.5)) + math.log1p(math.exp(0.7 - 0.5))) / 2
    assert losses.ranking(grades, cosines).item() == pytest.approx(expected, abs=1e-6)
    assert losses.ranking(torch.ones(1, 3), cosines).item() == 0


def test_ranking_is_the_mean_over_pairs_then_queries_then_prefixes():
    draw = torch.Generator().manual_seed(0)
    grades = torch.tensor([[2.0, 0.0, 1.0, 0.0], [0.0, 3.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    cosines = torch.rand(2, 3, 4, generator=draw)
    expected = 0.0
    for scores in cosines.tolist():
        for graded, row in zip(grades.tolist(), scores):
            pairs = [(g, s, h, t) for g, s in zip(graded, row) for h, t in zip(graded, row) if g > h]
            terms = [(g - h) * math.log1p(math.exp(t - s)) for g, s, h, t in pairs]
            expected += sum(terms) / max(len(terms), 1) / 6
    assert losses.ranking(grades, cosines).item() == pytest.approx(expected, abs=1e-6)


def test_all_vanish_where_nothing_changed():
    y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    cosines = losses.prefix_similarities(y, (4,))
    neighbour = ~torch.eye(6, dtype=torch.bool)
    assert losses.pairwise(cosines[0], cosines).item() == 0
    assert losses.top_k(cosines[0], cosines, neighbour).item() == 0
    assert losses.reconstruction(y, y).item() == 0
    assert losses.listwise(cosines[0], cosines, ITSELF, 0.05).item() == pytest.approx(0, abs=1e-6)


def test_a_divergence_counts_prefixes_by_their_weight():
    target = torch.tensor([[0.25, 0.75]])
    scores = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]]])
    first, second = (losses.divergence(target, scores[[prefix]]).item() for prefix in (0, 1))
    weighed = losses.divergence(target, scores, torch.tensor([1.5, 0.5])).item()
    assert weighed == pytest.approx((1.5 * first + 0.5 * second) / 2, abs=1e-6)
