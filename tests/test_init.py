"""The names at the top of the package: lazy, light, the same for readers, type checkers and ``dir``."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kgrl
from kgrl.evaluate import evaluate as the_function

SOURCE = Path(kgrl.__file__)


def test_type_checkers_see_what_is_loaded_late() -> None:
    """Each name from the same module, once."""
    imports = [node for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))) if
               isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("kgrl.")]
    seen = {alias.name: node.module for node in imports for alias in node.names if alias.name != "__version__"}
    assert seen == kgrl._HOME


@pytest.mark.parametrize("name", kgrl.__all__)
def test_every_name_is_there(name: str) -> None:
    assert not inspect.ismodule(getattr(kgrl, name))


def test_dir_and_rooms() -> None:
    assert {*kgrl.__all__, *kgrl._ROOMS} == set(dir(kgrl))
    found = {file.stem for file in SOURCE.parent.glob("*.py")} | {file.parent.name for file in
                                                                  SOURCE.parent.glob("*/__init__.py")}
    assert set(kgrl._ROOMS) <= found
    assert all(inspect.ismodule(getattr(kgrl, room)) for room in kgrl._ROOMS)
    with pytest.raises(AttributeError, match="module 'kgrl' has no attribute 'KGQRR'; it has .*KGQR"):
        kgrl.KGQRR  # noqa: B018


def test_evaluate_is_the_function_whatever_was_imported_before() -> None:
    from kgrl import evaluate

    assert evaluate is the_function
    assert kgrl.evaluate is the_function


def test_evaluate_whatever_is_imported_first() -> None:
    """In a new process, where kgrl is imported anew in three ways, and what it stands on once."""
    script = """
import inspect, sys
for first in ("import kgrl.evaluate", "import kgrl.train", "import kgrl"):
    for name in [name for name in sys.modules if name.partition(".")[0] == "kgrl"]:
        del sys.modules[name]
    exec(first)
    from kgrl import TPGR, evaluate
    from kgrl.evaluate import compare
    import kgrl
    assert inspect.isfunction(evaluate) and kgrl.nn.KGConv and callable(compare), first
print("done")
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=SOURCE.parents[1], capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr


def test_the_top_is_light() -> None:
    script = "import sys, kgrl; dir(kgrl); assert not {'torch', 'numpy', 'torch_geometric'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=SOURCE.parents[1])
