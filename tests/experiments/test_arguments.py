import json
from argparse import ArgumentParser

import pytest

import kgrl.experiments.methods  # noqa: F401 (makes the methods known)
from kgrl.experiments.arguments import (
    agent_options,
    device_name,
    known,
    methods_named,
    number_from,
    own_file,
    whole_from,
    world_name,
)
from kgrl.experiments.result_tables import table_of


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
    found = agent_options(ArgumentParser(), pairs, [agent], ("kg", "seed"))
    assert found == {"gamma": 0.8, "target": "a=b", "backfill": ["random", 5]}
    assert json.loads(json.dumps(found)) == found
    assert agent_options(ArgumentParser(), [], [agent], ()) == {}


def test_options_of_a_method_that_hands_on_the_others(capsys):
    def from_data(data, taste=0, **options):
        return agent(data, **options)

    found = agent_options(ArgumentParser(), ["taste=4", "gamma=0.8"], [agent, from_data], ("kg", "data"))
    assert found == {"taste": 4, "gamma": 0.8}
    last = said(capsys, lambda: agent_options(ArgumentParser(), ["options=1"], [agent, from_data], ()))
    assert "an option of the agent, got 'options'" in last


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
    assert said(capsys, lambda: agent_options(parser, [pair], [agent], ("kg", "seed"))) == f"script: error: {text}"


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
    ("ml-100k", "must be DATASET/WORLD, as in ml-100k/kgqr, got 'ml-100k'; worlds are kgqr, taste, heldout, "
                "logged, planted"),
    ("ml-10k/taste", "`dataset` must be a known name, got 'ml-10k'"),
    ("ml-100k/tast", "did you mean 'taste'?"),
    ("ml-100k/taste/eta-0", "`world` must be a world's name, perhaps followed by -users-SEED"),
    ("ml-100k/tast-new-0", "did you mean 'taste'?"),
    ("", "must be DATASET/WORLD"),
    ("ml-100k/planted", "must be a world that ml-100k has, got 'planted'; only synthetic has planted tastes"),
])
def test_what_is_no_world(given, text, capsys):
    parser = ArgumentParser()
    parser.add_argument("--worlds", nargs="+", type=world_name)
    message = said(capsys, lambda: parser.parse_args(["--worlds", given]))
    assert "argument --worlds: " in message
    assert text in message


@pytest.mark.parametrize("given", ["0", "0.25", "1e3"])
def test_numbers(given):
    assert number_from(0)(given) == float(given)


@pytest.mark.parametrize(("kind", "given", "text"), [
    (number_from(0), "nan", "must be a finite number of at least 0, got 'nan'"),
    (number_from(0), "inf", "must be a finite number of at least 0, got 'inf'"),
    (number_from(0.5), "0.4", "must be a finite number of at least 0.5, got '0.4'"),
    (number_from(0), "much", "must be a finite number of at least 0, got 'much'"),
    (known(table_of), "kgqr-tabel3", "did you mean 'kgqr-table3'?"),
    (own_file, "no/such.py", "must be a file, got 'no/such.py', which is none"),
    (device_name, "abacus", "must be a device of this machine, got 'abacus': Expected one of cpu"),
    (device_name, "meta", "must be a device of this machine, got 'meta': "),
    (device_name, "cuda:99", "must be a device of this machine, got 'cuda:99': "),
], ids=lambda value: getattr(value, "__name__", str(value)))
def test_what_is_refused(kind, given, text, capsys):
    parser = ArgumentParser()
    parser.add_argument("--it", type=kind)
    assert text in said(capsys, lambda: parser.parse_args([f"--it={given}"]))


def test_what_is_found(tmp_path):
    (tmp_path / "own.py").touch()
    assert own_file(str(tmp_path / "own.py")) == tmp_path / "own.py"
    assert device_name("cpu") == "cpu"
    assert known(table_of)("kgqr-table3") is table_of("kgqr-table3")


def test_methods(capsys):
    assert [method.name for method in methods_named(ArgumentParser(), ["KGQR", "Random"])] == ["KGQR", "Random"]
    assert said(capsys, lambda: methods_named(ArgumentParser(), ["KGQRR"])).endswith("did you mean 'KGQR'?")
