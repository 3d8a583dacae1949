"""``kgrl``: its help, its exit codes, and that errors of users are one line."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from kgrl.cli.dispatch import COMMANDS, INTERRUPTED, main
from kgrl.version import __version__
from tests.cli.conftest import Said

ROOT = Path(__file__).resolve().parents[2]


def test_help_needs_no_pytorch() -> None:
    script = ("import sys\nfrom kgrl.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as end:\n"
              "    print('code', end.code, sorted({'torch', 'numpy', 'pandas'} & sys.modules.keys()))")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "code 0 []"
    assert all(f"  {name}" in done.stdout for name in COMMANDS)


def test_the_package_installs_the_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert EntryPoint("kgrl", project["scripts"]["kgrl"], "console_scripts").load() is main


def test_the_version_is_told(said: Said) -> None:
    assert said("--version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(said: Said, command: str) -> None:
    code, out, err = said(command, "--help")
    assert (code, err) == (0, "")
    assert f"kgrl {command}" in out
    assert "options:" in out


@pytest.mark.parametrize(("words", "message"), [
    (("trian",), "kgrl: error: argument COMMAND: invalid choice: 'trian'"),
    ((), "kgrl: error: the following arguments are required: COMMAND"),
    (("train",), "kgrl train: error: the following arguments are required: agent"),
    (("train", "kgqrr"), "kgrl train: error: `agent` must be a row of the tables, got 'kgqrr'; "),
    (("train", "random", "--dataset", "synthetic"), "`agent` must be one that can be saved, got 'Random'"),
    (("train", "kgqr", "--dataset", "ml-200k"), "argument --dataset: invalid choice: 'ml-200k'"),
    (("train", "kgqr", "--world", "planted"), "--world must be a world that ml-100k has, got 'planted'"),
    (("train", "kgqr", "--interactions", "3"), "argument --interactions: must be a whole number of at least 32"),
    (("train", "kgqr", "--set", "gamma"), "`--set` must be NAME=VALUE, as in gamma=0.8, got 'gamma'"),
    (("train", "kgqr", "--set", "gamma=x"), "`--set gamma` must be a number, true, false, null"),
    (("train", "kgqr", "--dataset", "synthetic", "--set", "gama=1"), "`--set` must be options of KGQR, got \"'gama'\""),
    (("train", "kgqr", "--dataset", "synthetic", "--set", "gamma=2"), "`gamma` must be"),
    (("train", "popularity", "--patience", "3"), "Popularity learns nothing from interactions: leave out --patience"),
    (("train", "kgqr", "--device", "tpu9"), "argument --device: must be a device of this machine"),
    (("train", "kgqr", "--dataset", "synthetic", "--source", "."), "--source is of no use: synthetic data are made"),
    (("recommend", "nowhere"), "nowhere does not exist; expected a folder with model.safetensors and config.json"),
    (("audit", "nowhere"), "`DATASET|FOLDER` must be a known data set or a folder, got 'nowhere'"),
    (("audit", "."), "kgrl audit: error: "),
    (("tables", "kgqr-table9"), "argument TABLE: `table` must be a known name, got 'kgqr-table9'"),
    (("tables", "kgqr-table3", "--worlds", "ml-100k"), "argument --worlds: must be DATASET/WORLD"),
    (("tables", "kgqr-table3", "--methods", "KGQRR"), "`method` must be a known name, got 'KGQRR'"),
])
def test_what_is_wrong_is_said_in_one_line(said: Said, words, message) -> None:
    code, out, err = said(*words)
    assert code == 2
    assert message in err
    assert err.startswith("kgrl")
    assert err.count("\n") == 1
    assert "reward" not in out  # nothing was trained


def test_a_traceback_is_shown_where_it_is_asked_for() -> None:
    with pytest.raises(FileNotFoundError):
        main(["--traceback", "recommend", "nowhere"])


def test_an_interruption_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("kgrl.cli.dispatch.import_module", interrupted)
    assert main(["audit", "ml-100k"]) == INTERRUPTED


def test_a_warning_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def warns(options: list[str]) -> int:
        warnings.warn("this file\nis old", stacklevel=2)
        return 0

    monkeypatch.setattr("kgrl.cli.dispatch.import_module", lambda name: SimpleNamespace(audit_data=warns))
    shown = warnings.showwarning
    assert main(["audit", "ml-100k"]) == 0
    assert capsys.readouterr().err == "kgrl audit: warning: this file is old\n"
    assert warnings.showwarning is shown
