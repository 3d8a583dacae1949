"""The one-way flow of the package: which part may import which, read off the source with ``ast``.

The table is the architecture. An arrow it does not hold is a decision to take with care, here first.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# part → the parts it may import, beside its own files and the leaves
MAY_IMPORT: dict[str, set[str]] = {
    "histories": set(),
    "sessions": {"histories"},
    "datasets": set(),
    "graph_parts": set(),
    "graph": {"graph_parts"},
    "tree": set(),
    "pretrain": {"graph", "factorization", "nn"},  # nn.taste: the model of ratings that it fits
    "candidates": {"graph"},
    "nn": {"tree"},
    "simulator": {"graph", "sessions", "factorization"},
    "presets": set(),
    "agents": {"nn", "candidates", "tree", "pretrain", "graph", "sessions", "presets"},
    "export": {"agents", "candidates", "nn"},
    "rollout": {"sessions"},
    "evaluate": {"rollout", "sessions"},
    "plots": {"graph", "tree", "sessions"},
    "train": {"rollout", "evaluate", "sessions"},
}
# leaves: everything may import these; each names the leaves it stands on itself
LEAVES: dict[str, set[str]] = {"version": set(), "options": set(), "objects": {"options"},
                                "seeding": {"objects", "options"}, "rating_scale": {"objects", "options"},
                                "files": {"objects", "options", "sealed"}, "sealed": set(),
                                "locks": {"objects", "options"}, "significance": {"options"},
                                "raw_ids": {"options", "texts"}, "texts": set(), "parts": {"options"}}
MAY_IMPORT = {part: allowed | LEAVES.keys() for part, allowed in MAY_IMPORT.items()} | LEAVES
MAY_IMPORT["factorization"] = set(LEAVES)
MAY_IMPORT["experiments"] = set(MAY_IMPORT)
MAY_IMPORT["cli"] = set(MAY_IMPORT)
MAY_IMPORT["__init__"] = set(MAY_IMPORT)

# the same within a part that has rooms: "agents" itself is its methods, one file each
ROOMS: dict[str, set[str]] = {
    "agents": {"agents/q_learning", "agents/policy_gradient", "agents/state", "agents/shared"},
    "agents/q_learning": {"agents/state", "agents/shared"},
    "agents/policy_gradient": {"agents/state", "agents/shared"},
    "agents/state": {"agents/shared"},
    "agents/shared": set(),
    "nn/conv": set(),
    "nn/state": set(),
    "nn/policy": {"nn/state"},
}

# too slow or too rarely needed to come along with an import: loaded by the functions that need them
LATE = {"faiss", "gymnasium", "lightning", "matplotlib", "onnx", "onnxscript", "optuna", "pykeen", "sklearn",
        "tensorboard"}


def module_name(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts)


def imported_names(file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything of kgrl that ``file`` imports, wherever in the file it does."""
    package = module_name(file, root).split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "kgrl")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.split(".")[0] == "kgrl":
                yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def imported_file(name: str, root: Path) -> Path:
    """The file that ``name`` is taken from: a module, or the ``__init__`` of the innermost package on the way."""
    path = root
    for part in name.split("."):
        if (path / f"{part}.py").is_file():
            return path / f"{part}.py"
        if not (path / part).is_dir():
            break
        path = path / part
    return path / "__init__.py"


def arrows(root: Path) -> Iterator[tuple[Path, int, Path]]:
    """(importing file, line, imported file) for the package under ``root``."""
    for file in sorted((root / "kgrl").rglob("*.py")):
        for line, name in imported_names(file, root):
            yield file, line, imported_file(name, root)


def part_of(file: Path, root: Path) -> str:
    """The row of the table that a file belongs to."""
    return file.relative_to(root / "kgrl").with_suffix("").parts[0]


def room_of(file: Path, root: Path) -> str:
    """The room of a file: its folder below ``kgrl``."""
    return file.relative_to(root / "kgrl").parent.as_posix()


def violations(root: Path) -> list[str]:
    """Every arrow against the table, as ``file:line what is wrong``."""
    found = [
        f"{file.relative_to(root)} has no row in the table of {Path(__file__).name}"
        for file in sorted((root / "kgrl").rglob("*.py"))
        if part_of(file, root) not in MAY_IMPORT
    ]
    for file, line, target in arrows(root):
        part, other = part_of(file, root), part_of(target, root)
        where = f"{file.relative_to(root)}:{line}"
        if target.name == "__init__.py" and part != "__init__":
            found.append(f"{where} imports {target.relative_to(root)}: import the file that defines the name")
        elif part != other and other not in MAY_IMPORT.get(part, set()):
            found.append(f"{where} {part} may not import {other}")
        elif part == other and file.name != "__init__.py":
            room, there = room_of(file, root), room_of(target, root)
            if room != there and there not in ROOMS.get(room, set()):
                found.append(f"{where} {room} may not import {there}")
    return found


