"""Lets PyKEEN be imported where the home folder cannot be written to."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pystow


@contextmanager
def pykeen_folder() -> Iterator[None]:
    """While this runs, PyKEEN has a folder it can write to.

    PyKEEN makes its data folder (``~/.data/pykeen``, or what ``PYKEEN_HOME`` and ``PYSTOW_HOME`` say) the moment it is
    imported. Where that folder cannot be made or written to, a temporary one, removed when the process ends, takes its
    place; the environment is as before afterwards.
    """
    if _writable():
        yield
        return
    before = os.environ.get("PYKEEN_HOME")
    folder = tempfile.mkdtemp(prefix="pykeen-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["PYKEEN_HOME"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYKEEN_HOME"]
        else:
            os.environ["PYKEEN_HOME"] = before


def _writable() -> bool:
    try:
        with tempfile.TemporaryFile(dir=pystow.module("pykeen").base):
            return True
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder at all
        return False
