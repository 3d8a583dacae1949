"""What a trained agent makes of new items: scores beside what the KG alone tells, and picks with reasons."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents.kgqr import KGQR
from kgrl.agents.linear_gaussian import LinearGaussian
from kgrl.candidates.reasons import relation_words
from kgrl.datasets.names import node_names
from kgrl.evaluate import Scores, evaluate, score
from kgrl.experiments.report import reasons
from kgrl.graph import shuffled, without_edges
from kgrl.nn.state.taste import TasteTerms
from kgrl.pretrain.kg_tastes import kg_tastes
from kgrl.pretrain.tastes import factor_tastes
from kgrl.simulator.bounds import ALL_KNOWING, BEST_FIXED, RANDOM
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.past import Past
from kgrl.simulator.simulator import Simulator

KNOWS = "list that knows the new items' feedback"
"""The best fixed list of new items: no agent may know what it knows."""
NAMED = 5
"""How many items that a user liked are named above the picks."""


def prior_of(kg: Data, data: HeteroData, users: Tensor, dim: int = 8) -> TasteTerms:
    """:func:`kgrl.pretrain.kg_tastes`; where the KG has no triple, what is left of it: the ratings alone."""
    return kg_tastes(kg, data, users, dim) if kg.num_edges else factor_tastes(data, users, dim)


def priors_with_controls(kg: Data, data: HeteroData, users: Tensor, dim: int = 8) -> dict[str, TasteTerms]:
    """What the training users' ratings tell of every item through the KG, through a shuffled one and without any.

    Args:
        kg: of ``data``.
        data: as it was before anybody rated the new items, see :func:`kgrl.datasets.as_released`.
        users: whose ratings may be seen.
        dim: length of a taste.
    """
    graphs = {"KG": kg, "shuffled KG": shuffled(kg, seed=0), "no KG": without_edges(kg)}
    return {name: prior_of(graph, data, users, dim) for name, graph in graphs.items()}


def new_item_scores(
    agent: KGQR, priors: dict[str, TasteTerms], feedback: FeedbackModel, new: Tensor, train: Tensor, test: Tensor
) -> dict[str, Scores]:
    """Scores of the agent and of priors on new items alone, and the lines to read them by.

    A session has at most as many steps as a quarter of the new items, so that there is something to choose; the streak
    term is left out (η = 0), and no item opens it for all, as none is popular yet.

    Args:
        agent: a trained one; it is restricted to the new items from now on.
        priors: by name. They recommend by themselves, as :class:`kgrl.agents.LinearGaussian`, without any training.
        feedback: the world's.
        new: ``[K]``, the new items.
        train: training users, for the list that knows.
        test: who is scored.
    """
    world = Simulator(feedback, horizon=min(32, math.ceil(len(new) / 4)), items=new)
    bounds = world.bounds(test, train)
    scores = {"KGQR": evaluate(agent.restrict(new), world, test)}
    for name, prior in priors.items():
        scores[f"prior alone, {name}"] = evaluate(LinearGaussian(prior).restrict(new), world, test)
    for line, name in ((BEST_FIXED, KNOWS), (ALL_KNOWING, ALL_KNOWING), (RANDOM, RANDOM)):
        scores[name] = score(bounds.lines[line], bounds.num_relevant)
    return scores


def new_item_picks(
    agent: KGQR, data: HeteroData, new: Tensor, users: Tensor, threshold: float, count: int = 10
) -> str:
    """Markdown: new items that the agent recommends to the one of ``users`` who rated most of them, with reasons.

    She comes with her last 32 ratings of old items, as real users do. What she really gave to a new item, which the
    agent does not know, stands beside it.

    Args:
        agent: restricted to the new items.
        data: with all ratings.
        new: ``[K]``, the new items.
        users: test users.
        threshold: feedback above it is positive.
        count: how many items.
    """
    (rater, item), rating = data["user", "rates", "item"].edge_index, data["user", "rates", "item"].rating
    is_new = torch.zeros(int(data["item"].num_nodes), dtype=torch.bool).index_fill_(0, new, True)
    user = users[torch.bincount(rater[is_new[item]], minlength=int(data["user"].num_nodes))[users].argmax()]
    past = Past.from_data(data, (~is_new).nonzero().view(-1)).begin(user.view(1), count, threshold)
    picks = [pick for pick in agent.recommend(past, count)[0].tolist() if pick >= 0]
    liked = past.liked[0][past.liked[0] >= 0]
    hers = dict(zip(item[rater == user].tolist(), rating[rater == user].tolist(), strict=True))
    notes = [f" (rated {hers[pick]:g} of {data.rating_scale[1]:g})" if pick in hers else "" for pick in picks]
    names, words = node_names(data), relation_words(data)
    why = reasons(picks, liked, agent.candidates, names.__getitem__, words.__getitem__)
    noun = data.provenance.get("item_noun", "item") if "provenance" in data else "item"
    lines = [f"## {len(picks)} new {noun}s for user {int(user)}\n",
             f"Liked {len(liked)} of the last {int((past.shown >= 0).sum())} {noun}s rated, "
             f"the latest of them: {', '.join(names[each] for each in liked.flip(0)[:NAMED].tolist()) or '–'}.\n"]
    lines += [f"{place}. {names[pick]}{note}: {reason}" for place, (pick, note, reason) in
              enumerate(zip(picks, notes, why, strict=True), start=1)]
    return "\n".join([*lines, ""])
