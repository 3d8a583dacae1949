from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
import torch

import kgrl.datasets.base
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.frames import from_frames


class Toy(KGRecDataset):
    """Reads ``user,item`` lines; counts how often."""

    times = 0

    def __init__(self, root, source=None, shift: int = 0, **kwargs) -> None:
        super().__init__(root, source, {"shift": shift}, **kwargs)

    @property
    def raw_file_names(self) -> list[str]:
        return ["toy.csv"]

    def fetch(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "toy.csv").write_text("user,item\n0,0\n1,1\n")

    def read(self, folder: Path):
        Toy.times += 1
        frame = pd.read_csv(folder / "toy.csv")
        return from_frames(frame.assign(item=frame["item"] + self.options["shift"]))


@pytest.fixture(autouse=True)
def count():
    Toy.times = 0


def test_downloads_processes_and_reuses(tmp_path):
    first, again = Toy(tmp_path / "toy"), Toy(tmp_path / "toy")
    assert Toy.times == 1
    assert again[0].provenance == first[0].provenance
    assert first[0].provenance["name"] == "Toy"
    assert torch.equal(again[0]["user", "rates", "item"].edge_index, first[0]["user", "rates", "item"].edge_index)
    assert len(again) == 1


def test_other_options_are_another_file(tmp_path):
    assert Toy(tmp_path)[0]["item"].raw_id.tolist() == [0, 1]
    assert Toy(tmp_path, shift=5)[0]["item"].raw_id.tolist() == [5, 6]
    assert Toy(tmp_path)[0]["item"].raw_id.tolist() == [0, 1]
    assert Toy.times == 2


def test_another_class_is_another_file(tmp_path):
    class Other(Toy):
        pass

    assert [kind(tmp_path)[0].provenance["name"] for kind in (Toy, Other, Toy)] == ["Toy", "Other", "Toy"]


@pytest.mark.parametrize(("text", "later"), [("user,item\n0,3\n1,4\n", 1), ("user,item\n0,3\n1,4\n2,4\n", 0)])
def test_replaced_raw_file_is_read_again(tmp_path, text, later):
    Toy(tmp_path)
    path = tmp_path / "raw" / "toy.csv"
    time = path.stat().st_mtime_ns + later
    path.write_text(text)
    os.utime(path, ns=(time, time))
    assert Toy(tmp_path)[0]["item"].raw_id.tolist() == [3, 4]


def test_another_source_is_read(tmp_path):
    Toy(tmp_path / "toy")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "toy.csv").write_text("user,item\n0,8\n1,9\n")
    time = (tmp_path / "toy" / "raw" / "toy.csv").stat().st_mtime_ns
    os.utime(tmp_path / "mine" / "toy.csv", ns=(time, time))  # size and time alone do not tell the two apart
    assert Toy(tmp_path / "toy", source=tmp_path / "mine")[0]["item"].raw_id.tolist() == [8, 9]
    assert sorted(os.listdir(tmp_path / "mine")) == ["toy.csv"]


def test_source_may_be_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "toy.csv").write_text("user,item\n0,8\n1,9\n")
    assert Toy(tmp_path / "toy", source="~")[0]["item"].raw_id.tolist() == [8, 9]


def test_newer_format_is_read_again(tmp_path, monkeypatch):
    Toy(tmp_path)
    monkeypatch.setattr(kgrl.datasets.base, "FORMAT", -1)
    Toy(tmp_path)
    assert Toy.times == 2


def test_pre_transform_is_part_of_the_key(tmp_path):
    def drop(data):
        del data["item"].raw_id
        return data

    assert "raw_id" in Toy(tmp_path)[0]["item"]
    assert "raw_id" not in Toy(tmp_path, pre_transform=drop)[0]["item"]
    assert "raw_id" in Toy(tmp_path)[0]["item"]
    assert all(name.startswith("data-") for name in os.listdir(tmp_path / "processed"))


def test_transform_is_applied_at_every_access(tmp_path):
    def count(data):
        data.times = data.get("times", 0) + 1
        return data

    dataset = Toy(tmp_path, transform=count)
    assert [dataset[0].times, dataset[0].times] == [1, 1]
    assert "times" not in Toy(tmp_path)[0]
    assert Toy.times == 1


def test_force_reload(tmp_path):
    Toy(tmp_path)
    Toy(tmp_path, force_reload=True)
    assert Toy.times == 2


def test_missing_source_is_named_and_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`source` must hold the raw files of Toy \(toy\.csv\); .*none"):
        Toy(tmp_path / "toy", source=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_failure_leaves_no_processed_file(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        Toy(tmp_path)
    assert os.listdir(tmp_path / "processed") == []


def test_unknown_option_is_refused(tmp_path):
    with pytest.raises(TypeError, match="linked"):
        Toy(tmp_path, linked=True)
