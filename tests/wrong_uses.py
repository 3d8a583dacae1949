"""Valid options of layers, worlds, sessions, agents and training; see ``wrong_values``."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from kgrl import agents, nn, plots, pretrain, simulator
from kgrl.candidates import KHopCandidates
from kgrl.evaluate import compare, evaluate, score
from kgrl.factorization import Factors
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions, raw_items
from kgrl.train import EarlyStopping, fit
from kgrl.tree import ClusterTree
from tests.agents.every_agent import HORIZON, ITEMS, NEW, OLD, TRAIN, USERS, data, world
from tests.small_runs import Notebook
from tests.wrong_calls import EDGES
from tests.wrong_values import Call, Fresh

SHOWN = torch.tensor([[0, 4, -1], [1, -1, -1]])
ROWS = torch.tensor([0, 1])


class Attributed(nn.Aggregator):
    """A user's own attention over edges with attributes."""

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()

    def score(self, sent_j: torch.Tensor, edge_attr: torch.Tensor) -> torch.Tensor:
        return (sent_j * edge_attr).sum(-1)

    def forward(self, neighbours: torch.Tensor, itself: torch.Tensor) -> torch.Tensor:
        return neighbours + itself


def terms() -> nn.TasteTerms:
    return nn.TasteTerms(torch.zeros(ITEMS), torch.rand(ITEMS, 2), torch.ones(ITEMS))


def sessions() -> Sessions:
    return Sessions.from_history([[0, 4], [1]], [[1.0, -1.0], [0.5]])


def layer_calls() -> dict[str, Call]:
    """Constructors, and what tensors they are handed."""
    x, vectors, kg = torch.randn(6, 4), torch.randn(ITEMS, 4), knowledge_graph(EDGES, num_items=4)
    tree = ClusterTree.build(vectors, depth=2)
    policy, gru, head, taste = nn.TreePolicy(5, tree), nn.GRUState(4, 5), nn.DuelingHead(5, 4, 6), nn.TasteState(4, 2)
    conv = {"aggregator": "mean", "act": "relu", "bias": True, "aggregator_kwargs": {}}
    pairs, state = {"index": torch.tensor([0, 5]), "batch": ROWS}, torch.randn(2, 5)
    walk = {"state": state, "gone": SHOWN}
    return {
        "KGConv": Call(nn.KGConv, conv | {"in_channels": 4, "out_channels": 4}),
        "KGConv.forward": Call(nn.KGConv(4, 4), {"x": x, "edge_index": EDGES}),
        "KGConv.forward of types": Call(nn.KGConv(4, 4, "relational", aggregator_kwargs={"num_relations": 2}), {
            "x": x, "edge_index": EDGES, "edge_type": torch.tensor([0, 1, 0, 1])}),
        "KGConv.forward of attributes": Call(nn.KGConv(4, 4, Attributed), {
            "x": x, "edge_index": EDGES, "edge_attr": torch.rand(4, 4), "return_attention_weights": True}),
        "KGConv of attention": Call(nn.KGConv, {
            "in_channels": 4, "out_channels": 4, "aggregator": "gat", "flow": "target_to_source",
            "aggregator_kwargs": {"heads": 2, "dropout": 0.5}}),
        "KGEncoder": Call(nn.KGEncoder, conv | {"channels": 4, "hops": 2}),
        "KGEncoder.forward": Call(nn.KGEncoder(4, 2), {"x": x, "edge_index": EDGES, "targets": torch.arange(2)}),
        "KGEncoder.from_kg": Call(nn.KGEncoder.from_kg, conv | {"kg": kg, "channels": 4, "hops": 2}),
        "KGEncoder.plan": Call(nn.KGEncoder(4, 2).plan, {"edge_index": EDGES, "num_nodes": 6,
                                                         "targets": torch.arange(2)}),
        "KGEncoder.plan of attributes": Call(nn.KGEncoder(4, 2, Attributed).plan, {
            "edge_index": EDGES, "num_nodes": 6, "targets": torch.arange(2), "edge_attr": torch.rand(4, 4)}),
        "KGEncoder.plan_kg": Call(nn.KGEncoder(4, 2).plan_kg, {"kg": kg}),
        "SRU": Call(nn.SRU, {"in_channels": 4, "state_channels": 5}),
        "SRU.forward": Call(nn.SRU(4, 5), {"inputs": torch.randn(2, 3, 4)}),
        "GRUState": Call(nn.GRUState, {"in_channels": 4, "state_channels": 5}),
        "GRUState.forward": Call(gru, {"items": vectors, "sequences": SHOWN}),
        "DuelingHead": Call(nn.DuelingHead, {"state_channels": 5, "item_channels": 4, "hidden": 6}),
        "DuelingHead.forward": Call(head, pairs | {"state": state, "items": vectors}),
        "TasteState": Call(nn.TasteState, {"in_channels": 4, "taste_channels": 2, "hidden": 6, "start": terms()}),
        "TasteState.forward": Call(taste, {"items": vectors, "sequences": SHOWN, "feedback": torch.rand(2, 3)}),
        "TasteState.predict": Call(taste.predict, pairs | {"state": torch.randn(2, 2), "items": vectors}),
        "TasteTerms.infer": Call(terms().infer, {"sequences": SHOWN, "feedback": torch.rand(2, 3)}),
        "TasteTerms.predict": Call(terms().predict, pairs | {"mean": torch.randn(2, 2)}),
        "TreePolicy": Call(nn.TreePolicy, {"state_channels": 5, "tree": tree, "hidden": [4]}),
        "TreePolicy.greedy": Call(policy.greedy, walk),
        "TreePolicy.sample": Call(policy.sample, walk | {"generator": torch.Generator()}),
        "TreePolicy.topk": Call(policy.topk, walk | {"k": 2, "beam": 4}),
        "TreePolicy.log_prob": Call(policy.log_prob, walk | {"items": torch.tensor([3, 2])}),
        "TreePolicy.probabilities": Call(policy.probabilities, walk),
        "TreePolicy.restrict": Call(nn.TreePolicy(5, tree).restrict, {"items": NEW}),
    }


