"""Hand-made cells for tables."""

import torch

from kgrl.experiments.cell import Cell

SETTING = "book-crossing/kgqr/eta-0.1"
TRAINING = {"interactions": 40}


def made_cell(method, seed, rewards, *, setting=SETTING, options=None, training=TRAINING, data="d", curve=(), note=""):
    """A cell of three metrics that are simple functions of the users' rewards; curve: rewards at 10, 20, …"""
    reward = torch.tensor(rewards)
    users = {"reward": reward, "precision": reward / 2, "recall": reward / 10, "f1": reward / 5}
    return Cell(setting, method, seed, options or {}, training, data,
                {name: float(values.mean()) for name, values in users.items()}, users,
                [{"interactions": 10 * (at + 1), "reward": value, "seconds": 0.3 * (at + 1),
                  "evaluation_seconds": 0.1 * (at + 1)} for at, value in enumerate(curve)], note)


def write_bounds(folder, setting=SETTING):
    for name, reward, level in (("all-knowing", 3.0, 3.1), ("best fixed list", 1.5, 1.4), ("upper", 3.5, None)):
        cell = made_cell(f"bound: {name}", 0, [reward] * 5, setting=setting, training={},
                         curve=() if level is None else (level,))
        cell.write(folder)
