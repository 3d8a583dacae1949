"""An agent of one's own enters the table: write it, register it, run its cells, print the table.

    python examples/your_own_agent.py                              # MovieLens-100K, beside what is quick to run
    python examples/your_own_agent.py --cells examples/reproduce/cells      # beside all that has been run there

An agent is an `nn.Module` with `act` and `learn`; of the world it sees the sessions, and nothing else. The scripts of
examples/reproduce know what this file registers, too: `tune.py --with examples/your_own_agent.py`, and so on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import kgrl.experiments.methods  # noqa: F401 (makes the papers' methods known)
from kgrl.experiments.arguments import check_source, world_name
from kgrl.experiments.method import Method, method_of, register
from kgrl.experiments.render import sheet
from kgrl.experiments.result_tables import table_of
from kgrl.experiments.results import Results
from kgrl.experiments.runner import run_bounds, run_cell
from kgrl.experiments.search import Tuned
from kgrl.experiments.setting import Setting
from kgrl.sessions import Sessions

ROOT = Path(__file__).resolve().parents[1]


class MoreOfTheSame(nn.Module):
    """Recommends what is near the items that were received well, and far from the others."""

    vectors: Tensor
    prior: Tensor

    def __init__(self, vectors: Tensor, popular: Tensor, near: float = 1.0) -> None:
        super().__init__()
        self.near = near
        self.register_buffer("vectors", nn.functional.normalize(vectors))
        rank = torch.empty(len(popular)).scatter_(0, popular, torch.arange(len(popular)).float())
        self.register_buffer("prior", -torch.log1p(rank))

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        shown = sessions.shown                                              # [B, t], −1 where a session has ended
        feedback = sessions.feedback[:, : sessions.step].unsqueeze(2)       # [B, t, 1]
        taste = (self.vectors[shown] * feedback).sum(1)                     # [B, d]
        scores = self.prior + self.near * taste @ self.vectors.T            # [B, N]
        scores = scores.masked_fill(~sessions.unshown(len(self.prior)), -torch.inf)     # nothing twice
        best, item = scores.max(1)
        return item.masked_fill(best == -torch.inf, -1)                     # −1: nothing is left

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        return {"gradient_steps": 0}                                        # nothing to learn from interactions


MINE = register(Method(
    "More of the same", lambda setting, seed, near: MoreOfTheSame(setting.vectors, setting.popular, near),
    grid=({"near": 1.0}, {"near": 0.3}, {"near": 3.0})))                    # the first, until tune.py has searched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=world_name, default="ml-100k/heldout", metavar="DATASET/WORLD")
    parser.add_argument("--source", type=Path, help="folder that already holds the raw files; default: download them")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="where data sets are kept")
    parser.add_argument("--cells", type=Path, default=Path("runs/my-cells"), help="folder of the cells")
    args = parser.parse_args()
    check_source(parser, args.source, [args.world])
    quick = [MINE.name, "Random", "Popularity", "Most rated", "GreedySVD", "Linear-Gaussian", "LinearUCB"]
    dataset, world = args.world.split("/")
    setting = Setting.load(dataset, world, eta=0.1, root=args.data, source=args.source)
    tuned = Tuned(ROOT / "examples/reproduce/tuned.json")
    run_bounds(setting, args.cells)
    for name in quick:
        method = method_of(name)
        run_cell(setting, method, 0, args.cells, options=tuned.options(args.world, method))
    known = table_of("tpgr-table2" if setting.world == "logged" else "kgqr-table3")
    table = replace(known, rows={**known.rows, MINE.name: MINE.name}, ours=MINE.name)
    print(sheet(table, Results(args.cells, setting.name, tuned, setting.digest)).markdown())


if __name__ == "__main__":
    main()