def world_calls() -> dict[str, Call]:
    plain, vectors = simulator.RatedFeedback(data()), torch.randn(USERS, 3)
    played = simulator.Simulator(plain, horizon=HORIZON)
    users, kinds = torch.arange(2), torch.arange(ITEMS) % 3
    predicted = simulator.PredictedFeedback.from_embeddings(vectors, torch.randn(ITEMS, 3))
    return {
        "Boredom": Call(simulator.Boredom, {"categories": kinds, "window": 2, "most": 1}),
        "Categories": Call(simulator.Categories, {"categories": kinds}),
        "Patience": Call(simulator.Patience, {"budget": 3.0, "least": 1.0}),
        "Satiation": Call(simulator.Satiation, {"categories": kinds, "strength": 0.5, "retention": 0.5}),
        "item_categories": Call(simulator.item_categories, {"kg": knowledge_graph(data()), "relation": "has_a"}),
        "FeedbackModel": Call(simulator.FeedbackModel, {"num_users": 3, "num_items": 4, "threshold": 0.0,
                                                        "device": "cpu"}),
        "Past": Call(simulator.Past, {"items": SHOWN, "feedback": torch.rand(2, 3)}),
        "Past.from_data": Call(simulator.Past.from_data, {"data": data(), "items": OLD, "longest": 4, "seed": 0}),
        "RatedFeedback": Call(simulator.RatedFeedback, {"data": data(), "relevant_above": 3.0}),
        "PredictedFeedback": Call(simulator.PredictedFeedback, {"factors": Factors(3, 4, 2), "threshold": 0.0}),
        "PredictedFeedback.fit": Call(simulator.PredictedFeedback.fit, {
            "data": data(), "dim": 2, "seed": 0, "preset": "taste", "holdout": 0.0, "device": "cpu"}),
        "PredictedFeedback.fit, chosen": Call(simulator.PredictedFeedback.fit, {
            "data": data(), "holdout": 0.1, "weight_decays": (1e-4,)}),
        "PredictedFeedback.from_embeddings": Call(simulator.PredictedFeedback.from_embeddings, {
            "user": vectors, "item": torch.randn(ITEMS, 3), "user_bias": torch.zeros(USERS),
            "item_bias": torch.zeros(ITEMS), "threshold": 0.0}),
        "PlantedFeedback": Call(simulator.PlantedFeedback, {"data": planted()}),
        "Simulator": Call(simulator.Simulator, {
            "feedback": plain, "eta": 0.1, "horizon": HORIZON, "first": torch.arange(ITEMS), "items": NEW,
            "past": simulator.Past.from_data(data(), OLD, longest=3)}),
        "Simulator of data": Call(simulator.Simulator, {"feedback": "rated", "data": data()}),
        "Simulator, of users who leave": Call(simulator.Simulator, {
            "feedback": predicted, "leaving": "boredom", "drift": simulator.Satiation(kinds), "categories": kinds}),
        "Simulator.reset": Call(played.reset, {"users": users}),
        "Simulator.step": Call(played.step, {"sessions": Fresh(lambda: played.reset(users)), "items": users}),
        "Simulator.play": Call(played.play, {"users": users, "items": torch.tensor([[0, 1], [2, 3]])}),
        "Simulator.play_random": Call(played.play_random, {"users": users, "generator": torch.Generator()}),
        "Simulator.num_relevant": Call(played.num_relevant, {"users": users}),
        "Simulator.bounds": Call(played.bounds, {"users": users, "train_users": TRAIN, "seed": 0,
                                                 "popular": torch.arange(ITEMS)}),
        "normalise": Call(simulator.normalise, {"raw": 3.0, "low": 1.0, "high": 5.0}),
        "Sessions.empty": Call(Sessions.empty, {"users": users, "horizon": 3, "begin": 0}),
        "Sessions.from_history": Call(Sessions.from_history, {
            "items": [["a"], ["b", "c"]], "feedback": [[1.0], [0.5, -1.0]], "threshold": 0.0, "ids": list("abcd")}),
        "Sessions.unshown": Call(sessions().unshown, {"num_items": ITEMS}),
        "Sessions.metrics": Call(sessions().metrics, {"num_relevant": torch.tensor([3, 4])}),
        "Sessions.before": Call(sessions().before, {"step": 1}),
        "Sessions.rows": Call(sessions().rows, {"index": ROWS}),
        "Sessions.cat": Call(Sessions.cat, {"parts": [sessions()]}),
        "raw_items": Call(raw_items, {"items": torch.tensor([[1, 2]]), "ids": list("abcd")}),
    }


