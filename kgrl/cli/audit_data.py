"""Tell whether the items of a data set are linked to the right entities of its knowledge graph.

    kgrl audit ml-100k
    kgrl audit FOLDER                                                # RecBole's files, or RippleNet's and KGCN's
    kgrl audit FOLDER --ratings ratings.csv --separator , --threshold 4       # KGCN's raw files

Items that share a rare entity should be liked by the same people more often than others: right links are told from
wrong ones without any label (see kgrl.datasets.audit_links). The exit code is 0 where they carry meaning, 1 where they
are not told apart from shuffled ones or nothing can be told, and 2 after an error.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from torch_geometric.data import HeteroData

from kgrl.cli.shared_options import add_data_places, command_parser, data_set
from kgrl.datasets.audit import audit_links
from kgrl.datasets.kgcn import from_kgcn
from kgrl.datasets.recbole import from_recbole
from kgrl.experiments.arguments import number_from, whole_from
from kgrl.experiments.data_sets import DATASETS
from kgrl.options import did_you_mean, expected

SHOWN = 10
"""Relations that are listed."""


def audit_data(argv: Sequence[str]) -> int:
    """The command ``kgrl audit``; returns its exit code."""
    parser = command_parser("audit", __doc__ or "")
    add = parser.add_argument
    add("data_set", metavar="DATASET|FOLDER", help=f"one of {', '.join(DATASETS)}, or a folder of raw files")
    add("--ratings", help="of KGCN's raw files: the file of ratings")
    add("--separator", default="\t", help="between its columns (default: a tab)")
    add("--threshold", type=number_from(-1e9), help="ratings of at least this are likings, in KGCN's raw files")
    add("--max-items", type=whole_from(2), default=20, help="an entity is rare if at most so many items have it")
    add("--shufflings", type=whole_from(2), default=20, help="how often links are exchanged (default: 20)")
    add("--seed", type=whole_from(0), default=0, help="of all draws")
    add_data_places(parser)
    args = parser.parse_args(argv)
    audit = audit_links(_read(args), max_items=args.max_items, shufflings=args.shufflings, seed=args.seed)
    print(audit)
    if audit.relations:
        print(f"\n{'relation':<40}  {'lift':>6}  {'z':>6}  {'pairs':>8}")
    for each in audit.relations[:SHOWN]:
        print(f"{each.relation:<40}  {each.lift:>6.2f}  {each.z:>6.1f}  {each.pairs:>8,}")
    return 0 if audit.sound else 1


def _read(args: Namespace) -> HeteroData:
    folder = Path(args.data_set)
    if args.data_set in DATASETS:
        return data_set(args.data_set, args)
    if not folder.is_dir():
        raise ValueError(expected("DATASET|FOLDER", "a known data set or a folder", args.data_set,
                                  did_you_mean(args.data_set, DATASETS)))
    if list(folder.glob("*.inter")):
        return from_recbole(folder)
    return from_kgcn(folder, args.ratings, args.separator, args.threshold)
