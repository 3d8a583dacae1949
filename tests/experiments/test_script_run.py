

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from kgrl.experiments.script_run import LONGEST, peak_gib, run_folder


def folder(*typed: str) -> Path:
    parser = ArgumentParser()
    parser.add_argument("--aggregator", default="mean")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--ratings", type=Path)
    for where in ("--out", "--data", "--source"):
        parser.add_argument(where)
    return run_folder(parser, parser.parse_args(typed), "kgqr")


def test_the_plain_command_has_the_plain_folder() -> None:
    assert folder() == folder("--data", "a", "--source", "b") == folder("--aggregator", "mean") == Path("runs/kgqr")


def test_options_are_in_the_name() -> None:
    assert folder("--aggregator", "gat") == Path("runs/kgqr-aggregator-gat")
    assert folder("--set", "gamma=0.8", "--set", "lr=1") == Path("runs/kgqr-set-gamma=0.8,lr=1")


@pytest.mark.parametrize(("first", "second"), [
    (("--ratings", "a/b"), ("--ratings", "a b")),
    (("--set", "x" * 300), ("--set", "x" * 301)),
    (("--set", "a=1"), ("--set", "a=2")),
])
def test_no_two_commands_share_a_folder(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert folder(*first) != folder(*second)
    assert max(len(folder(*typed).name) for typed in (first, second)) <= LONGEST + 9
    assert len(folder(*first).parts) == 2


def test_the_peak_of_this_process_is_told() -> None:
    before = peak_gib()
    kept = bytearray(200 << 20)
    assert 0 < before <= peak_gib() < 100
    assert peak_gib() >= len(kept) / 2**30


def test_windows_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # importing it fails
    assert math.isnan(peak_gib())
