"""Whole files: old or new, never a part of one; temporary files, which nobody can plant, and the dead's go away."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrl import files
from kgrl.files import Temporary, digest, load_tensors, remove_leftovers, save_tensors, sha256, whole_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on the way" / "a.txt"
    for text in ("first", "second"):
        with whole_file(path) as temporary:
            assert temporary.parent == path.parent  # a rename across file systems would be a copy
            temporary.write_text(text)
        assert path.read_text() == text
    assert names(path.parent) == ["a.txt"]


def test_whole_file_keeps_the_old_one_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("there", [False, True])
def test_whole_file_under_an_exception_leaves_all_as_it_was(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "a.txt"
    if there:
        path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == (["a.txt"] if there else [])
    assert not there or path.read_text() == "old"


def test_whole_file_that_was_never_written_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert path.read_text() == "old"


def test_whole_file_is_on_the_disk_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(files.os, "replace", lambda *paths: (calls.append("replace"), replace(*paths))[1])
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert calls[:2] == ["fsync", "replace"]
    assert os.name != "posix" or calls[2:] == ["fsync"]  # the folder's entry


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_whole_file_under_sigkill_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    script = f"""
        import os, signal
        from kgrl.files import whole_file
        with whole_file({str(path)!r}) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).resolve().parents[1]
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, check=False)
    assert result.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with whole_file(path) as temporary:  # what the dead left does not stand in the way
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_tensors_come_back_as_they_were(tmp_path: Path, device: torch.device) -> None:
    shared = torch.arange(6, device=device).view(2, 3)
    tensors = {
        "matrix": torch.randn(3, 4, device=device, requires_grad=True),
        "whole": shared,
        "row": shared[0],  # of the same storage
        "turned": shared.T,  # not contiguous
        "empty": torch.empty(0, 5, device=device),
        "scalar": torch.tensor(2.5, dtype=torch.double, device=device),
        "mask": torch.tensor([True, False], device=device),
    }
    metadata = {"kind": "agent", "options": {"hops": 2, "lr": 1e-3, "name": "naïve"}, "list": [1, None, "x"]}
    save_tensors(tmp_path / "t.safetensors", tensors, metadata)
    loaded, read = load_tensors(tmp_path / "t.safetensors", "agent")
    assert read == metadata
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].device.type == "cpu"
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor.detach().cpu())


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, {"x": torch.ones(2)}, {"kind": "agent"})
    with pytest.raises(TypeError):
        save_tensors(path, {"x": torch.zeros(2)}, {"kind": "agent", "bad": object()})
    assert torch.equal(load_tensors(path, "agent")[0]["x"], torch.ones(2))
    assert names(tmp_path) == ["t.safetensors"]


def test_load_tensors_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    with pytest.raises(FileNotFoundError, match="t.safetensors does not exist; expected a tree file"):
        load_tensors(path, "tree")
    save_tensors(path, {"x": torch.ones(20)}, {"kind": "agent"})
    with pytest.raises(ValueError, match="t.safetensors must hold a tree, got 'agent'"):
        load_tensors(path, "tree")


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_load_tensors_refuses_a_truncated_file(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, {"x": torch.ones(20)}, {"kind": "agent"})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="t.safetensors is not a whole safetensors file"):
        load_tensors(path, "agent")


