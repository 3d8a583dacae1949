"""An agent as a folder: it comes back the same, its card can be read by others, and what is wrong with it is named."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import kgrl.agents
from kgrl.agents import KGQR, TPGR, FixedList
from kgrl.agents.shared.pretrained import CARD, CONFIG, MODEL, read_config
from kgrl.evaluate import evaluate
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions
from tests.agents.every_agent import AGENTS, NEW, TRAIN, data, world

NAMES = ("KGQR, popular", "TPGR over the KG", "FixedList", "LinearUCB", "HLinearUCB", "DQNR", "DDPGKNN of some",
         "DDPGR", "GRU4Rec", "KGProfile", "GreedySVD", "LinearGaussian")


def given(agent: Any) -> tuple[Any, ...]:
    """What ``load`` wants beside the file."""
    return {KGQR: (knowledge_graph(data()),), TPGR: (data(), TRAIN)}.get(type(agent), ())


def past() -> Sessions:
    return Sessions.from_history([[], [3], [5, 2, 11]], [[], [1.0], [1.0, -1.0, 0.5]])


def test_every_agent_that_can_be_saved_is_here() -> None:
    known = {type(AGENTS[name]()).__name__ for name in NAMES}
    assert known == {name for name, each in vars(kgrl.agents).items() if hasattr(each, "save")}


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    agent: Any = AGENTS[name]()
    agent.save_pretrained(tmp_path / "agent", data=data())
    assert {path.name for path in (tmp_path / "agent").iterdir()} == {MODEL, CONFIG, CARD}
    agent.save(tmp_path / "alone")
    assert (tmp_path / "agent" / MODEL).read_bytes() == (tmp_path / "alone").read_bytes()  # the one format there is
    again = type(agent).from_pretrained(tmp_path / "agent", *given(agent))
    assert torch.equal(again.recommend(past(), k=6), agent.recommend(past(), k=6))
    assert agent.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(again.state_dict()[part], value) for part, value in agent.state_dict().items())
    assert read_config(tmp_path / "agent")["architectures"] == [type(agent).__name__]


@pytest.mark.parametrize("name", ["KGQR, popular", "TPGR", "FixedList"])
def test_the_code_of_the_card_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent: Any = AGENTS[name]()
    agent.save_pretrained(tmp_path / "agent", data=data())
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "agent" / CARD).read_text(encoding="utf-8"), re.DOTALL)
    ran: dict[str, Any] = {"data": data(), "users": TRAIN, "past": past()}
    exec(code, ran)
    assert torch.equal(ran["agent"].recommend(past(), k=6), agent.recommend(past(), k=6))


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an agent with everything told."""
    folder = tmp_path_factory.mktemp("cards") / "a | list: \"quoted\""
    agent, played = FixedList.from_ratings(data(), TRAIN), world()
    agent.restrict(NEW)
    made = data().clone()
    made.provenance = {"name": "Films: the \"best\" | ones", "files": {"a.inter": "12ab"}, "after": {"users": 24_000}}
    scores = evaluate(agent, played, TRAIN)
    agent.save_pretrained(folder, data=made, scores=scores, bounds=played.bounds(TRAIN, TRAIN), license="mit",
                          tags=["films", "kgrl"], training={"interactions": 1_024, "seed": 3, "world": "logged: true"})
    return folder / CARD


def header(path: Path) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    _, top, page = path.read_text(encoding="utf-8").split("---\n", 2)
    assert page
    return dict(yaml.safe_load(top))


def test_the_header_is_yaml_with_what_the_hub_wants(card: Path) -> None:
    found = header(card)
    assert (found["license"], found["library_name"]) == ("mit", "kgrl")
    assert found["tags"][:2] == ["kgrl", "fixedlist"]
    assert found["tags"].count("kgrl") == 1
    assert found["tags"][-1] == "films"
    assert found["metrics"] == ["reward", "precision", "recall", "f1"]
    (result,) = found["model-index"][0]["results"]
    config = json.loads((card.parent / CONFIG).read_text(encoding="utf-8"))
    assert {each["type"]: each["value"] for each in result["metrics"]} == config["scores"]["agent"]


