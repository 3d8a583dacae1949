"""How the house is built: how long a file is, what ``kgrl/agents`` lists, and by which name docstrings call a part.

Which part may import which, and what an import must not load, is in ``test_imports.py``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from kgrl import agents

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 250
# ``kgrl.agents`` hands it out, as it always has; it is no method, and lives in ``kgrl/agents/q_learning``
NO_METHODS = {"EpisodeReplay"}
MAKERS = {"arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randint", "randn", "randperm",
          "sparse_coo_tensor", "sparse_csr_tensor", "tensor", "tril_indices", "triu_indices", "zeros"}
# a role of Sphinx, its target written out or behind a title: :class:`~kgrl.nn.KGConv`, :meth:`of <kgrl.nn.KGConv.of>`
ROLE = re.compile(r":(?:class|func|meth|attr|data):`(?:[^`<]*<)?~?(kgrl\.[\w.]+)>?`")


def sources(root: Path) -> list[Path]:
    """The files of the package under ``root``."""
    return sorted((root / "kgrl").rglob("*.py"))


def too_long(root: Path) -> list[str]:
    """The files of more than ``LONGEST`` lines, with their length."""
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sources(root)}
    return [f"{file.relative_to(root)} has {length} lines, more than {LONGEST}: split it by idea"
            for file, length in lengths.items() if length > LONGEST]


def methods(root: Path, public: Collection[str]) -> dict[str, list[str]]:
    """File of ``kgrl/agents`` → the classes in it that are ``public``."""
    files = sorted((root / "kgrl" / "agents").glob("*.py"))
    trees = {file.stem: ast.parse(file.read_text(encoding="utf-8")) for file in files if file.stem != "__init__"}
    return {stem: [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.name in public]
            for stem, tree in trees.items()}


def longer_than_needed(file: Path) -> Iterator[str]:
    """The roles in ``file`` that name the file of something its room hands out, as "as written: shorter"."""
    for name in ROLE.findall(file.read_text(encoding="utf-8")):
        room, rest = name.split(".")[1], name.split(".")[2:]
        if (ROOT / "kgrl" / room / "__init__.py").is_file():
            public = getattr(import_module(f"kgrl.{room}"), "__all__", ())
            place = next((place for place, part in enumerate(rest) if part in public), 0)
            if place:
                yield f"{name}: {'.'.join(['kgrl', room, *rest[place:]])}"


def made_anywhere(source: str) -> Iterator[int]:
    """The lines of a source where a tensor is made without saying on which device, so that the default one decides.

    As everywhere in PyTorch, the default decides where a layer has its parameters: ``Parameter(…)`` does not count.
    """
    tree = ast.parse(source)
    parameters = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Call)
                  and ast.unparse(node.func).endswith("Parameter") for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if (isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("torch.") in MAKERS
                and ast.unparse(node.func).startswith("torch.") and id(node) not in parameters
                and not any(word.arg == "device" for word in node.keywords)):
            yield node.lineno


def test_no_file_is_long() -> None:
    assert not too_long(ROOT), "\n".join(too_long(ROOT))


def test_a_long_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "kgrl" / "nn").mkdir(parents=True)
    (tmp_path / "kgrl" / "nn" / "fits.py").write_text("x = 1\n" * LONGEST)
    assert not too_long(tmp_path)
    (tmp_path / "kgrl" / "nn" / "grown.py").write_text("x = 1\n" * (LONGEST + 1))
    (found,) = too_long(tmp_path)
    assert "grown.py has 251 lines" in found


def test_every_tensor_is_made_on_a_device_that_is_said() -> None:
    found = [f"{file.relative_to(ROOT)}:{line} leaves the device to torch.set_default_device"
             for file in sources(ROOT) if "experiments" not in file.parts
             for line in made_anywhere(file.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_a_tensor_made_anywhere_is_seen() -> None:
    source = ("torch.zeros(2, device=x.device)\nnn.Parameter(0.1 * torch.randn(3))\nx.new_zeros(2)\n"
              "torch.cat([torch.ones(\n    2)])\ntorch.as_tensor(x)\nzeros(2)")
    assert sorted(made_anywhere(source)) == [4, 6]


def test_the_files_of_agents_are_the_methods() -> None:
    """One agent each, which ``kgrl.agents`` hands out under the name that the file has."""
    found = methods(ROOT, agents.__all__)
    assert {stem: classes for stem, classes in found.items() if len(classes) != 1} == {}
    assert sorted(agents.__all__) == sorted([*NO_METHODS, *(classes[0] for classes in found.values())])
    for stem, (name,) in found.items():
        inside = vars(import_module(f"kgrl.agents.{stem}")).values()
        acting = [each for each in inside if isinstance(each, type) and each.__module__ == f"kgrl.agents.{stem}"
                  and hasattr(each, "act")]
        assert acting == [getattr(agents, name)]
        assert stem.replace("_", "") == name.lower()


@pytest.mark.parametrize("name", sorted(NO_METHODS))
def test_what_is_no_method_lives_below(name: str) -> None:
    assert getattr(agents, name).__module__.count(".") == 3
    assert name in agents.__all__


@pytest.mark.parametrize("source", ["class KGQR: ...\nclass TPGR: ...", "def helper(): ...", "class Helper: ..."])
def test_a_file_of_agents_that_is_no_method_is_seen(tmp_path: Path, source: str) -> None:
    (tmp_path / "kgrl" / "agents").mkdir(parents=True)
    (tmp_path / "kgrl" / "agents" / "__init__.py").touch()
    (tmp_path / "kgrl" / "agents" / "kgqr.py").write_text(source)
    (classes,) = methods(tmp_path, agents.__all__).values()
    assert len(classes) != 1


def test_docstrings_call_a_part_by_its_public_name() -> None:
    found = [f"{file.relative_to(ROOT)} {role}" for file in sources(ROOT) for role in longer_than_needed(file)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("role", "better"), [
    (":class:`kgrl.nn.conv.kg_conv.KGConv`", ["kgrl.nn.conv.kg_conv.KGConv: kgrl.nn.KGConv"]),
    (":meth:`~kgrl.agents.tpgr.TPGR.load`", ["kgrl.agents.tpgr.TPGR.load: kgrl.agents.TPGR.load"]),
    (":meth:`Simulator <kgrl.simulator.simulator.Simulator>`",
     ["kgrl.simulator.simulator.Simulator: kgrl.simulator.Simulator"]),
    (":class:`kgrl.nn.KGConv`, :func:`kgrl.graph.knowledge_graph`, :class:`kgrl.nn.policy.next_item.NextItem`", []),
])
def test_a_role_that_is_longer_than_needed_is_seen(tmp_path: Path, role: str, better: list[str]) -> None:
    (tmp_path / "a.py").write_text(f'"""{role}"""')
    assert list(longer_than_needed(tmp_path / "a.py")) == better
