"""``Variant``: what of a setting differs from the papers': other splits of the users, new items, users with a past."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kgrl.options import expected

FORM = re.compile(r"(?:-users-(?P<users>\d+))?"
                  r"(?:-new(?P<time>-time)?-(?P<items>\d+)(?P<known>-ever|-uneven)?(?:-past-(?P<past>[1-9]\d*))?)?")
PARTS = "-users-SEED, -new[-time]-SEED[-ever|-uneven][-past-LENGTH]"


@dataclass(frozen=True)
class Variant:
    """What comes behind a world's name, as in ``heldout-new-0``.

    Args:
        users: seed of the split of the users.
        items: seed of the split of the items: a fifth is new, neither rated nor shown before the test sessions, in
            which nothing else is shown. ``None``: all items are old.
        by: ``"random"``, or ``"time"``: the latest are new; see :func:`kgrl.datasets.split_items`.
        known_at: ``"release"`` or ``"ever"``, see :func:`kgrl.datasets.as_released`.
        evenly: whether relations that come after release are taken from old items, too.
        past: logged ratings of old items that a test session begins with, at most; 0: none.
    """

    users: int = 0
    items: int | None = None
    by: str = "random"
    known_at: str = "release"
    evenly: bool = True
    past: int = 0

    @classmethod
    def read(cls, text: str) -> tuple[str, Variant]:
        """A world's name without its variant, and that.

        Args:
            text: e.g. ``heldout``, ``logged-new-2-past-32``, ``heldout-users-1``.

        Raises:
            ValueError: a variant that is none.
        """
        world, sign, rest = text.partition("-")
        found = FORM.fullmatch(sign + rest)
        if found is None:
            raise ValueError(expected("world", f"a world's name, perhaps followed by {PARTS}", text))
        users, items, known = found["users"], found["items"], found["known"]
        return world, cls(int(users or 0), None if items is None else int(items), "time" if found["time"] else "random",
                          "ever" if known == "-ever" else "release", known != "-uneven", int(found["past"] or 0))

    def __str__(self) -> str:
        text = f"-users-{self.users}" if self.users else ""
        if self.items is None:
            return text
        known = "-ever" if self.known_at == "ever" else "" if self.evenly else "-uneven"
        return (f"{text}-new{'-time' if self.by == 'time' else ''}-{self.items}{known}"
                + (f"-past-{self.past}" if self.past else ""))
