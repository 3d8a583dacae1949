"""Contents with a digest: the same bytes for the same content, and no other bytes for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kgrl.files import load_tensors, save_tensors
from kgrl.sealed import Damaged, seal, unseal

ROOT = Path(__file__).resolve().parents[1]
METADATA = {f"key{number}": number for number in range(12)} | {"kind": "agent"}


@pytest.mark.parametrize("content", [b"", b"\n", b"kgrl sha256 ", bytes(range(256)) * 3])
def test_a_seal_is_taken_off_again_and_breaks(content: bytes) -> None:
    sealed = seal(content)
    assert unseal(sealed) == content
    for place in range(len(sealed)):
        broken = sealed[:place] + bytes([sealed[place] ^ 4]) + sealed[place + 1 :]
        with pytest.raises(Damaged):
            unseal(broken)
        with pytest.raises(Damaged):
            unseal(sealed[:place])


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    code = ("import sys, torch\nfrom kgrl.files import save_tensors\n"
            f"save_tensors(sys.argv[1], {{'x': torch.ones(3), 'b': torch.zeros(2, 2)}}, {METADATA!r})")
    for name in "ab":
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True,
                       env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_a_safetensors_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"x": torch.arange(5), "ü": torch.ones(2)}, {"kind": "agent", "name": "ü"})
    assert torch.equal(load_file(tmp_path / "a")["x"], torch.arange(5))


def test_what_is_loaded_does_not_change_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_tensors(path, {"x": torch.ones(4096)}, METADATA)
    tensors, _ = load_tensors(path, "agent")
    with open(path, "r+b") as handle:  # as a copy onto it does: the same file, other bytes
        handle.truncate(0)
        handle.write(b"\xff" * 100)
    assert torch.equal(tensors["x"], torch.ones(4096))


def test_a_file_of_an_earlier_version_is_read_with_a_warning(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "old", {"kind": '"agent"'})
    with pytest.warns(UserWarning, match="old has no digest: an earlier version wrote it"):
        tensors, _ = load_tensors(tmp_path / "old", "agent")
    assert torch.equal(tensors["x"], torch.ones(2))


def test_what_a_file_lacks_is_told_with_its_name(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"x": torch.ones(2)}, {"kind": "agent"})
    tensors, metadata = load_tensors(tmp_path / "a", "agent")
    with pytest.raises(ValueError, match=r"a lacks 'options': another version of kgrl wrote it"):
        metadata["options"]
    with pytest.raises(ValueError, match=r"a lacks 'y'"):
        tensors["y"]
    assert metadata.get("options") is None
