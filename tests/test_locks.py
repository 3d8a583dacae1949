"""Locks: one process at a time, whoever dies lets go, and nothing is left in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kgrl.locks import alone_in, alone_in_its, one_at_a_time

ROOT = Path(__file__).resolve().parents[1]


def other_process(code: str) -> subprocess.Popen[bytes]:
    """One that has got to its first print."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                               env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    process.stdout.readline()
    return process


def holds(call: str) -> str:
    return f"import time\nfrom kgrl.locks import *\nwith {call}:\n    print(1, flush=True)\n    time.sleep(60)"


def test_a_folder_in_use_is_refused_by_name_until_its_process_dies(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    other = other_process(holds(f"alone_in({str(folder)!r})"))
    with pytest.raises(BlockingIOError, match=r"run is in use by another run \(its lock is .*run/.lock\)"), \
            alone_in(folder):
        pass
    other.kill()
    other.communicate()
    with alone_in(folder):
        pass


def test_a_thread_may_enter_again_and_another_may_not(tmp_path: Path) -> None:
    refused = []

    def enter() -> None:
        try:
            with alone_in(tmp_path):
                pass
        except BlockingIOError:
            refused.append(1)

    with alone_in(tmp_path):
        with alone_in(tmp_path / ".." / tmp_path.name):
            pass
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert refused == [1]


def test_a_folder_in_which_nothing_came_about_is_gone(tmp_path: Path) -> None:
    with pytest.raises(KeyError), alone_in(tmp_path / "run"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with alone_in(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert (tmp_path / "run" / "file").exists()


def test_a_planted_link_at_the_lock_is_not_written_through(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("dear")
    folder.mkdir()
    (folder / ".lock").symlink_to(victim)
    try:
        with alone_in(folder):
            pass
    except OSError:  # refused: as well
        pass
    assert victim.read_text() == "dear"


def test_a_decorated_function_is_alone_in_its_folder(tmp_path: Path) -> None:
    @alone_in_its("checkpoint")
    def work(*, checkpoint: Path | None = None) -> str:
        """Says so."""
        return "done"

    assert work() == work(checkpoint=tmp_path) == "done"
    assert work.__doc__ == "Says so."
    other = other_process(holds(f"alone_in({str(tmp_path)!r})"))
    with pytest.raises(BlockingIOError):
        work(checkpoint=tmp_path)
    assert work() == "done"
    other.kill()
    other.communicate()


def test_who_comes_second_waits_and_the_lock_goes_with_success(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    code = (f"import time\nfrom kgrl.locks import *\nwith one_at_a_time({str(path)!r}):\n    print(1, flush=True)\n"
            f"    time.sleep(0.3)\n    open({str(path)!r}, 'w').write('made')")
    other = other_process(code)
    with one_at_a_time(path):
        assert path.read_text() == "made"
    other.communicate()
    assert [each.name for each in tmp_path.iterdir()] == ["cell.json"]


def test_after_a_failure_the_lock_is_free(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), one_at_a_time(tmp_path / "x"):
            raise KeyError


@alone_in_its("folder")
def visited(*, folder: object = None) -> list[str]:
    return sorted(os.listdir(Path(str(folder)).expanduser()))


def test_the_lock_is_where_the_home_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    assert visited(folder="~/run") == [".lock"]
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(("folder", "error"), [(3, TypeError), (b"x", TypeError), ("", ValueError)])
def test_what_is_no_folder_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: object, error: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match="`folder` must be a path"):
        visited(folder=folder)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file; name a folder"):
        visited(folder=tmp_path / "file")
