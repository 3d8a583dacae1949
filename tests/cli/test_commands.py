"""The four commands from end to end, on a small made data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from kgrl.agents import KGQR, TPGR, Random
from kgrl.cli.recommend_items import loaded
from kgrl.cli.train_agent import _try_options, method_called
from kgrl.datasets import audit_links
from kgrl.evaluate import evaluate
from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.method import Method
from kgrl.experiments.setting import Setting
from kgrl.graph import knowledge_graph
from kgrl.options import at_least, expected
from kgrl.presets import preset
from kgrl.sessions import Sessions
from tests.cli.conftest import Said

SMALL = ("--set", "backfill=[\"popular\", 20]", "--set", "gradient_steps=2", "--set", "batch_size=16",
         "--set", "state_channels=4", "--set", "hidden_channels=4")
TRAIN = ("train", "kgqr", "--dataset", "synthetic", "--interactions", "512", "--sessions", "4", "--evaluate-every",
         "128", "--seed", "1", "--out", "agent", *SMALL)


@pytest.fixture(autouse=True)
def without_transe(monkeypatch: pytest.MonkeyPatch) -> None:
    """TransE is not what is tested here, and takes longer than the rest."""
    monkeypatch.setattr("kgrl.experiments.setting.pretrain_entities", lambda kg, dim, **options: torch.randn(
        kg.num_nodes, dim, generator=torch.Generator().manual_seed(0)))


def test_train_then_recommend(said: Said) -> None:
    code, out, err = said(*TRAIN, "--log", "csv", "--license", "mit")
    assert (code, err) == (0, "")
    rows = [line for line in out.splitlines() if " interactions  reward " in line]
    curve = json.loads(Path("agent/curve.json").read_text())
    assert len(rows) == len(curve) == 4
    assert f"reward {curve[-1]['reward']:.4f}" in rows[-1]
    assert list(Path("agent/log").rglob("metrics.csv"))
    assert list(Path("agent/log").rglob("hparams.json"))
    config = json.loads(Path("agent/config.json").read_text())
    assert config["training"] | {"dataset": "synthetic", "world": "planted", "method": "KGQR", "seed": 1,
                                 "interactions": 512, "eta": 0.1} == config["training"]
    assert "license: \"mit\"" in Path("agent/README.md").read_text(encoding="utf-8")

    data = DATASETS["synthetic"]("data/synthetic")[0]
    agent: Any = KGQR.from_pretrained("agent", knowledge_graph(data))
    setting = Setting.load("synthetic", "planted", 0.1, root="data")  # what was told is what the folder's agent does
    again = evaluate(agent, setting.simulator, setting.test, seed=1)
    assert config["scores"]["agent"]["reward"] == pytest.approx(again.reward, abs=1e-6)
    assert f"| {again.reward:.4f} |" in out

    ids = data["item"].raw_id
    known = [str(ids[item]) if isinstance(ids, list) else str(int(ids[item])) for item in (3, 5)]
    code, out, err = said("recommend", "agent", "--items", ",".join(known), "--feedback=1,-0.5", "-k", "4")
    assert (code, err) == (0, "")
    past = Sessions.from_history([[3, 5]], [[1.0, -0.5]])
    picks = agent.recommend(past, k=4)[0].tolist()
    lines = out.splitlines()
    assert [f"(id {ids[item]})" in line for item, line in zip(picks, lines, strict=True)] == [True] * 4
    assert all(": " in line for line in lines)  # why each was a candidate
    code, out, _ = said("recommend", "agent", "-k", "2")
    assert (code, len(out.splitlines())) == (0, 2)

    for words, message in (
        (("--items", "no such item", "--feedback", "1"), "no such item"),
        (("--items", known[0]), "feedback"),
        (("--items", known[0], "--feedback", "7"), "must be numbers in [-1, 1]"),
        (("--items", known[0], "--feedback", "good"), "`--feedback` must be numbers from -1 to 1"),
        (("--dataset", "ml-200k"), "`dataset` must be a known name"),
    ):
        code, out, err = said("recommend", "agent", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
    Path("agent/model.safetensors").write_bytes(b"no model")
    assert "is not the file that config.json beside it was written with" in said("recommend", "agent")[2]


def test_the_best_settings_are_all_of_the_presets(said: Said) -> None:
    """The tables' own settings, with which the same method begins, do not show through."""
    known, setting = preset("TPGR", "ml-100k", "logged"), Setting.load("synthetic", "planted", 0.0, root="data")
    built: Any = method_called("tpgr").build(setting, 0, **known.options)
    assert built.options == TPGR.from_data(setting.data, setting.train, **known.options).options


def test_training_goes_on_where_it_was_and_another_run_is_refused(said: Said) -> None:
    said(*TRAIN[:5], "256", *TRAIN[6:])
    assert said(*TRAIN)[0] == 0
    resumed = [row["reward"] for row in json.loads(Path("agent/curve.json").read_text())]
    said(*TRAIN[:-12], "--out", "other", *SMALL)
    assert len(resumed) == 4
    assert [row["reward"] for row in json.loads(Path("other/curve.json").read_text())] == resumed
    code, _, err = said(*TRAIN, "--set", "gamma=0.7")
    assert (code, err.count("\n")) == (2, 1)
    assert "belongs to another run; these differ: agent options: gamma" in err


def test_patience_stops_and_keeps_the_best(said: Said) -> None:
    code, out, _ = said(*TRAIN, "--patience", "1", "--set", "lr=0.0")  # which learns nothing
    assert code == 0
    curve = json.loads(Path("agent/curve.json").read_text())
    assert len(curve) < 4
    assert "stopped: reward has not risen for 1 evaluations" in out