def test_the_hubs_own_library_reads_it(card: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    found = hub.ModelCard.load(card).data
    assert (found.library_name, found.license) == ("kgrl", "mit")
    assert [result.metric_type for result in found.eval_results] == ["reward", "precision", "recall", "f1"]


def test_the_page_tells_data_scores_bounds_and_training(card: Path) -> None:
    page = card.read_text(encoding="utf-8")
    assert "Films: the \"best\" | ones: 24,000 users." in page
    assert "| a.inter (SHA-256) | `12ab` |" in page
    played, agent = world(), FixedList.from_ratings(data(), TRAIN)
    agent.restrict(NEW)
    scores = evaluate(agent, played, TRAIN)
    assert f"| **this agent** | {scores.reward:.4f} | {scores.precision:.4f} |" in page
    bounds = played.bounds(TRAIN, TRAIN)
    for line in bounds.lines:
        assert f"| {line} | {bounds.metrics(line)['reward']:.4f} |" in page
    assert '| interactions | 1024 |\n| seed | 3 |\n| world | "logged: true" |' in page


def test_a_card_without_anything_told_is_one_too(tmp_path: Path) -> None:
    FixedList(torch.arange(4)).save_pretrained(tmp_path)
    assert header(tmp_path / CARD).keys() == {"license", "library_name", "tags"}
    assert header(tmp_path / CARD)["license"] == "unknown"
    page = (tmp_path / CARD).read_text(encoding="utf-8")
    assert "## How to load it" in page
    assert "## Scores" not in page


def test_the_card_of_an_agent_of_ones_own_says_where_it_is_and_what_its_parent_says(tmp_path: Path) -> None:
    class Least(FixedList):
        pass

    Least(torch.arange(4)).save_pretrained(tmp_path)
    page = (tmp_path / CARD).read_text(encoding="utf-8")
    assert f"from {__name__} import Least" in page
    assert FixedList.__doc__.splitlines()[0] in page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FixedList(torch.arange(4)).save_pretrained(tmp_path / "list")
    return tmp_path / "list"


@pytest.mark.parametrize("name", [MODEL, CONFIG])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} does not exist; expected a folder with"):
        FixedList.from_pretrained(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; expected a folder with model.safetensors"):
        FixedList.from_pretrained(tmp_path / "nowhere")


def test_every_bit_of_the_model_is_checked(folder: Path) -> None:
    content = (folder / MODEL).read_bytes()
    for place in range(0, len(content), 7):
        (folder / MODEL).write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(ValueError, match=f"{MODEL} is not the file that config.json beside it was written with"):
            FixedList.from_pretrained(folder)


@pytest.mark.parametrize(("text", "message"), [
    ("{", "config.json is no whole JSON file"),
    ("[]", "config.json` must be the configuration of one agent of kgrl, got None"),
    ('{"library_name": "transformers", "architectures": ["Bert"]}', "got .*Bert.*; it was written by another library"),
    ('{"library_name": "kgrl", "architectures": []}', "must be the configuration of one agent"),
    ('{"library_name": "kgrl", "architectures": ["FixedList"]}', "is not the file that config.json beside it"),
])
def test_a_config_that_is_none_is_named(folder: Path, text: str, message: str) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(ValueError, match=message):
        FixedList.from_pretrained(folder)


def test_another_agent_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="holds a FixedList, no KGQR: kgrl.agents.FixedList.from_pretrained reads it"):
        KGQR.from_pretrained(folder, knowledge_graph(data()))


