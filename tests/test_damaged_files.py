"""Campaigns against files: flipped bits, planted pickles, kills while writing, several processes in one folder.

``KGRL_FUZZ=10`` makes ten times as many tries.
"""

from __future__ import annotations

import ast
import multiprocessing
import os
import pickle
import random
import re
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kgrl.files import load_tensors, save_tensors
from kgrl.sealed import seal
from kgrl.train import fit
from tests.every_file import Read, alike, every_file
from tests.experiments.made_cells import made_cell
from tests.fuzzing import FORKS, forked, tries
from tests.small_runs import Notebook, small_world

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Read]:
    return list(every_file(tmp_path_factory.mktemp("every-file")))


def test_a_flipped_bit_is_refused_by_name_or_harmless(written: list[Read]) -> None:
    draw = random.Random(0)
    for file in written:
        content, right, refused = file.path.read_bytes(), file.read(), []
        for _ in range(tries(125)):
            place, bit = draw.randrange(len(content)), 1 << draw.randrange(8)
            file.path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of a file whose digest has lost its name
                    assert alike(file.read(), right), f"{file.path.name}: bit {bit} of byte {place} changes the content"
            except ValueError as error:
                refused.append(str(error))
        assert all(file.path.name in text for text in refused)
        file.path.write_bytes(content)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused_by_name(written: list[Read], keep: float) -> None:
    for file in written:
        content = file.path.read_bytes()
        file.path.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(ValueError, match=re.escape(file.path.name)):
            file.read()
        file.path.write_bytes(content)


class Planted:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_no_file_runs_code(written: list[Read], tmp_path: Path) -> None:
    mark, saved = tmp_path / "ran", tmp_path / "saved"
    torch.save({"x": Planted(mark)}, saved)
    pickled = pickle.dumps(Planted(mark))
    for file in written:
        content = file.path.read_bytes()
        for planted in (pickled, saved.read_bytes(), seal(pickled), seal(saved.read_bytes())):
            file.path.write_bytes(planted)
            with pytest.raises(ValueError, match=re.escape(file.path.name)) as refused:
                file.read()
            # PyTorch's own text says how to run it; a traceback shows what an error was raised from, too
            assert "Re-running" not in "".join(traceback.format_exception(refused.value)), file.path
            if planted == seal(saved.read_bytes()) and file.path.suffix == ".pt":
                assert "holds code or objects, not only tensors and plain values" in str(refused.value)
        file.path.write_bytes(content)
    assert not mark.exists()
    torch.load(saved, weights_only=False)  # it would have
    assert mark.exists()


@pytest.mark.parametrize("source", sorted(path.relative_to(ROOT).as_posix() for folder in ("kgrl", "examples")
                                          for path in (ROOT / folder).rglob("*.py")))
def test_no_source_reads_pickles(source: str) -> None:
    safe = {"torch": ("weights_only", True), "np": ("allow_pickle", False)}
    for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported = {getattr(node, "module", ""), *(alias.name for alias in node.names)}
            assert not imported & {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}, source
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = getattr(node.func.value, "id", "")
            assert node.func.attr != "read_pickle", source
            if node.func.attr == "load" and owner in safe:
                given = {each.arg: getattr(each.value, "value", None) for each in node.keywords}
                name, value = safe[owner]
                assert given.get(name) is value, f"{source}:{node.lineno}"


@FORKS
def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    draw, path = random.Random(0), tmp_path / "x.safetensors"

    def keep_writing(start: int) -> None:
        for number in range(start, start + 100_000):
            save_tensors(path, {"x": torch.full((20_000,), number)}, {"kind": "x", "number": number})
            made_cell("A", 0, [float(number % 7)] * 5).write(tmp_path)

    save_tensors(path, {"x": torch.full((20_000,), 0)}, {"kind": "x", "number": 0})
    number = 0
    for _ in range(tries(100)):
        pid = forked(lambda start=number: keep_writing(start))  # type: ignore[misc]
        time.sleep(draw.uniform(0.002, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        tensors, metadata = load_tensors(path, "x")
        assert metadata["number"] >= number
        number = metadata["number"]
        assert (tensors["x"] == number).all()
    save_tensors(path, {"x": torch.zeros(1)}, {"kind": "x"})
    cell = made_cell("A", 0, [1.0] * 5).write(tmp_path)
    assert sorted(each for each in tmp_path.rglob("*") if each.is_file()) == sorted([path, cell])


@FORKS
def test_four_processes_in_one_folder_are_right_or_refused_by_name(tmp_path: Path) -> None:
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "interactions": 240, "sessions": 5,
             "evaluate_every": 30}
    right = [row["reward"] for row in fit(Notebook(), small_world(), progress=False, **given)]
    for turn in range(tries(3)):
        folder = tmp_path / str(turn)
        outcomes: Any = multiprocessing.get_context("fork").SimpleQueue()

        def run(folder: Path = folder, outcomes: Any = outcomes) -> None:
            try:
                curve = fit(Notebook(), small_world(), checkpoint=folder, progress=False, **given)
                outcomes.put([row["reward"] for row in curve])
            except BlockingIOError as error:
                outcomes.put(str(error))

        processes = [forked(run) for _ in range(4)]
        assert [os.waitpid(pid, 0)[1] for pid in processes] == [0] * 4
        found = [outcomes.get() for _ in processes]
        assert right in found
        assert all(each == right or f"{folder} is in use by another run" in each for each in found)