@pytest.mark.parametrize("agent", ["popularity", "linear-gaussian", "tpgr"])
def test_other_agents_are_trained_and_recommend(said: Said, agent: str) -> None:
    learns = ("--interactions", "256", "--sessions", "4") if agent == "tpgr" else ()
    code, out, err = said("train", agent, "--dataset", "synthetic", "--out", "agent", *learns)
    assert (code, err) == (0, "")
    assert "wrote the agent and its model card to agent/" in out
    code, out, err = said("recommend", "agent", "-k", "3")
    assert (code, err, len(out.splitlines())) == (0, "", 3)


def test_an_agent_for_new_items_is_found_again_by_raw_ids(said: Said) -> None:
    """In that world items are numbered at random, and what links the new ones late is masked."""
    code, _, err = said("train", "kgqr", "--dataset", "synthetic", "--world", "planted-new-0", "--interactions", "64",
                        "--sessions", "4", "--out", "agent", *SMALL)
    assert (code, err) == (0, "")
    code, out, err = said("recommend", "agent", "-k", "3")
    assert (code, err, len(out.splitlines())) == (0, "", 3)


@pytest.mark.parametrize(("agent", "pair", "what"), [
    ("kgqr", "gamma=1.5", "`gamma` must be a finite number in"), ("kgqr", "gama=0.5", "`--set` must be options of"),
    ("tpgr", "depth=0", "`depth`"), ("linear-gaussian", "dim=0", "`dim`"), ("ddpg-knn (k=1)", "k=\"all\"", "`k`"),
])
def test_wrong_options_are_refused_before_data_are_read(
    said: Said, monkeypatch: pytest.MonkeyPatch, agent: str, pair: str, what: str
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("data were read")

    monkeypatch.setitem(DATASETS, "synthetic", read)
    code, _, err = said("train", agent, "--dataset", "synthetic", "--set", pair, "--out", "agent")
    assert code
    assert what in err
    assert not Path("agent").exists()


def test_options_that_few_data_cannot_have_are_no_wrong_ones() -> None:
    """An error that names a size of the data is another on twice as many; one that does not is of the option alone."""
    def build(setting: Setting, seed: int, most: int) -> Random:
        at_least("most", most, 1)
        if most > (num_items := setting.data["item"].num_nodes):
            raise ValueError(expected("most", f"at most {num_items}", most))
        return Random(num_items=num_items)

    method = Method("few", build)
    for most in (1, 40, 60, 1000):
        _try_options(method, 0.1, 0, {"most": most})
    with pytest.raises(ValueError, match="`most` must be at least 1, got 0"):
        _try_options(method, 0.1, 0, {"most": 0})
    with pytest.raises(ValueError, match="`--set` must be options of few, got .*other"):
        _try_options(method, 0.1, 0, {"most": 1, "other": 2})
    _try_options(Method("timed", build, needs=("time",)), 0.1, 0, {"most": 0})  # few data are without


@pytest.mark.parametrize("name", ["DQN-R", "dqn-r", "dqnr", "DqnR"])
def test_an_agent_goes_by_any_spelling(name: str) -> None:
    assert method_called(name).name == "DQN-R"


def test_a_folder_of_an_unknown_agent_is_named(said: Said) -> None:
    with pytest.raises(ValueError, match="must be one of kgrl.agents, got 'EpisodeReplay'"):
        loaded(Path("."), "EpisodeReplay", DATASETS["synthetic"]("data/synthetic")[0])


def test_audit_of_a_data_set_and_of_a_folder(said: Said) -> None:
    audit = audit_links(DATASETS["synthetic"]("data/synthetic")[0], seed=0)
    code, out, err = said("audit", "synthetic")
    assert (code, err) == (0 if audit.sound else 1, "")
    assert out.splitlines()[0] == str(audit)
    folder = Path("films")
    folder.mkdir()
    rows = [(user, item, 5 if item % 4 == user % 4 else 1) for user in range(40) for item in range(40)
            if (7 * user + item) % 3]
    pd.DataFrame(rows, columns=["user_id:token", "item_id:token", "rating:float"]).to_csv(
        folder / "films.inter", sep="\t", index=False)
    for kinds, sound in (([item % 4 for item in range(40)], True), ([item // 10 for item in range(40)], False)):
        pd.DataFrame([(f"e{item}", "kind", f"k{kinds[item]}") for item in range(40)],
                     columns=["head_id:token", "relation_id:token", "tail_id:token"]).to_csv(
            folder / "films.kg", sep="\t", index=False)
        pd.DataFrame([(item, f"e{item}") for item in range(40)], columns=["item_id:token", "entity_id:token"]).to_csv(
            folder / "films.link", sep="\t", index=False)
        code, out, err = said("audit", "films")
        assert (code, err) == (0 if sound else 1, "")
        assert ("the links carry meaning" in out) == sound


def test_tables_are_listed_run_once_and_shown(said: Said) -> None:
    code, out, _ = said("tables")
    assert code == 0
    assert "kgqr-table3" in out
    words = ("tables", "kgqr-table3", "--worlds", "synthetic/planted", "--etas", "0.1", "--methods", "Popularity",
             "--seeds", "0")
    code, out, err = said(*words)
    assert (code, err) == (0, "")
    assert "Popularity, seed 0: reward" in out
    (cell,) = Path("runs/tables").rglob("popularity/seed-0.json")
    reward = json.loads(cell.read_text())["scores"]["reward"]
    assert f"{reward:.4f}" in out
    written = cell.stat().st_mtime_ns
    assert said(*words)[0] == 0
    assert cell.stat().st_mtime_ns == written
    code, out, _ = said(*words, "--show")
    assert code == 0
    assert "seed 0: reward" not in out
    assert f"{reward:.4f}" in out