def test_two_saves_do_not_mix(folder: Path, tmp_path: Path) -> None:
    FixedList(torch.tensor([3, 2, 1, 0])).save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / MODEL, folder / MODEL)
    with pytest.raises(ValueError, match="or the two are of different saves"):
        FixedList.from_pretrained(folder)
    FixedList(torch.tensor([2, 0, 1, 3])).save_pretrained(folder)  # over what was there
    assert FixedList.from_pretrained(folder).recommend(past().rows(torch.tensor([0])), k=2).tolist() == [[2, 0]]


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"data": 3}, TypeError, "`data` must be a HeteroData"),
    ({"scores": 0.5}, TypeError, "`scores` must be what kgrl.evaluate.evaluate gives, got 'float'"),
    ({"bounds": 0.5}, ValueError, "`scores` must be given with `bounds`"),
    ({"training": {"when": {1}}}, TypeError, "`training` must be plain values by name"),
    ({"training": 3}, TypeError, "`training` must be a Mapping"),
    ({"license": None}, TypeError, "`license` must be a str"),
    ({"tags": [3]}, TypeError, "`tags` must be a str"),
])
def test_bad_options_are_named_and_nothing_is_written(tmp_path: Path, options, kind, message) -> None:
    with pytest.raises(kind, match=message):
        FixedList(torch.arange(4)).save_pretrained(tmp_path / "list", **options)
    assert not (tmp_path / "list").exists()


def test_bounds_of_other_users_are_refused(tmp_path: Path) -> None:
    played, agent = world(), FixedList.from_ratings(data(), TRAIN)
    with pytest.raises(ValueError, match="`bounds` must be of the 24 users of the scores, got 3"):
        agent.save_pretrained(tmp_path, scores=evaluate(agent.restrict(NEW), played, TRAIN),
                              bounds=played.bounds(TRAIN[:3], TRAIN))


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file; save_pretrained writes a folder"):
        FixedList(torch.arange(4)).save_pretrained(tmp_path / "file")


# ------------------------------------------------------------------------------------------------------- the Hub

@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What an API of the Hub that reaches nobody was asked for, in order."""
    hub, asked = pytest.importorskip("huggingface_hub"), []

    class NoApi:
        def __init__(self, token: str | None = None) -> None:
            asked.append(token)

        def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
            asked.append((repo_id, private, exist_ok))

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
            files = {path.name: path.read_bytes() for path in folder_path.iterdir()}
            asked.append((repo_id, commit_message, folder_path, files))
            return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    for name in ("create_repo", "upload_folder"):  # what the real one takes
        assert inspect.signature(getattr(NoApi, name)).parameters.keys() <= inspect.signature(
            getattr(hub.HfApi, name)).parameters.keys()
    monkeypatch.setattr(hub, "HfApi", NoApi)
    return asked


def test_the_hub_is_sent_the_folder_of_save_pretrained(sent: list[Any], tmp_path: Path) -> None:
    agent = FixedList(torch.arange(4))
    address = agent.push_to_hub("me/list", private=True, token="secret", message="First", license="mit", tags=["films"])
    assert address == "https://hub/me/list/commit/1"
    token, made, (repo, message, folder, files) = sent
    assert (token, made, repo, message) == ("secret", ("me/list", True, True), "me/list", "First")
    agent.save_pretrained(tmp_path / "list", license="mit", tags=["films"])
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "list").iterdir()}
    assert not any(b"secret" in content for content in files.values())
    assert not folder.exists()


@pytest.mark.parametrize(("repo", "options", "kind", "message"), [
    ("list", {}, ValueError, "`repo_id` must be owner/name, got 'list'"),
    ("me/", {}, ValueError, "`repo_id` must be owner/name"),
    ("me/my/list", {}, ValueError, "`repo_id` must be owner/name"),
    ("me/..", {}, ValueError, "`repo_id` must be owner/name"),  # or the folder would be that of all temporary files
    (3, {}, TypeError, "`repo_id`"),
    ("me/list", {"scores": 3}, TypeError, "`scores`"),
    ("me/list", {"folder": "x"}, TypeError, "folder"),
])
def test_nothing_is_sent_with_bad_options(sent: list[Any], repo: Any, options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        FixedList(torch.arange(4)).push_to_hub(repo, **options)
    assert sent == []


def test_without_the_hubs_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.agents.shared.pretrained.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'kgrl\[hub\]'"):
        FixedList(torch.arange(4)).push_to_hub("me/list")