def environment_calls() -> dict[str, Call]:
    """Of the face for Gymnasium, where it is installed."""
    if find_spec("gymnasium") is None:
        return {}
    from kgrl.simulator import gymnasium

    played = simulator.Simulator(simulator.RatedFeedback(data()), horizon=HORIZON)
    given = {"simulator": played, "users": TRAIN, "observe": gymnasium.session_history, "explore": True,
             "action_mask": True}

    def envs() -> Any:
        made = gymnasium.RecommendationVectorEnv(2, simulator=played, users=TRAIN)
        made.reset(seed=0)
        return made

    return {
        "RecommendationEnv": Call(gymnasium.RecommendationEnv, given),
        "RecommendationVectorEnv": Call(gymnasium.RecommendationVectorEnv, given | {
            "num_envs": 2, "autoreset_mode": "SameStep"}),
        "RecommendationVectorEnv.step": Call(lambda actions: envs().step(actions), {"actions": torch.tensor([3, 4])}),
        "RecommendationVectorEnv.reset": Call(lambda options: envs().reset(options=options), {
            "options": {"users": [0, 1]}}),
        "SessionSummary": Call(gymnasium.SessionSummary, {"vectors": torch.randn(ITEMS, 3)}),
    }


def planted() -> Any:
    made = data().clone()
    made["user"].taste, made["item"].attribute = torch.arange(USERS)[:, None] % 4, torch.arange(ITEMS) % 4
    return made


