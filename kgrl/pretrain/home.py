"""Lets PyKEEN be imported where the home folder cannot be written to."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def pykeen_folder() -> Iterator[None]:
    """While this runs, PyKEEN and its helper PyStow have folders they can write to.

    Both make their data folders (``~/.data`` and ``~/.data/pykeen``, or what ``PYSTOW_HOME`` and ``PYKEEN_HOME`` say)
    the moment they are imported. A folder that cannot be made or written to is replaced by a temporary one, removed
    when the process ends; the environment is as before afterwards.
    """
    folders = {"PYSTOW_HOME": "~/.data", **os.environ}
    replaced = [name for name in ("PYSTOW_HOME", "PYKEEN_HOME") if name in folders and not _usable(folders[name])]
    before = {name: os.environ.get(name) for name in replaced}
    for name in replaced:
        os.environ[name] = tempfile.mkdtemp(prefix="pykeen-")
        atexit.register(shutil.rmtree, os.environ[name], ignore_errors=True)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _usable(folder: str) -> bool:
    # trying is the only test that knows of read-only disks, of root, and of parents that are no folders
    try:
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder at all
        return False
