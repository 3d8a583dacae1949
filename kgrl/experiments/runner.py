"""Runs cells: one method, one setting, one seed, one file, and nothing twice."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kgrl.evaluate import METRICS, Scores, evaluate, score
from kgrl.experiments.cell import Cell, cell_path, same_run
from kgrl.experiments.method import BOUND, Method, slug
from kgrl.experiments.setting import Setting
from kgrl.files import digest
from kgrl.locks import one_at_a_time
from kgrl.simulator.bounds import ALL_KNOWING, Bounds
from kgrl.train.fit import fit
from kgrl.version import __version__


def run_cell(
    setting: Setting, method: Method, seed: int, folder: str | os.PathLike[str], *,
    options: Mapping[str, Any] | None = None, training: Mapping[str, Any] | None = None,
    checkpoints: str | os.PathLike[str] | None = None, callbacks: Any = None,
) -> Cell:
    """One run: build the agent, train it, score it once on the test users, write the cell.

    Where the cell's file is there already, it is read, checked to be of this run, and returned. While another process
    runs it, this one waits for it.

    Args:
        setting: data, world and η.
        method: of :data:`kgrl.experiments.method.METHODS`, or one's own.
        seed: of the agent.
        folder: of the cells.
        options: of the agent; default: the first of the method's grid.
        training: in place of the method's own.
        checkpoints: a folder where a run that is cut off leaves its checkpoint, to go on from; removed at the end.
        callbacks: see :func:`kgrl.train.fit`.

    Raises:
        ValueError: the data set lacks what the method needs, or a cell that is there is broken or of another run.
    """
    options = dict(method.grid[0] if options is None else options)
    training = dict(method.training if training is None else training)
    method.require(setting)
    path = Path(folder) / cell_path(setting.name, method.name, seed)

    def there() -> Cell | None:
        if not path.exists():
            return None
        cell = Cell.read(path)
        same_run(cell, options=options, training=training, data=setting.digest, code=method.code)
        return cell

    if (cell := there()) is not None:
        return cell
    with one_at_a_time(path):
        return there() or _run(setting, method, seed, path, folder, options, training, checkpoints, callbacks)


def _run(
    setting: Setting, method: Method, seed: int, path: Path, folder: str | os.PathLike[str],
    options: Mapping[str, Any], training: Mapping[str, Any], checkpoints: str | os.PathLike[str] | None,
    callbacks: Any,
) -> Cell:
    """The run of a cell that is not there yet, and nobody else's at the moment."""
    started = time.perf_counter()
    agent: Any = method.build(setting, seed, **options).to(setting.device)
    if setting.old is not None:
        agent.restrict(setting.old)
    built = time.perf_counter() - started
    run = digest(str(path), options, training, method.code)[:16]
    checkpoint = None if checkpoints is None else Path(checkpoints) / run
    curve = [] if not training else fit(
        agent, setting.simulator, setting.train, eval_users=setting.curve_users, seed=seed, checkpoint=checkpoint,
        progress=False, callbacks=callbacks, **training)
    evaluated = time.perf_counter()
    if setting.new is not None:
        agent.restrict(setting.new)
    scores = evaluate(agent, setting.test_simulator, setting.test, seed=seed)
    seconds = {"building": built, "training": curve[-1]["seconds"] if curve else 0.0,
               "test users": time.perf_counter() - evaluated}
    cell = _cell(setting, method.name, seed, scores, options=options, training=training, curve=curve,
                 note=method.note(setting) or "", made=_made(setting) | {"seconds": seconds, "agent": _written(agent)}
                 | ({} if method.code is None else {"code": method.code}))
    cell.write(folder)
    if checkpoint is not None:
        shutil.rmtree(checkpoint, ignore_errors=True)
    return cell


def run_bounds(setting: Setting, folder: str | os.PathLike[str]) -> list[Cell]:
    """The cells of a setting's bounds, on the test users; those that are there already are read.

    See :class:`kgrl.simulator.Bounds`. Their curves are one row, the score on the validation users of every curve. The
    upper bound's cell has the same reward for every user, and the all-knowing's hits.
    """
    if (found := _bounds_there(setting, folder)) is not None:
        return found
    with one_at_a_time(Path(folder) / setting.name / slug(BOUND)):
        return _bounds_there(setting, folder) or _run_bounds(setting, folder)


def _bounds_there(setting: Setting, folder: str | os.PathLike[str]) -> list[Cell] | None:
    """The cells of a setting's bounds, if all of them are there."""
    found = [Cell.read(path) for path in sorted((Path(folder) / setting.name).glob(f"{slug(BOUND)}-*/seed-0.json"))]
    for cell in found:
        same_run(cell, options={}, training={}, data=setting.digest)
    return found if any(cell.method == f"{BOUND}upper" for cell in found) else None  # it is written last


def _run_bounds(setting: Setting, folder: str | os.PathLike[str]) -> list[Cell]:
    popular = setting.popular if setting.new is None else None  # nobody has liked a new item yet
    test = setting.test_simulator.bounds(setting.test, setting.train, popular=popular)
    curve = setting.simulator.bounds(setting.curve_users, setting.train, popular=setting.popular)
    cells = [_cell(setting, BOUND + name, 0, score(sessions, test.num_relevant), made=_made(setting),
                   curve=[{"interactions": 0, **curve.metrics(name)}]) for name, sessions in test.lines.items()]
    cells.append(_upper(setting, test))
    for cell in cells:
        cell.write(folder)
    return cells


def _upper(setting: Setting, bounds: Bounds) -> Cell:
    all_knowing = score(bounds.lines[ALL_KNOWING], bounds.num_relevant).per_user
    per_user = dict(all_knowing) | {"reward": torch.full_like(all_knowing["reward"], bounds.upper)}
    means = {name: float(per_user[name].mean()) for name in METRICS}
    return Cell(setting.name, f"{BOUND}upper", 0, {}, {}, setting.digest, means, per_user,
                made=_made(setting) | {"taste share": bounds.taste_share})


def _cell(setting: Setting, method: str, seed: int, scores: Scores, *, options: Mapping[str, Any] | None = None,
          training: Mapping[str, Any] | None = None, **rest: Any) -> Cell:
    means = {name: getattr(scores, name) for name in METRICS}
    return Cell(setting.name, method, seed, options or {}, training or {}, setting.digest, means, scores.per_user,
                **rest)


def _written(agent: nn.Module) -> Any:
    """All options of the agent, its defaults among them, as far as JSON can hold them."""
    return json.loads(json.dumps(getattr(agent, "options", None), default=repr))


def _made(setting: Setting) -> dict[str, Any]:
    """What made the numbers."""
    device = setting.simulator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"kgrl": __version__, "commit": _commit(), "torch": torch.__version__, "python": platform.python_version(),
            "device": f"{device.type} ({name})", "threads": torch.get_num_threads(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def _commit() -> str | None:
    """The commit of the source tree, marked where it has changes; ``None`` where it is no checkout."""
    try:
        return subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True,
                              check=True, cwd=Path(__file__).parent).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
