from __future__ import annotations

import hashlib
import re
import subprocess
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kgrl.datasets.download import download, download_wheel, unzip

CONTENT = bytes(range(256)) * 40
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; ``/plain`` without ranges, ``/cut`` breaks off half-way unless it is asked for the rest."""

    requests: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Handler.requests.append(f"{self.path} {wanted}")
        if self.path == "/none":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.path != "/plain" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : len(CONTENT) // 2 if self.path == "/cut" and not start else None])

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    Handler.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_download_once(url, tmp_path, monkeypatch):
    monkeypatch.setattr("kgrl.datasets.download.BLOCK", 1000)
    for _ in range(2):
        assert download(f"{url}/file", tmp_path / "deep" / "file", SHA).read_bytes() == CONTENT
    assert Handler.requests == ["/file None"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_broken_download_goes_on(url, tmp_path):
    with pytest.raises(OSError, match="broke off .* of 10,240 bytes.* call again to go on"):
        download(f"{url}/cut", tmp_path / "file", SHA)
    assert not (tmp_path / "file").exists()
    download(f"{url}/cut", tmp_path / "file", SHA)
    assert Handler.requests[1] == f"/cut bytes={len(CONTENT) // 2}-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_server_without_ranges_starts_anew(url, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:100])
    assert download(f"{url}/plain", tmp_path / "file", SHA).read_bytes() == CONTENT


def test_part_longer_than_the_file_starts_anew(url, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT * 2)
    assert download(f"{url}/file", tmp_path / "file", SHA).read_bytes() == CONTENT


def test_part_is_not_trusted_without_a_checksum(url, tmp_path):
    (tmp_path / "file.part").write_bytes(b"something else")
    assert download(f"{url}/file", tmp_path / "file").read_bytes() == CONTENT


def test_wrong_checksum_leaves_nothing(url, tmp_path):
    with pytest.raises(ValueError, match=f"expected sha256 {'0' * 64}, got {SHA}"):
        download(f"{url}/file", tmp_path / "file", "0" * 64)
    assert list(tmp_path.glob("[!.]*")) == []  # but for the lock


def test_first_checksum_is_recorded_and_holds(url, tmp_path, monkeypatch):
    download(f"{url}/file", tmp_path / "file")
    assert (tmp_path / "file.sha256").read_text() == f"{SHA}  file\n"
    (tmp_path / "file").write_bytes(b"spoilt")
    assert download(f"{url}/file", tmp_path / "file").read_bytes() == CONTENT
    (tmp_path / "file").unlink()
    monkeypatch.setitem(globals(), "CONTENT", CONTENT[::-1])
    with pytest.raises(ValueError, match=f"expected sha256 {SHA}"):
        download(f"{url}/file", tmp_path / "file")


def test_unreachable(url, tmp_path):
    with pytest.raises(OSError, match="/none: the download broke off .*404.* by hand"):
        download(f"{url}/none", tmp_path / "file", SHA)


@pytest.mark.parametrize("wrong", ["nope", "", "data/ml-100k", "htp://x.org/a", "http://", "//x/y", "http://[x/a"])
def test_an_address_that_is_none_is_named(wrong, tmp_path):
    got = re.escape(repr(wrong))
    with pytest.raises(ValueError, match=f"`url` must be an address that begins with https:// .*, got {got}"):
        download(wrong, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_an_address_that_is_no_text_is_named(tmp_path):
    with pytest.raises(TypeError, match="`url` must be a str, got 'NoneType'"):
        download(None, tmp_path / "file")


def test_unzip(tmp_path, monkeypatch):
    monkeypatch.setattr("kgrl.datasets.download.BLOCK", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/a.txt", "A" * 2500)
        archive.writestr("deep/b.txt", "B")
    unzip(tmp_path / "a.zip", ["deep/a.txt"], tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {"a.txt": "A" * 2500}
    with pytest.raises(ValueError, match=r"a\.zip: expected a zip archive with deep/c\.txt"):
        unzip(tmp_path / "a.zip", ["deep/c.txt"], tmp_path / "out")


def test_unzip_damaged_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "A" * 1000)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[60] ^= 1  # inside the stored text: only the member's CRC can tell
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match="expected a zip archive"):
        unzip(tmp_path / "a.zip", ["a.txt"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def fake_pip(monkeypatch, returncode, content=None):
    def run(command, **kwargs):
        assert "--no-deps" in command
        path = Path(command[command.index("--dest") + 1]) / "x.whl"
        if content is not None and not path.exists():  # pip leaves alone what is there
            path.write_bytes(content)
        return subprocess.CompletedProcess(command, returncode, "", "No module named pip")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(("returncode", "content"), [(1, None), (1, CONTENT), (0, None)])
def test_wheel_without_pip(monkeypatch, tmp_path, returncode, content):
    fake_pip(monkeypatch, returncode, content)
    with pytest.raises(RuntimeError, match=r"x==1: No module named pip\nBy hand: run `python -m pip download"):
        download_wheel("x==1", "x.whl", SHA, tmp_path)


def test_wheel_is_checked_and_reused(monkeypatch, tmp_path):
    fake_pip(monkeypatch, 0, b"other")
    with pytest.raises(ValueError, match=f"expected sha256 {SHA}"):
        download_wheel("x==1", "x.whl", SHA, tmp_path)
    assert list(tmp_path.glob("[!.]*")) == []  # but for the lock
    fake_pip(monkeypatch, 0, CONTENT)
    (tmp_path / "x.whl").write_bytes(b"spoilt")
    assert download_wheel("x==1", "x.whl", SHA, tmp_path).read_bytes() == CONTENT
    fake_pip(monkeypatch, 1)
    assert download_wheel("x==1", "x.whl", SHA, tmp_path).name == "x.whl"


def test_two_downloads_at_once_are_one(url, tmp_path, monkeypatch):
    slow = Handler.do_GET

    def do_get(self) -> None:
        slow(self)
        time.sleep(0.2)  # the first is not done before the second begins

    monkeypatch.setattr(Handler, "do_GET", do_get)
    found = []
    threads = [threading.Thread(target=lambda: found.append(download(f"{url}/file", tmp_path / "file").read_bytes()))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 3
    assert Handler.requests == ["/file None"]
    assert (tmp_path / "file.sha256").read_text() == f"{SHA}  file\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file.sha256"]


@pytest.mark.parametrize("plant", ["symlink_to", "hardlink_to"])
@pytest.mark.parametrize("expected", [SHA, None])
def test_a_planted_part_is_not_written_through(url, tmp_path, plant, expected):
    victim = tmp_path / "victim"
    victim.write_bytes(b"dear")
    getattr(tmp_path / "file.part", plant)(victim)
    assert download(f"{url}/file", tmp_path / "file", expected).read_bytes() == CONTENT
    assert victim.read_bytes() == b"dear"


def test_a_damaged_record_is_named(url, tmp_path):
    (tmp_path / "file.sha256").write_text("")
    with pytest.raises(ValueError, match=r"file\.sha256 must hold the sha256 of file"):
        download(f"{url}/file", tmp_path / "file")


def test_what_would_fill_the_disk_is_refused(url, tmp_path, monkeypatch):
    monkeypatch.setattr("kgrl.datasets.download.MOST", 1000)
    with pytest.raises(ValueError, match="expected at most 1,000 bytes, got more"):
        download(f"{url}/file", tmp_path / "file", SHA)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", "A" * 600)
        archive.writestr("b", "B" * 600)
    with pytest.raises(ValueError, match=r"a\.zip: expected at most 1,000 bytes unpacked, got 1,200"):
        unzip(tmp_path / "a.zip", ["a", "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    unzip(tmp_path / "a.zip", ["a"], tmp_path / "out")
