"""The losses of the paper (arXiv 2407.20243, section 3) and ours, one function each.

They compare cosines within a batch: `original (B, B)` before the map and `nested (P, B, B)` after
it at each of P prefixes. Each returns a scalar.
"""

import torch
from torch import Tensor
from torch.nn import functional


def prefix_similarities(y: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Cosines between all rows of `y (B, K)` at each prefix: `(P, B, B)`."""
    return prefix_cosines(y, y, dims)


def prefix_cosines(y: Tensor, others: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Cosines between `y (B, K)` and `others (J, K)` at each prefix: `(P, B, J)`.

    Prefixes nest, so each band of columns is multiplied once and the products are summed up, in float32 also where
    torch multiplies in bfloat16.
    """
    y, others = y.float(), others.float()
    dot = y.new_zeros(len(y), len(others))
    squares = y.new_zeros(len(y)), y.new_zeros(len(others))
    cosines = []
    for start, stop in zip((0, *dims), dims):
        bands = y[:, start:stop], others[:, start:stop]
        dot = dot + bands[0] @ bands[1].T
        squares = squares[0] + bands[0].square().sum(1), squares[1] + bands[1].square().sum(1)
        lengths = [square.clamp_min(1e-12).sqrt() for square in squares]
        cosines.append(dot / lengths[0][:, None] / lengths[1])
    return torch.stack(cosines)


def pairwise(original: Tensor, nested: Tensor) -> Tensor:
    """The paper's pairwise similarity loss: `|cos(x_i, x_j) - cos(y_i[:m], y_j[:m])|`.

    Summed over prefixes and over j, mean over i: the sums give the losses their weights.
    """
    return (nested - original).abs().sum((0, 2)).mean()


def top_k(original: Tensor, nested: Tensor, neighbour: Tensor) -> Tensor:
    """The paper's top-k similarity loss: the same over the pairs marked in `neighbour (B, B) bool`."""
    return ((nested - original).abs() * neighbour).sum((0, 2)).mean()


def reconstruction(x: Tensor, y: Tensor) -> Tensor:
    """The paper's reconstruction loss, `|x - y|` in L1, mean over rows: `x, y (B, D)`."""
    return (y - x).abs().sum(1).mean()


def listwise(original: Tensor, nested: Tensor, itself: Tensor, temperature: float) -> Tensor:
    """How far each row's softmax over the others moved from the original one (ours).

    `KL(softmax(original / t) || softmax(nested / t))`: near neighbours weigh most, a row's
    similarity to itself, marked in `itself (B, J) bool`, does not count. `original (B, J)`,
    `nested (P, B, J)`.
    """
    target = functional.softmax((original / temperature).masked_fill(itself, -1e4), dim=-1)
    return divergence(target, (nested / temperature).masked_fill(itself, -1e4))


def divergence(target: Tensor, scores: Tensor, weight: Tensor | None = None) -> Tensor:
    """`KL(target || softmax(scores))`, mean over prefixes and rows: `target (B, J)`, `scores (P, B, J)`.

    `weight (P,)`, of mean 1, is what each prefix counts for. Written out: one pass over the scores
    for the partition, one for their mean under the target.
    """
    with torch.autocast(scores.device.type, enabled=False):  # of the mean little is left where its terms are rounded
        target, scores = target.float(), scores.float()
        entropy = torch.xlogy(target, target).sum(-1)
        by_prefix = (entropy + scores.logsumexp(-1) - torch.einsum("bj,pbj->pb", target, scores)).mean(1)
    return (by_prefix if weight is None else by_prefix * weight).mean()


def ranking(grades: Tensor, nested: Tensor) -> Tensor:
    """The paper's ranking loss: `(y_j - y_k) * log(1 + exp(s_k[:m] - s_j[:m]))` where `y_j > y_k`.

    `grades (B, J)` of J documents for B queries, `nested (P, B, J)` their cosines. Mean over
    prefixes and queries of the mean over pairs.
    """
    query, better = grades.nonzero(as_tuple=True)  # (R,): a document without a grade ranks above no other
    gap = (grades[query, better][:, None] - grades[query]).clamp_min(0)  # (R, J)
    pairs = gap.new_zeros(len(grades)).index_add(0, query, (gap > 0).sum(1).to(gap.dtype)).clamp_min(1)
    weight = gap / pairs[query][:, None]
    total = nested.new_zeros(())
    for scores in nested:  # one prefix at a time: each is (R, J)
        margin = functional.softplus(scores[query] - scores[query, better][:, None])
        total = total + (weight * margin).sum() / len(grades)
    return total / len(nested)