def plot_calls() -> dict[str, Call]:
    """Pictures, on axes of one's own, which is faster than new ones."""
    from matplotlib.figure import Figure

    kg, names, ax = knowledge_graph(data()), ["a"] * int(knowledge_graph(data()).num_nodes or 0), Figure().subplots()
    played = world().play(torch.arange(2), NEW[:3].expand(2, -1))
    return {
        "plot_item": Call(plots.plot_item, {"kg": kg, "item": 3, "names": names, "most": 3, "onward": 1, "ax": ax}),
        "plot_tree": Call(plots.plot_tree, {"tree": ClusterTree.build(torch.randn(ITEMS, 3)), "titles": names,
                                            "prefix": [1], "levels": 1, "named": 1, "ax": ax}),
        "plot_session": Call(plots.plot_session, {"sessions": played, "row": 1, "titles": names,
                                                  "candidates": KHopCandidates(kg), "ax": ax}),
        "plot_vectors": Call(plots.plot_vectors, {"vectors": torch.randn(4, 3), "groups": ["a", "a", "b", ""],
                                                  "most": 1, "ax": ax}),
        "shared_entities": Call(plots.shared_entities, {"kg": kg, "relation": "has_a", "names": names}),
    }


def agent_calls() -> dict[str, Call]:
    kg, vectors = knowledge_graph(data()), torch.randn(ITEMS, 3)
    rated, learner = {"data": data(), "users": TRAIN}, {
        "state": "gru", "state_channels": 4, "hidden_channels": 4, "streak_state": False, "horizon": HORIZON,
        "taste_channels": 0, "gamma": 0.5, "lr": 1e-3, "weight_decay": 0.0, "epsilon": 0.1, "batch_size": 4,
        "gradient_steps": 1, "tau": 0.01, "target": "head", "average": 0.1, "replay_size": 100, "seed": 0}
    ddpg = learner | {"vectors": vectors, "pool": NEW, "actor_lr": 1e-3, "restraint": 0.3, "noise": 0.1}
    factors = {"dim": 2, "epochs": 1, "weight_decay": 1e-4, "seed": 0}
    bandit = {"vectors": vectors, "alpha": 1.0, "regularisation": 1.0, "greedy_evaluation": False}
    return {
        "KGQR": Call(agents.KGQR, learner | {
            "kg": kg, "embedding": torch.randn(int(kg.num_nodes or 0), 3), "popular": torch.arange(ITEMS),
            "variant": "KGQR", "aggregator": "mean", "hops": 1, "num_candidates": 8, "backfill": ("popular", 3),
            "max_degree": 100, "candidates": "k-hop", "dim": 3, "embedding_lr": 1e-3,
            "taste_channels": 2, "tastes": terms()}),
        "DQNR": Call(agents.DQNR, learner | {"vectors": vectors, "pool": NEW, "embedding_lr": 1e-3, "tastes": terms(),
                                             "taste_channels": 2}),
        "DDPGR": Call(agents.DDPGR, ddpg),
        "DDPGKNN": Call(agents.DDPGKNN, ddpg | {"k": 2, "search": "exact"}),
        "TPGR.from_data": Call(agents.TPGR.from_data, rated | {
            "tree": ClusterTree.build(vectors, depth=2), "state": "sru", "preset": "default", "embedding": vectors,
            "taste_channels": 2, "tastes": terms(), "item_channels": 4, "seed": 0}),
        "TPGR": Call(agents.TPGR, {
            "tree": ClusterTree.build(vectors, depth=2), "state": "sru", "preset": "default", "embedding": vectors,
            "state_channels": 4, "tastes": terms(), "sharpness": 1.0, "bins": 3, "hidden": [4],
            "horizon": HORIZON, "eta": 0.1, "gamma": 0.3, "lr": 1e-3, "weight_decay": 0.0, "entropy": 0.01,
            "pretrain_lr": 1e-3, "frozen": False, "baseline": True, "standardise": True, "clip": 0.2, "epochs": 1,
            "minibatches": 1, "seed": 0}),
        "GRU4Rec": Call(agents.GRU4Rec, {
            "likes": torch.arange(ITEMS), "ordered": True, "dim": 4, "state_channels": 4, "tied": True,
            "loss": "cross-entropy", "prior": 1.0, "alpha": 0.5, "dropout": 0.2, "epochs": 1, "batch_size": 4,
            "steps": 2, "longest": 4, "lr": 1e-3, "weight_decay": 0.0, "seed": 0}),
        "GRU4Rec.from_ratings": Call(agents.GRU4Rec.from_ratings, rated | {"pretrained": False, "seed": 0, "dim": 4,
                                                                           "epochs": 1}),
        "GreedySVD": Call(agents.GreedySVD, {"factors": pretrain.ItemFactors(vectors, torch.zeros(ITEMS)),
                                             "ridge": 1.0}),
        "GreedySVD.from_ratings": Call(agents.GreedySVD.from_ratings, rated | factors | {"ridge": 1.0}),
        "LinearGaussian": Call(agents.LinearGaussian, {"tastes": terms()}),
        "LinearGaussian.from_ratings": Call(agents.LinearGaussian.from_ratings, rated | {"dim": 2, "seed": 0}),
        "LinearUCB": Call(agents.LinearUCB, bandit),
        "HLinearUCB": Call(agents.HLinearUCB, bandit | {"hidden_channels": 2, "hidden_alpha": 1.0,
                                                        "hidden_regularisation": 1.0, "seed": 0}),
        "KGProfile": Call(agents.KGProfile, {"likes": pretrain.kg_likes(kg, data(), TRAIN)}),
        "KGProfile.from_data": Call(agents.KGProfile.from_data, rated | {"kg": kg, "old": OLD, "least": 2}),
        "FixedList": Call(agents.FixedList, {"ranking": torch.arange(ITEMS)}),
        "FixedList.from_ratings": Call(agents.FixedList.from_ratings, rated | {"by": "average", "min_ratings": 0,
                                                                               "shrinkage": 0.0}),
        "Random": Call(agents.Random, {"num_items": ITEMS}),
        "Random of candidates": Call(agents.Random, {"candidates": KHopCandidates(kg, size=4)}),
        "EpisodeReplay": Call(agents.EpisodeReplay, {"capacity": 10}),
    }


