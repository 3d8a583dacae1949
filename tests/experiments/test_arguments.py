import json
from argparse import ArgumentParser

import pytest

from kgrl.experiments.arguments import agent_options, whole_from, world_name


def agent(kg, *, seed=0, gamma=0.5, backfill=None, target="head"):
    """Stands for an agent's class."""


def said(capsys, work):
    """The last line of what ``work`` says when it ends the script."""
    with pytest.raises(SystemExit) as ended:
        work()
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_agent_options():
    pairs = ["gamma=0.8", 'target="a=b"', "backfill=[\"random\", 5]"]
    found = agent_options(ArgumentParser(), pairs, agent, ("kg", "seed"))
    assert found == {"gamma": 0.8, "target": "a=b", "backfill": ["random", 5]}
    assert json.loads(json.dumps(found)) == found
    assert agent_options(ArgumentParser(), [], agent, ()) == {}


@pytest.mark.parametrize(("pair", "text"), [
    ("gamma", "`--set` must be NAME=VALUE, as in gamma=0.8, got 'gamma'"),
    ("gamma=abc", "`--set gamma` must be a number, true, false, null, a \"quoted text\" or a [list], got 'abc'"),
    ("gamma=", "`--set gamma` must be a number, true, false, null, a \"quoted text\" or a [list], got ''"),
    ("gama=0.8", "`--set` must be an option of the agent, got 'gama'; choose from backfill, gamma, target; did you "
                 "mean 'gamma'?"),
    ("seed=3", "`--set` must be an option that the script does not give the agent itself, got 'seed'; see --help for "
               "the script's own"),
])
def test_what_set_cannot_be(pair, text, capsys):
    parser = ArgumentParser(prog="script")
    assert said(capsys, lambda: agent_options(parser, [pair], agent, ("kg", "seed"))) == f"script: error: {text}"


@pytest.mark.parametrize("given", ["3", "1_000", "+7"])
def test_whole_numbers(given):
    assert whole_from(3)(given) == int(given)


@pytest.mark.parametrize("given", ["2", "0", "-5", "3.5", "many", "", "--5"])
def test_what_is_no_whole_number(given, capsys):
    parser = ArgumentParser()
    parser.add_argument("--count", type=whole_from(3))
    message = said(capsys, lambda: parser.parse_args([f"--count={given}"]))
    assert message.endswith(f"argument --count: must be a whole number of at least 3, got {given!r}")


def test_worlds():
    assert world_name("ml-100k/heldout") == "ml-100k/heldout"


@pytest.mark.parametrize(("given", "text"), [
    ("ml-100k", "must be DATASET/WORLD, as in ml-100k/kgqr, got 'ml-100k'; worlds are kgqr, taste, heldout, logged"),
    ("ml-10k/taste", "`dataset` must be a known name, got 'ml-10k'"),
    ("ml-100k/tast", "did you mean 'taste'?"),
    ("ml-100k/taste/eta-0", "`world` must be a known name, got 'taste/eta-0'"),
    ("", "must be DATASET/WORLD"),
])
def test_what_is_no_world(given, text, capsys):
    parser = ArgumentParser()
    parser.add_argument("--worlds", nargs="+", type=world_name)
    message = said(capsys, lambda: parser.parse_args(["--worlds", given]))
    assert "argument --worlds: " in message
    assert text in message