def test_load_tensors_refuses_metadata_of_someone_else(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "t.safetensors"
    save_file({"x": torch.ones(2)}, path, {"kind": "not JSON"})
    with pytest.raises(ValueError, match="not a whole safetensors file of kgrl"):
        load_tensors(path, "agent")


def test_digest_is_the_same_everywhere() -> None:
    """Caches and checkpoints are found again by it: these two may not change with machine, process or release."""
    assert digest({"b": 2, "a": 1}) == digest({"a": 1, "b": 2}) == hashlib.sha256(b'{"a": 1, "b": 2}\0').hexdigest()
    two = hashlib.sha256(b"torch.int16(2,)" + bytes([1, 0, 2, 0])).hexdigest()
    assert digest(torch.tensor([1, 2], dtype=torch.short)) == two


def test_digest_of_a_tensor_sees_values_shape_and_type(device: torch.device) -> None:
    x = torch.arange(6, device=device)
    different = [x, x.view(2, 3), x.view(3, 2), x.int(), x + 1, x[:5], torch.empty(0, device=device), x.bool()]
    assert len({digest(each) for each in different}) == len(different)
    assert digest(x) == digest(x.cpu()) == digest(torch.arange(12, device=device)[:6])


def test_digest_of_a_tensor_does_not_depend_on_its_layout() -> None:
    x = torch.arange(12.0).view(3, 4)
    assert digest(x[:, 1]) == digest(x[:, 1].clone())
    assert digest(x.T) == digest(x.T.contiguous()) != digest(x)


def test_digest_of_a_tensor_without_dimensions() -> None:
    assert digest(torch.tensor(1.5)) != digest(torch.tensor(2.5))


def test_digest_sees_through_strides() -> None:
    x = torch.arange(6).view(2, 3)
    assert digest(x.T) == digest(x.T.contiguous())
    assert digest(x.T) != digest(x)


@given(st.lists(st.integers(0), max_size=3), st.lists(st.integers(0), max_size=3))
def test_digest_knows_where_a_part_ends(left: list[int], right: list[int]) -> None:
    assert (digest(*left) == digest(*right)) == (left == right)


def test_digest_of_neighbouring_numbers() -> None:
    assert digest(1, 23) != digest(12, 3)
    assert digest(torch.tensor([1]), torch.tensor([2, 3])) != digest(torch.tensor([1, 2]), torch.tensor([3]))


def test_below_takes_the_part_under_a_prefix() -> None:
    flat = {"a.x": torch.tensor(1), "a.b.x": torch.tensor(2), "ab": torch.tensor(3), "b.a.x": torch.tensor(4)}
    assert {name: int(value) for name, value in files.below("a.", flat).items()} == {"x": 1, "b.x": 2}


POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and locks of POSIX")


def write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text)


def test_names_cannot_be_foreseen(tmp_path: Path) -> None:
    names = set()
    for _ in range(5):
        with Temporary(tmp_path / "a") as temporary:
            names.add(temporary.path.name)
    assert len(names) == 5
    assert not any(str(os.getpid()) in name.split(".") for name in names)


def test_a_planted_link_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    monkeypatch.setattr(secrets, "token_hex", lambda count: "known")
    (tmp_path / ".a.known.tmp").symlink_to(victim)
    (tmp_path / f".a.{os.getpid()}.tmp").symlink_to(victim)  # the name that it once had
    with pytest.raises(FileExistsError):
        write(tmp_path / "a", "new")
    assert victim.read_text() == "dear"


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_the_mode_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(mode)
    with whole_file(path) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600  # for the owner alone, who writes
        temporary.write_text("new")
    assert path.stat().st_mode & 0o777 == mode


@POSIX
def test_a_new_files_mode_is_the_systems(tmp_path: Path) -> None:
    write(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a").write_text("old")
    (tmp_path / "a").symlink_to(tmp_path / "far" / "a")
    write(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "far" / "a").read_text() == "new"
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["a"]


@POSIX
def test_leftovers_go_and_what_is_in_use_stays(tmp_path: Path) -> None:
    for left in (".a.17.tmp", ".a.0123456789abcdef.tmp"):
        (tmp_path / left).write_text("begun")
    others = {"a.tmp", ".b.17.tmp", ".a.txt"}
    for other in others:
        (tmp_path / other).touch()
    with Temporary(tmp_path / "a") as temporary:
        remove_leftovers(tmp_path / "a")
        assert {path.name for path in tmp_path.iterdir()} == others | {temporary.path.name}


def test_a_full_disk_is_told_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.txt'") as raised, \
            whole_file(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
@pytest.mark.parametrize("make", ["mkfifo", "mkdir"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, make: str) -> None:
    getattr(os, make)(tmp_path / "there")
    with pytest.raises(FileExistsError, match="there is a folder, a device or a pipe"), whole_file(tmp_path / "there"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not (tmp_path / "there").is_file()
