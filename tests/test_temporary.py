"""Temporary files: nobody can plant one, nobody may read more than before, and the dead's are taken away."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

import pytest

from kgrl.files import whole_file
from kgrl.temporary import Temporary, remove_leftovers

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
