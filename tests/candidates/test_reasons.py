"""Paths in words: each form of sentence, with names and without."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kgrl.candidates.reasons import Step, reason
from kgrl.candidates.roles import Role

FARGO, COEN, HEAT, OTHER, OSCAR = range(5)
NAMES = {FARGO: "Fargo", COEN: "Joel Coen", HEAT: "Heat", OSCAR: "the Oscar"}
ROLES = {
    "directed_by": Role("director"), "film": Role("director", head=True), "actor": Role("actor", many=True),
    "sequel": Role("sequel"), "3": Role("relation 3", noun=False), "won": Role("award", verb="won", many=True),
    "nominated": Role("award", verb="was nominated for", many=True),
}


def say(*steps: tuple[str, bool, int], names: Mapping[int, str] = NAMES) -> str:
    """The path from Fargo, in words; the last step's node is the candidate."""
    return reason(FARGO, [Step(*step) for step in steps], lambda node: names.get(node, ""), ROLES.__getitem__)


TO, BACK = False, True
UNNAMED = {FARGO: "Fargo", HEAT: "Heat"}


@pytest.mark.parametrize(("steps", "named", "unnamed"), [
    ([("directed_by", TO, COEN), ("directed_by", BACK, OTHER)],
     "shares the director Joel Coen with Fargo", "has the same director as Fargo"),
    ([("film", BACK, COEN), ("film", TO, OTHER)],
     "shares the director Joel Coen with Fargo", "has the same director as Fargo"),
    ([("directed_by", TO, COEN), ("film", TO, OTHER)],  # two relations that say the same
     "shares the director Joel Coen with Fargo", "has the same director as Fargo"),
    ([("actor", TO, COEN), ("actor", BACK, OTHER)],
     "shares the actor Joel Coen with Fargo", "shares an actor with Fargo"),
    ([("3", TO, COEN), ("3", BACK, OTHER)],
     "is linked to Joel Coen, like Fargo (relation 3)", "is linked to the same entity as Fargo (relation 3)"),
    ([("won", TO, COEN), ("won", BACK, OTHER)],
     "won the award Joel Coen, like Fargo", "won the same award as Fargo"),
    ([("won", TO, COEN), ("nominated", BACK, OTHER)],
     "was nominated for the award Joel Coen, which Fargo won", "was nominated for an award that Fargo won"),
    ([("directed_by", TO, COEN), ("actor", BACK, OTHER)],
     "has the actor Joel Coen, and Joel Coen is a director of Fargo", "has an actor that is a director of Fargo"),
    ([("sequel", TO, COEN), ("sequel", TO, OTHER)],
     "is a sequel of Joel Coen, and Joel Coen is a sequel of Fargo",
     "is a sequel of an entity that is a sequel of Fargo"),
    ([("3", TO, COEN), ("sequel", BACK, OTHER)],
     "has the sequel Joel Coen, and Joel Coen is linked to Fargo (relation 3)",
     "has a sequel that is linked to Fargo (relation 3)"),
    ([("directed_by", TO, COEN), ("3", TO, OTHER)],
     "is linked to Joel Coen (relation 3), and Joel Coen is a director of Fargo",
     "is linked to an entity (relation 3) that is a director of Fargo"),
])
def test_two_steps(steps, named, unnamed):
    assert say(*steps) == named
    assert say(*steps, names=UNNAMED) == unnamed


@pytest.mark.parametrize(("step", "said"), [
    (("sequel", TO, OTHER), "is a sequel of Fargo"), (("sequel", BACK, OTHER), "has the sequel Fargo"),
    (("actor", TO, OTHER), "is an actor of Fargo"), (("film", TO, OTHER), "has the director Fargo"),
    (("3", TO, OTHER), "is linked to Fargo (relation 3)"), (("won", BACK, OTHER), "won the award Fargo"),
])
def test_one_step(step, said):
    assert say(step) == said


def test_longer_walks_are_told_from_the_candidate_back():
    directed = [("directed_by", TO, COEN), ("directed_by", BACK, HEAT)]
    acted = [("actor", TO, OSCAR), ("actor", BACK, OTHER)]
    assert say(*directed, *acted) == "shares the actor the Oscar with Heat, and Heat shares the director Joel Coen " \
                                     "with Fargo"
    assert say(*directed, *acted, names=UNNAMED) == "shares an actor with Heat, and Heat has the same director as Fargo"
    assert say(*directed, *acted, names={FARGO: "Fargo"}) == "shares an actor with another entity that has the same " \
                                                             "director as Fargo"
    assert say(*directed, ("sequel", TO, OTHER)) == "is a sequel of Heat, and Heat shares the director Joel Coen " \
                                                    "with Fargo"
