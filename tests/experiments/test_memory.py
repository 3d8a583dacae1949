from __future__ import annotations

import math
import sys

import pytest

from kgrl.experiments.memory import peak_gib


def test_the_peak_of_this_process_is_told() -> None:
    before = peak_gib()
    kept = bytearray(200 << 20)
    assert 0 < before <= peak_gib() < 100
    assert peak_gib() >= len(kept) / 2**30


def test_windows_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # importing it fails
    assert math.isnan(peak_gib())
