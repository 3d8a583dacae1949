"""Downloads that are checked, resume after a break, and are either whole or not there."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from kgrl.files import sha256, whole_file
from kgrl.locks import one_at_a_time
from kgrl.objects import a_path, of_class
from kgrl.options import expected as wrong

SCHEMES = ("https", "http", "ftp", "file")
BLOCK = 1 << 20
MOST = 32 << 30
"""Bytes that a file may have, downloaded or unpacked: some ten times what the largest data set here has."""


def download(url: str, path: Path, expected: str | None = None) -> Path:
    """Fetches ``url`` to ``path``; a part left by an earlier attempt is gone on from.

    Args:
        url: where from.
        path: where to; nothing is done if it is already there and right.
        expected: its sha256. ``None``: the first download's is recorded in ``path.sha256`` and holds from then on.

    Raises:
        TypeError: ``url`` is no text, or ``path`` no path.
        ValueError: ``url`` is no address, or another sha256 than expected; the part is deleted.
        OSError: no connection, or it broke; call again to go on.

    While another process fetches the same file, this one waits for it.
    """
    _check_address(url)
    path = a_path("path", path)
    if (there := _fetched(path, expected)) is not None:
        return there
    with one_at_a_time(path):
        return _fetched(path, expected) or _fetch(url, path, expected)


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(of_class("url", url, str))
        whole = parts.scheme in SCHEMES and bool(parts.path if parts.scheme == "file" else parts.hostname)
    except ValueError:  # as of an opening bracket alone
        whole = False
    if not whole:
        raise ValueError(wrong("url", f"an address that begins with {SCHEMES[0]}:// and has a host", url))


def _recorded(path: Path) -> Path:
    """Where a file's checksum is recorded."""
    return path.with_name(path.name + ".sha256")


def _wanted(path: Path, expected: str | None) -> str | None:
    """The sha256 that the file must have, if anything tells."""
    record = _recorded(path)
    if expected is not None or not record.is_file():
        return expected
    words = record.read_text(encoding="utf-8", errors="replace").split()
    if not words or not re.fullmatch("[0-9a-f]{64}", words[0]):
        raise ValueError(f"{record} must hold the sha256 of {path.name}, and does not; delete it if the file "
                         "is right")
    return words[0]


def _fetched(path: Path, expected: str | None) -> Path | None:
    """The file, if it is there and right."""
    wanted = _wanted(path, expected)
    return path if path.is_file() and (wanted is None or sha256(path) == wanted) else None


def _fetch(url: str, path: Path, expected: str | None) -> Path:
    """The download of what is not there; the only one of this file at the moment."""
    record, expected = _recorded(path), _wanted(path, expected)
    part = path.with_name(path.name + ".part")
    if expected is None or not _is_ours(part):  # else nothing could tell whether two halves belong together
        part.unlink(missing_ok=True)
    try:
        _transfer(url, part)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise OSError(f"{url}: the download broke off ({error}); call again to go on, "
                      f"or put the file at {path} by hand") from error
    found = check(part, expected, url) if expected else sha256(part)
    if not expected:
        with whole_file(record) as temporary:
            temporary.write_text(f"{found}  {path.name}\n")
    os.replace(part, path)
    return path


def check(path: Path, expected: str, origin: str) -> str:
    """The file's sha256 if it is ``expected``; else the file is deleted.

    Raises:
        ValueError: it is another one.
    """
    found = sha256(path)
    if found != expected:
        path.unlink()
        raise ValueError(f"{origin}: expected sha256 {expected}, got {found}; the file was deleted, fetch it again; "
                         f"if it stays so, it was changed where it comes from")
    return found


def _transfer(url: str, part: Path) -> None:
    """Appends to ``part`` what it lacks; starts anew where the server does not send ranges."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        part.unlink()  # the part is no shorter than the file: whole, or of another file
        _transfer(url, part)
        return
    with response:
        resumed = response.status == 206
        left = int(response.headers.get("Content-Length") or 0)
        with open(part, "ab" if resumed else "wb", opener=_not_through_links) as handle:
            got = _copy(response, handle, left, part)
    if left and got < left:
        raise ConnectionError(f"got {got:,} of {left:,} bytes")


def _is_ours(part: Path) -> bool:
    """Whether what is there may be written on to: an own file, under no other name; nothing there is right, too."""
    try:
        status = part.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _not_through_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _copy(response: Any, handle: Any, total: int, part: Path) -> int:
    """Writes what arrives; a progress bar where a terminal watches."""
    got = 0
    with tqdm(total=total or None, unit="B", unit_scale=True, desc=part.name, disable=None) as bar:
        while block := response.read(BLOCK):
            if (got := got + len(block)) > MOST:
                raise ValueError(f"{response.url}: expected at most {MOST:,} bytes, got more; it is not the data set")
            try:
                handle.write(block)
            except OSError as error:  # as where no space is left; a failed write does not know its file
                error.filename = error.filename or str(part)
                raise
            bar.update(len(block))
    return got


def unzip(archive: Path, members: Iterable[str], folder: Path) -> None:
    """Takes the named members out of ``archive``, each whole or not at all, without their folders.

    Raises:
        ValueError: a damaged archive, a missing member, or one that would fill the disk.
    """
    members = list(members)
    try:
        with zipfile.ZipFile(archive) as content:
            if (total := sum(content.getinfo(member).file_size for member in members)) > MOST:
                raise ValueError(f"{archive}: expected at most {MOST:,} bytes unpacked, got {total:,}; it is not the "
                                 "data set")
            for member in members:  # of each, no more is read than it says it has
                with whole_file(folder / Path(member).name) as temporary, content.open(member) as source, \
                        open(temporary, "wb") as target:
                    while block := source.read(BLOCK):
                        target.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(f"{archive}: expected a zip archive with {', '.join(members)}, {error}") from error


def download_wheel(requirement: str, file_name: str, expected: str, folder: Path) -> Path:
    """Lets pip fetch one wheel, without installing anything, and checks it.

    Args:
        requirement: as ``name==version``.
        file_name: of the wheel.
        expected: its sha256.
        folder: where to.

    Raises:
        RuntimeError: pip is not there or failed; the text says how to get the file by hand.
        ValueError: another sha256.
    """
    wheel = folder / file_name
    if (there := _fetched(wheel, expected)) is not None:
        return there
    with one_at_a_time(wheel):
        return _fetched(wheel, expected) or _fetch_wheel(requirement, wheel, expected)


def _fetch_wheel(requirement: str, wheel: Path, expected: str) -> Path:
    """The download of a wheel that is not there; the only one at the moment."""
    folder = wheel.parent
    wheel.unlink(missing_ok=True)
    command = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode or not wheel.is_file():
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"pip could not fetch {requirement}: {reason}\n"
                           f"By hand: run `python {' '.join(command)}` with any Python that has pip, "
                           f"or put {wheel.name} into {folder}")
    check(wheel, expected, str(wheel))
    return wheel
