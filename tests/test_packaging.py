"""The built package: what is in it, and that it works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from itertools import chain
from pathlib import Path

import pytest

from kgrl.version import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# what other people's code imports
PUBLIC = {
    "kgrl.datasets": [
        "MovieLens100K", "MovieLens1M", "MovieLens10M", "MovieLens20M", "BookCrossing", "NetflixPrize",
        "SyntheticKGRec", "from_frames", "from_recbole", "from_kgcn", "split_users", "popular_items", "audit_links",
        "LinkAudit",
    ],
    "kgrl.graph": ["knowledge_graph"],
    "kgrl.pretrain": ["pretrain_entities", "item_vectors"],
    "kgrl.tree": ["ClusterTree"],
    "kgrl.nn": ["KGConv", "KGEncoder", "TreePolicy"],
    "kgrl.candidates": ["KHopCandidates"],
    "kgrl.simulator": ["Simulator", "PredictedFeedback", "RatedFeedback"],
    "kgrl.sessions": ["Sessions"],
    "kgrl.agents": ["KGQR"],
    "kgrl.train": ["Callback", "EarlyStopping", "Run", "fit"],
    "kgrl.evaluate": ["evaluate", "compare"],
}  # fmt: skip


def clean_environment() -> dict[str, str]:
    """Without what would lead Python, or a build, back to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, env=clean_environment(), check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it; needs no network."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel alone; its dependencies are lent by this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    scripts, suffix = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
    python = folder / scripts / f"python{suffix}"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    # a folder named in a .pth joins sys.path, but the .pth files in it (an editable kgrl's) are not followed
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    lent = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (own / "lent.pth").write_text("\n".join(lent) + "\n", encoding="utf-8")
    return python


def test_public_names_come_with_the_wheel(python: Path, tmp_path: Path) -> None:
    script = f"""
import importlib, pathlib, sys
for module, names in {PUBLIC}.items():
    module = importlib.import_module(module)
    for name in names:
        getattr(module, name)
print(pathlib.Path(importlib.import_module("kgrl").__file__).resolve())
"""
    used = Path(run(python, "-c", script, cwd=tmp_path).strip())
    assert python.parents[1].resolve() in used.parents
    assert ROOT not in used.parents


def test_the_readme_runs_with_the_installed_wheel(python: Path, tmp_path: Path) -> None:
    """Its blocks in an empty folder, on the small world of ``tests/pages.py``; nothing of the checkout is in reach."""
    shutil.copy(ROOT / "tests" / "pages.py", tmp_path / "pages.py")
    script = f"""
import pathlib, sys
sys.path.insert(0, {str(tmp_path)!r})
import pages
pages.ROOT = pathlib.Path({str(ROOT)!r})
names = pages.run(pages.ROOT / "README.md", {{"__name__": "page"}}, pathlib.Path({str(tmp_path)!r}))
print(sys.modules["kgrl"].__file__, names["scores"].reward)
"""
    used, reward = run(python, "-c", script, cwd=tmp_path).splitlines()[-1].split()
    assert ROOT not in Path(used).resolve().parents
    assert -2 < float(reward) < 3


def test_version_is_said_once(python: Path, tmp_path: Path) -> None:
    script = "import importlib.metadata, kgrl; print(importlib.metadata.version('kgrl'), kgrl.__version__)"
    assert run(python, "-c", script, cwd=tmp_path).split() == [__version__] * 2
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel).namelist()
    info = f"kgrl-{__version__}.dist-info/"
    package = {name for name in inside if not name.startswith(info)}
    assert package == {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kgrl").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"kgrl/py.typed", "kgrl/datasets/tables/ml_100k_to_ml_1m.csv"} <= package
    assert f"{info}licenses/LICENSE" in inside


def test_wheel_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    fields = HeaderParser().parsestr(archive.read(name).decode())
    assert fields["Requires-Python"] == ">=3.11"
    assert fields["License-Expression"] == "MIT"
    needed = {line.partition(">")[0] for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert needed == {
        "filelock", "lightning-fabric", "numpy", "pandas", "pykeen", "safetensors", "scikit-learn", "scipy", "torch",
        "torch-geometric", "tqdm", "xxhash",
    }  # fmt: skip
    assert set(fields.get_all("Provides-Extra", [])) == {
        "scatter", "faiss", "hub", "gym", "sb3", "export", "examples", "test", "docs", "dev"}


def test_sdist_holds_the_tests_and_no_data(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile", "constraints.txt", ".ci/run"} <= files
    assert {"kgrl/py.typed", "kgrl/datasets/tables/ml_100k_to_ml_1m.csv"} <= files
    assert {"tests/conftest.py", "tests/test_packaging.py"} <= files
    assert {"docs/conf.py", "docs/index.md", "docs/agents/KGQR.md", "docs/refs.bib"} <= files
    assert not [name for name in files if name.startswith(("docs/generated", "docs/_build"))]
    assert {name for name in files if name.startswith("data/")} <= {"data/README.md"}
    assert not [name for name in files if name.startswith((".venv", "runs/", "build/")) or "__pycache__" in name]


def test_everything_required_has_a_tested_version() -> None:
    """constraints.txt names each direct dependency with one exact version that fits its lower bound."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    groups = PROJECT["optional-dependencies"]  # torch-scatter is compiled for minutes, and not with every release
    wanted = [group for name, group in groups.items() if name != "scatter"]
    required = [*PROJECT["dependencies"], *chain.from_iterable(wanted)]
    for requirement in (line for line in required if not line.startswith("kgrl[")):
        name, bound = requirement.split(">=")
        assert numbers(tested[name]) >= numbers(bound), requirement
    assert tested["torch"] == "2.13.0"  # this very release spares a machine without a GPU the CUDA libraries


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
