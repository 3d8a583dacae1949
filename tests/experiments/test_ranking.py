"""``recall`` and ``ndcg`` against scikit-learn, PyG and a slow version."""

import math

import pytest
import torch
from sklearn.metrics import ndcg_score
from torch_geometric.metrics import LinkPredNDCG, LinkPredRecall

from kgrl.experiments.ranking import ndcg, recall

N = 30


def drawn(seed, most):
    """Scores ``[20, N]`` and which items are relevant, at least one and at most ``most`` a user."""
    generator = torch.Generator().manual_seed(seed)
    scores, relevant = torch.rand(20, N, generator=generator), torch.zeros(20, N, dtype=torch.bool)
    for row in relevant:
        row[torch.randperm(N, generator=generator)[: int(torch.randint(1, most + 1, (1,), generator=generator))]] = True
    return scores, relevant


def ranked(scores, relevant, k):
    items = scores.argsort(dim=1, descending=True)[:, :k]
    return items, relevant.gather(1, items)


@pytest.mark.parametrize("k", [1, 5, N])
@pytest.mark.parametrize("most", [3, N])
def test_a_user_at_a_time(k, most):
    scores, relevant = drawn(k, most)
    items, hits = ranked(scores, relevant, k)
    gain, found = ndcg(hits, relevant.sum(1)), recall(hits, relevant.sum(1))
    for user in range(len(scores)):
        wanted = set(relevant[user].nonzero().flatten().tolist())
        places = [place for place, item in enumerate(items[user].tolist()) if item in wanted]
        best = sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
        assert float(gain[user]) == pytest.approx(sum(1 / math.log2(place + 2) for place in places) / best)
        assert float(found[user]) == pytest.approx(len(places) / min(k, len(wanted)))
        assert float(gain[user]) == pytest.approx(ndcg_score(relevant[user : user + 1], scores[user : user + 1], k=k))


@pytest.mark.parametrize("k", [5, 10])
def test_pyg_has_the_same_means(k):
    scores, relevant = drawn(7, 5)
    items, hits = ranked(scores, relevant, k)
    for metric, oracle in ((ndcg, LinkPredNDCG(k)), (recall, LinkPredRecall(k))):
        oracle.update(items, relevant.nonzero().T)
        assert float(metric(hits, relevant.sum(1)).mean()) == pytest.approx(float(oracle.compute()), rel=1e-5)


def test_bounds():
    nothing = torch.zeros(1, 4, dtype=torch.bool)
    for metric in (ndcg, recall):
        assert metric(nothing, torch.tensor([0])) == 0
        assert metric(nothing, torch.tensor([3])) == 0
        assert metric(~nothing, torch.tensor([9])) == 1
        assert metric(torch.tensor([[True, False]]), torch.tensor([1])) == 1


def test_what_does_not_fit_is_named():
    for metric in (ndcg, recall):
        with pytest.raises(ValueError, match=r"must be \[B, k\], with `relevant` \[B\], got \[\[2, 3\], \[1\]\]"):
            metric(torch.zeros(2, 3, dtype=torch.bool), torch.tensor([1]))
        with pytest.raises(ValueError, match="at least the 2 hits of row 1, got 1; does an item come twice in a row"):
            metric(torch.tensor([[False, False], [True, True]]), torch.tensor([1, 1]))
