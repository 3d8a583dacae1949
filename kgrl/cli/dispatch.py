"""``main``: what runs when somebody types ``kgrl``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from kgrl.version import __version__

COMMANDS = {
    "train": ("train_agent", "train an agent in a simulated world, score it, and write it into a folder"),
    "recommend": ("recommend_items", "what a trained agent recommends to a user whose feedback is known"),
    "audit": ("audit_data", "whether the items of a data set are linked to the right entities of its KG"),
    "tables": ("make_tables", "run the cells of a table of the papers, and print it"),
}
"""Each command's file, with a function of that name, and what it does. The files are loaded when they are needed: they
need PyTorch, and ``kgrl --help`` does not."""
WRONG = 2
"""The exit code where a command cannot be done as it was given; 0 is a good end."""
INTERRUPTED = 130


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error of the command is said; the usage is in ``--help``."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: error: {' '.join(message.split())}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code of the process.

    What a user can put right is said in one line on the standard error, without a traceback: ``--traceback`` before the
    command shows where it came from.

    Args:
        argv: the words after ``kgrl``; ``None``: those of the command line.
    """
    parser = OneLineParser(
        prog="kgrl", description="Interactive recommendation with a knowledge graph.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items())
        + "\n\n`kgrl COMMAND --help` tells the options of each.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=f"one of {', '.join(COMMANDS)}")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="…", help="of the command")
    args = parser.parse_args(argv)
    file = COMMANDS[args.command][0]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *where: _say(args.command, "warning", message)
            return int(getattr(import_module(f"kgrl.cli.{file}"), file)(args.options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, TypeError, OSError, ImportError) as error:  # what kgrl raises for what a user has given
        if args.traceback:
            raise
        _say(args.command, "error", error)
        return WRONG


def _say(command: str, kind: str, what: Exception | str) -> None:
    """One line on the standard error."""
    print(f"kgrl {command}: {kind}: {' '.join(str(what).split())}", file=sys.stderr)
