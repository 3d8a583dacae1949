import json

import pytest
import torch

from kgrl.experiments.cell import Cell, same_run


def made(**changes):
    reward = torch.tensor([0.5, -0.25, 1.0 / 3])
    users = {"reward": reward, "precision": reward.abs(), "recall": reward**2, "f1": torch.zeros(3)}
    fields = {
        "setting": "synthetic/kgqr/eta-0.1", "method": "DDPG-KNN (k=0.1N)", "seed": 3, "options": {"lr": 0.001},
        "training": {"interactions": 64}, "data": "abc", "scores": {k: float(v.mean()) for k, v in users.items()},
        "per_user": users, "curve": [{"interactions": 64, "reward": 0.123456789}], "note": "", "made": {"threads": 1},
    }
    return Cell(**(fields | changes))


def test_what_is_written_is_read(tmp_path):
    cell = made()
    path = cell.write(tmp_path)
    assert path == tmp_path / "synthetic/kgqr/eta-0.1/ddpg-knn-k-0.1n/seed-3.json"
    again = Cell.read(path)
    assert again.scores == cell.scores
    for name, values in cell.per_user.items():
        assert torch.equal(again.per_user[name], values)
    assert again.curve == [{"interactions": 64.0, "reward": 0.123457}]
    assert (again.options, again.training, again.method) == (cell.options, cell.training, cell.method)
    assert [file.name for file in path.parent.iterdir()] == ["seed-3.json"]  # no temporary file is left


def test_a_write_that_is_cut_off_leaves_the_old_cell(tmp_path, monkeypatch):
    def cut_off(*_):
        raise OSError("cut off")

    path = made().write(tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", cut_off)
    with pytest.raises(OSError, match="cut off"):
        made(note="newer").write(tmp_path)
    assert path.read_bytes() == before


def test_counts_of_a_curve_keep_all_their_digits(tmp_path):
    cell = made(curve=[{"interactions": 1_179_648.0, "reward": 1_179_648.5}])
    assert Cell.read(cell.write(tmp_path)).curve == [{"interactions": 1_179_648.0, "reward": 1_179_650.0}]


def test_a_cell_is_small(tmp_path):
    users = torch.rand(3_600, generator=torch.Generator().manual_seed(0)) * 4 - 1
    per_user = dict.fromkeys(("reward", "precision", "recall", "f1"), users)
    cell = made(per_user=per_user, scores={name: float(users.double().mean()) for name in per_user})
    # 57,600 bytes of floats are 72,000 of text, compressed as they stand 65,500; as numbers in JSON some 280,000
    assert cell.write(tmp_path).stat().st_size < 65_000


BREAKS = {
    "cut short": lambda text: text[: len(text) // 2],
    "no JSON": lambda text: "reward: 1",
    "another kind": lambda text: text.replace("kgrl cell", "kgrl run"),
    "another format": lambda text: text.replace('"format": 1', '"format": 99'),
    "a field missing": lambda text: text.replace('"seed"', '"sead"'),
    "no kind": lambda text: text.replace('"kind"', '"kin"'),
    "a score that is not its users'": lambda text: text.replace('"reward": 0.194', '"reward": 0.195'),
    "another metric's": lambda text: text.replace('"recall": 0.141', '"recall": 0.142'),
    "another setting": lambda text: text.replace("eta-0.1", "eta-0.2"),
    "another method": lambda text: text.replace("DDPG-KNN (k=0.1N)", "DQN-R"),
    "another seed": lambda text: text.replace('"seed": 3', '"seed": 4'),
    "users cut off": lambda text: json.dumps(
        (cell := json.loads(text)) | {"per_user": {name: packed[:-5] for name, packed in cell["per_user"].items()}}),
    "a seed in quotes": lambda text: text.replace('"seed": 3', '"seed": "3"'),
    "how it was made, as a list": lambda text: json.dumps(json.loads(text) | {"made": []}),
    "an empty row of the curve": lambda text: json.dumps(json.loads(text) | {"curve": [{}]}),
    "a curve of numbers": lambda text: json.dumps(json.loads(text) | {"curve": [0.5]}),
    "a list": lambda text: "[]",
    "nothing": lambda text: "null",
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS.keys())
def test_a_broken_cell_is_named(tmp_path, change):
    path = made().write(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")
    with pytest.raises(ValueError, match=r"seed-3\.json is not a whole cell .*run the cell again"):
        Cell.read(path)


def test_a_cell_of_fewer_users_in_one_metric_is_refused(tmp_path):
    cell = made()
    path = made(per_user={**cell.per_user, "f1": torch.zeros(2)}).write(tmp_path)  # of the same mean, 0
    with pytest.raises(ValueError, match="`per_user` must be as many users for each metric"):
        Cell.read(path)


def test_a_moved_cell_is_refused(tmp_path):
    path = made().write(tmp_path)
    other = path.with_name("seed-5.json")
    path.rename(other)
    with pytest.raises(ValueError, match="seed-5.json is not a whole cell"):
        Cell.read(other)


@pytest.mark.parametrize(("changed", "named"), [
    ({"options": {"lr": 0.003}}, "options"), ({"training": {"interactions": 128}}, "training"),
    ({"data": "abd"}, "data"),
])
def test_a_cell_of_another_run_is_refused(changed, named):
    cell = made()
    run = {"options": cell.options, "training": cell.training, "data": cell.data}
    same_run(cell, **run)
    same_run(cell, **(run | {"data": None}))
    with pytest.raises(ValueError, match=rf"seed-3\.json is of another run(.|\n)*{named}: in the cell"):
        same_run(cell, **(run | changed))


def test_a_cell_of_code_that_has_changed_is_refused():
    run = {"options": made().options, "training": made().training, "data": None}
    own = made(made={"code": "abc"})
    same_run(own, **run, code="abc")
    for code in ("abd", None):
        with pytest.raises(ValueError, match=r"is of another run(.|\n)*code: the file that the method is written in"):
            same_run(own, **run, code=code)


@pytest.mark.parametrize("kind", [list, tuple])  # as read from a file, and as just run
def test_options_are_compared_as_a_file_has_them(kind):
    same_run(made(options={"backfill": kind(("popular", 3))}), options={"backfill": ("popular", 3)},
             training={"interactions": 64}, data=None)