def first_loop(root: Path) -> list[str]:
    """The files of an import loop; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for file, _, target in arrows(root):
        graph.setdefault(module_name(file, root), set()).add(module_name(target, root))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_arrow_against_the_table() -> None:
    assert not violations(ROOT), "\n".join(violations(ROOT))


def test_no_import_loop_between_files() -> None:
    assert not first_loop(ROOT)


def test_the_table_itself_is_one_way() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()
    TopologicalSorter(ROOMS).prepare()


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("agents/a.py", "import kgrl.simulator.simulator", "agents/a.py:1 agents may not import simulator"),
        ("agents/a.py", "import kgrl.train", "agents may not import train"),
        ("simulator/a.py", "from kgrl.agents.kgqr import KGQR", "simulator may not import agents"),
        ("nn/a.py", "def f():\n    from kgrl.graph import knowledge_graph", "nn/a.py:2 nn may not import graph"),
        ("nn/a.py", "from ..graph import knowledge_graph", "nn may not import graph"),
        ("nn/a.py", "from kgrl.factorization import Factors", "nn may not import factorization"),
        ("options.py", "from kgrl.files import digest", "options may not import files"),
        ("sessions.py", "from kgrl import graph", "sessions may not import graph"),
        ("nn/a.py", "from kgrl.nn import KGConv", "nn/a.py:1 imports kgrl/nn/__init__.py"),
        ("nn/a.py", "from . import KGConv", "imports kgrl/nn/__init__.py"),
        ("agents/a.py", "from kgrl.nn import KGConv", "agents/a.py:1 imports kgrl/nn/__init__.py"),
        ("agents/shared/a.py", "import kgrl.agents.kgqr", "agents/shared/a.py:1 agents/shared may not import agents"),
        ("agents/shared/a.py", "import kgrl.agents.state.b", "agents/shared may not import agents/state"),
        ("nn/a.py", "import kgrl", "imports kgrl/__init__.py"),
        ("nn/a.py", "from kgrl import __version__", "imports kgrl/__init__.py"),
        ("utils.py", "", "kgrl/utils.py has no row"),
    ],
)
def test_an_arrow_against_the_table_is_seen(tmp_path: Path, file: str, source: str, complaint: str) -> None:
    assert not violations(small_package(tmp_path))
    (tmp_path / "kgrl" / file).write_text(source)
    (found,) = violations(tmp_path)
    assert complaint.replace("/", os.sep) in found


def test_a_loop_is_seen(tmp_path: Path) -> None:
    small_package(tmp_path)
    (tmp_path / "kgrl" / "nn" / "conv.py").write_text("from kgrl.nn.encoder import KGEncoder")
    (tmp_path / "kgrl" / "nn" / "encoder.py").write_text("from kgrl.nn.conv import KGConv")
    assert {"kgrl.nn.conv", "kgrl.nn.encoder"} <= set(first_loop(tmp_path))


def small_package(root: Path) -> Path:
    """A package that keeps every rule."""
    files = {
        "__init__": "from kgrl.nn import KGConv",
        "options": "", "files": "from kgrl.options import expected", "graph": "", "factorization": "", "train": "",
        "nn/__init__": "from kgrl.nn.conv import KGConv", "nn/conv": "import torch\nfrom kgrl.options import expected",
        "nn/encoder": "from .conv import KGConv",
        "pretrain": "from kgrl.factorization import Factors\nfrom kgrl import graph",
        "simulator/__init__": "", "simulator/simulator": "from kgrl.files import digest",
        "agents/__init__": "", "agents/kgqr": "from kgrl.nn.conv import KGConv\nfrom kgrl.agents.state.b import B",
        "agents/shared/__init__": "", "agents/state/__init__": "", "agents/state/b": "",
    }  # fmt: skip
    for name, source in files.items():
        path = root / "kgrl" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


def run_fresh(script: str, home: Path) -> str:
    """What ``script`` prints in a new interpreter with an empty home folder."""
    env = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    for name in ("PYSTOW_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        env.pop(name, None)
    command = [sys.executable, "-B", "-c", script]
    result = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_is_light_and_leaves_no_trace(tmp_path: Path) -> None:
    """No slow library, no drawn random number, no word on the screen, nothing in the home folder."""
    files = [*(ROOT / "kgrl").glob("*.py"), *(ROOT / "kgrl").rglob("*/__init__.py")]
    modules = sorted(module_name(file, ROOT).removesuffix(".__init__") for file in files)
    assert {"kgrl", "kgrl.nn", "kgrl.pretrain", "kgrl.sessions"} <= set(modules)
    script = f"""
import importlib, random, sys
import numpy, torch, torch_geometric
states = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
for name in {modules}:
    importlib.import_module(name)
assert states == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
print(sorted({LATE} & sys.modules.keys()))
"""
    assert run_fresh(script, tmp_path) == "[]"
    assert not list(tmp_path.iterdir())
