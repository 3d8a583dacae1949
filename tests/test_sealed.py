"""Contents with a digest: the same bytes for the same content, and no other bytes for it."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xxhash
from safetensors.torch import load_file, save_file

from kgrl.files import load_tensors, save_tensors
from kgrl.sealed import NAMES, Damaged, checksum, seal, unseal

ROOT = Path(__file__).resolve().parents[1]
METADATA = {f"key{number}": number for number in range(12)} | {"kind": "agent"}


@pytest.mark.parametrize("content", [b"", b"\n", b"\nkgrl xxh3_128 ", bytes(range(256)) * 3])
def test_a_seal_is_taken_off_again_and_breaks(content: bytes) -> None:
    sealed = seal(content)
    assert unseal(sealed) == content
    for place in range(len(sealed)):
        broken = sealed[:place] + bytes([sealed[place] ^ 4]) + sealed[place + 1 :]
        with pytest.raises(Damaged):
            unseal(broken)
        with pytest.raises(Damaged):
            unseal(sealed[:place])


def changed(content: bytes, draw: random.Random) -> bytes:
    """With an accident of a random size, within a few pages or anywhere."""
    at, other = (draw.randrange(len(content)) for _ in range(2))
    size = min(draw.choice((1, 8, 512, 4096, 32768)), len(content) - max(at, other))
    now = bytearray(content)
    now[at : at + size] = draw.choice((
        bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 : at + size], bytes(size), draw.randbytes(size),
        content[other : other + size], content[at : at + size][::-1], b"\xff" * size))
    if draw.random() < 0.2:  # two blocks change places
        now[at : at + size], now[other : other + size] = content[other : other + size], content[at : at + size]
    return bytes(now)


def test_no_accident_leaves_the_checksum_as_it_was() -> None:
    draw = random.Random(0)
    content = draw.randbytes(70_000) + bytes(70_000) + np.arange(20_000, dtype="<u8").tobytes()
    right, seen = checksum(content), 0
    for _ in range(300):
        now = changed(content, draw)
        assert (checksum(now) == right) == (now == content)
        seen += now != content
    assert seen > 200


def test_the_checksum_tells_parts_and_lengths_apart() -> None:
    page = bytes(range(256)) * 128
    contents = ((), (b"",), (page,), (page, page), (page * 2,), (page, b""), (b"", page), (bytes(len(page)),),
                (bytes(2 * len(page)),), (page[:-1],), (page + b"\0",))
    assert len({checksum(*each) for each in contents}) == len(contents)


def test_the_checksum_is_xxh3_of_lengths_and_parts() -> None:
    """Of the very bytes, whatever the machine: files go from one to another."""
    assert checksum() == "99aa06d3014798d86001c324468d497f"  # that of nothing, in xxHash's own tests
    assert checksum(b"ab", memoryview(b"c")) == xxhash.xxh3_128_hexdigest(
        b"\2\0\0\0\0\0\0\0ab" + b"\1\0\0\0\0\0\0\0c")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.int16, torch.uint8,
                                   torch.bool, torch.complex64])
def test_tensors_of_every_kind_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    base = torch.arange(-6, 6).view(3, 4).to(dtype)
    tensors = {"base": base, "turned": base.T, "row": base[1], "scalar": base[1, 1], "empty": base[:0], "other": base,
               "byte": torch.ones(3, dtype=torch.uint8), "double": torch.ones(1, dtype=torch.float64)}
    if dtype.is_complex:
        tensors["conjugate"] = (base * 1j).conj()
    save_tensors(tmp_path / "a", tensors, {"kind": "agent"})
    for read in (load_tensors(tmp_path / "a", "agent")[0], load_file(tmp_path / "a")):
        assert read.keys() == tensors.keys()
        assert all(read[name].dtype == tensors[name].dtype and torch.equal(read[name], tensors[name])
                   for name in tensors)


def file_of(folder: Path, header: Any, data: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "file").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder / "file"


def one(dtype: Any = "F32", shape: Any = (2,), begin: Any = 0, end: Any = 8) -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}, "__metadata__": {"kind": '"agent"'}}


@pytest.mark.filterwarnings("ignore:.* has no digest that is known")
def test_a_file_that_safetensors_wrote_is_read_as_safetensors_reads_it(tmp_path: Path) -> None:
    assert torch.equal(load_tensors(file_of(tmp_path, one(), bytes(8)), "agent")[0]["x"], torch.zeros(2))
    draw = torch.Generator().manual_seed(0)
    written = {f"{place}": torch.randn(place, 3 - place % 3, generator=draw).to(dtype) for place, dtype in enumerate(
        (torch.float64, torch.bfloat16, torch.bool, torch.int8, torch.complex64, torch.int16, torch.float32) * 2)}
    save_file(written, tmp_path / "theirs", {"kind": '"agent"'})
    ours, theirs = load_tensors(tmp_path / "theirs", "agent")[0], load_file(tmp_path / "theirs")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor)


@pytest.mark.parametrize(("header", "data"), [
    (one(), bytes(7)), (one(), bytes(9)), (one(end=1 << 60), bytes(8)), (one(begin=8, end=0), bytes(8)),
    (one(begin=-8, end=0), bytes(8)), (one(begin=4, end=12), bytes(12)), (one(begin="0"), bytes(8)),
    (one(end=None), b""), (one(shape=(3,)), bytes(8)), (one(shape=(-1,)), bytes(8)), (one(shape="2"), bytes(8)),
    (one(shape=(2, 1 << 62)), bytes(8)), (one("F31"), bytes(8)), (one("F64", (2,)), bytes(8)),
    (one("F32", (2,), end=7), bytes(7)), (one(dtype=["F32"]), bytes(8)),
    ({"x": 5}, b""), ({"x": {}}, b""), ([], b""), (b"{", b""), (b"", b""), (b"\xff", b""), (b"null", b""),
    ({"__metadata__": [1]}, b""), ({"__metadata__": {"kind": 5}}, b""), (b"[" * 100_000, b"")])
def test_what_is_no_file_of_tensors_is_refused_by_its_name(tmp_path: Path, header: Any, data: bytes) -> None:
    with pytest.raises(ValueError, match="file is not a whole safetensors file of kgrl"):
        load_tensors(file_of(tmp_path, header, data), "agent")


def test_each_tensor_has_memory_of_its_own(tmp_path: Path) -> None:
    """What keeps a small one does not keep the file."""
    save_tensors(tmp_path / "a", {"small": torch.ones(2), "large": torch.ones(1000)}, METADATA)
    tensors, _ = load_tensors(tmp_path / "a", "agent")
    assert {name: part.untyped_storage().nbytes() for name, part in tensors.items()} == {"small": 8, "large": 4000}
    tensors["small"] += 1
    assert tensors["large"].eq(1).all()


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
    with pytest.warns(UserWarning, match="old has no digest that is known: an earlier version wrote it"):
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


@pytest.mark.parametrize("name", ["sums", "sha256"])
def test_a_digest_that_is_no_longer_checked_is_as_none(tmp_path: Path, name: str) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "old", {"kind": '"agent"', name: "4f" * 32})
    with pytest.warns(UserWarning, match="old has no digest that is known"):
        tensors, metadata = load_tensors(tmp_path / "old", "agent")
    assert torch.equal(tensors["x"], torch.ones(2))
    assert dict(metadata) == {"kind": "agent"}


@pytest.mark.parametrize("dtype", list(NAMES))
def test_every_type_is_called_as_safetensors_calls_it(tmp_path: Path, dtype: torch.dtype) -> None:
    bits = torch.arange(16, dtype=torch.uint8) % 2
    save_tensors(tmp_path / "a", {"x": bits.view(dtype)}, {"kind": "agent"})
    for read in (load_tensors(tmp_path / "a", "agent")[0]["x"], load_file(tmp_path / "a")["x"]):
        assert read.dtype == dtype
        assert torch.equal(read.view(torch.uint8), bits)


@pytest.mark.parametrize("tensor", [torch.ones(2, dtype=torch.complex128), torch.eye(2).to_sparse()])
def test_what_has_no_place_in_a_file_is_named(tmp_path: Path, tensor: torch.Tensor) -> None:
    with pytest.raises(TypeError, match="the tensor 'odd' cannot be put into a file, as it is torch"):
        save_tensors(tmp_path / "a", {"even": torch.ones(2), "odd": tensor}, {"kind": "agent"})
    assert not list(tmp_path.iterdir())
