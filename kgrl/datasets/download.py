"""Downloads that are checked, resume after a break, and are either whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kgrl.files import sha256, whole_file

BLOCK = 1 << 20


def download(url: str, path: Path, expected: str | None = None) -> Path:
    """Fetches ``url`` to ``path``; a part left by an earlier attempt is gone on from.

    Args:
        url: where from.
        path: where to; nothing is done if it is already there and right.
        expected: its sha256. ``None``: the first download's is recorded in ``path.sha256`` and holds from then on.

    Raises:
        ValueError: another sha256 than expected; the part is deleted.
        OSError: no connection, or it broke; call again to go on.
    """
    record = path.with_name(path.name + ".sha256")
    if expected is None and record.is_file():
        expected = record.read_text().split()[0]
    if path.is_file() and (expected is None or sha256(path) == expected):
        return path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if expected is None:  # nothing could tell whether two halves belong together
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
        with open(part, "ab" if resumed else "wb") as handle:
            got = _copy(response, handle, left, part.name)
    if left and got < left:
        raise ConnectionError(f"got {got:,} of {left:,} bytes")


def _copy(response: Any, handle: Any, total: int, name: str) -> int:
    """Writes what arrives; a progress bar where a terminal watches."""
    got = 0
    with tqdm(total=total or None, unit="B", unit_scale=True, desc=name, disable=None) as bar:
        while block := response.read(BLOCK):
            got += handle.write(block)
            bar.update(len(block))
    return got


def unzip(archive: Path, members: Iterable[str], folder: Path) -> None:
    """Takes the named members out of ``archive``, each whole or not at all, without their folders.

    Raises:
        ValueError: a damaged archive or a missing member.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            for member in members:
                with whole_file(folder / Path(member).name) as temporary, content.open(member) as source, \
                        open(temporary, "wb") as target:
                    while block := source.read(BLOCK):
                        target.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
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
    if wheel.is_file() and sha256(wheel) == expected:
        return wheel
    folder.mkdir(parents=True, exist_ok=True)
    wheel.unlink(missing_ok=True)
    command = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode or not wheel.is_file():
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"pip could not fetch {requirement}: {reason}\n"
                           f"By hand: run `python {' '.join(command)}` with any Python that has pip, "
                           f"or put {file_name} into {folder}")
    check(wheel, expected, str(wheel))
    return wheel
