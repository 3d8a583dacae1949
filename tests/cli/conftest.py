"""A small made data set under the name "synthetic", and the command run in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kgrl.cli import main
from kgrl.datasets import SyntheticKGRec
from kgrl.experiments.data_sets import DATASETS

Said = Callable[..., tuple[int, str, str]]
"""``said("train", "kgqr", …)`` → exit code, what was printed, and what was printed on the standard error."""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs the command in an empty folder, where ``synthetic`` is small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DATASETS, "synthetic", lambda root, source=None: SyntheticKGRec(
        root, num_users=60, num_items=80, num_attributes=8, tastes_per_user=2, ratings_per_user=8))

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as error:  # argparse ends so
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run