def use_calls(folder: Path) -> dict[str, Call]:
    """Of agents that are there."""
    kg, vectors, calls, played = knowledge_graph(data()), torch.randn(ITEMS, 3), {}, world()
    small = {"state_channels": 4, "hidden_channels": 4, "gradient_steps": 1, "batch_size": 4}
    made: dict[str, Any] = {
        "KGQR": agents.KGQR(kg, dim=3, num_candidates=8, backfill=("random", 3), **small),
        "DDPGKNN": agents.DDPGKNN(vectors, **small), "TPGR": agents.TPGR.from_data(data(), TRAIN),
        "GreedySVD": agents.GreedySVD.from_ratings(data(), TRAIN, dim=2, epochs=1),
        "HLinearUCB": agents.HLinearUCB(vectors, hidden_channels=2), "FixedList": agents.FixedList(NEW),
        "Random": agents.Random(num_items=ITEMS)}
    further: dict[str, dict[str, Any]] = {"KGQR": {"kg": kg}, "TPGR": {"data": data(), "users": TRAIN}}
    for name, agent in made.items():
        calls[f"{name}.act"] = Call(agent.act, {"sessions": Fresh(sessions), "explore": True,
                                                "generator": torch.Generator()})
        calls[f"{name}.recommend"] = Call(agent.recommend, {"past": Fresh(sessions), "k": 3})
        calls[f"{name}.restrict"] = Call(copy.deepcopy(agent).restrict, {"items": NEW})
        if hasattr(agent, "save"):
            agent.save(folder / name)
            calls[f"{name}.load"] = Call(type(agent).load, {"path": folder / name} | further.get(name, {}))
    notes, within = Notebook(), agents.Random(num_items=ITEMS).restrict(NEW)
    scores = evaluate(within, played, TRAIN)
    free = simulator.Simulator(simulator.RatedFeedback(data()), horizon=HORIZON)
    return calls | {
        "fit": Call(fit, {
            "agent": notes, "simulator": free, "users": TRAIN, "interactions": 10, "eval_users": TRAIN[:3],
            "evaluate_every": 5, "sessions": 2, "precision": "32-true", "progress": False, "keep": "last", "seed": 0,
            "pretrain_interactions": 0, "evaluate_first": False, "callbacks": EarlyStopping(1)}),
        "EarlyStopping": Call(EarlyStopping, {"patience": 2, "metric": "reward", "least": 0.0}),
        "evaluate": Call(evaluate, {"agent": within, "simulator": played, "users": TRAIN, "batch": 8,
                                    "seed": 0}),
        "compare": Call(compare, {"a": scores, "b": scores, "metric": "reward", "alternative": "two-sided"}),
        "score": Call(score, {"sessions": Fresh(sessions), "num_relevant": torch.tensor([3, 4])}),
    }
