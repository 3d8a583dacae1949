"""What several commands ask for: where data sets are, and a data set by its name."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from torch_geometric.data import HeteroData

from kgrl.cli.dispatch import OneLineParser
from kgrl.experiments.data_sets import DATASETS
from kgrl.options import one_of


def command_parser(name: str, text: str) -> ArgumentParser:
    """A parser that shows ``text``, a module's docstring, as it is written."""
    return OneLineParser(prog=f"kgrl {name}", description=text, formatter_class=RawDescriptionHelpFormatter)


def add_data_places(parser: ArgumentParser) -> None:
    """``--data`` and ``--source``."""
    parser.add_argument("--data", type=Path, default=Path("data"), help="where data sets are kept (default: data)")
    parser.add_argument("--source", type=Path, help="folder that already holds the raw files; default: download them")


def data_set(name: str, args: Namespace) -> HeteroData:
    """The data set of that name, from the places that ``args`` tell.

    Raises:
        ValueError: an unknown name; the text lists the choices.
    """
    return DATASETS[one_of("dataset", name, DATASETS)](args.data / name, source=args.source)[0]
