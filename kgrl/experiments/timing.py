"""TPGR's Table 3, seconds of training and of deciding, and how the latter grow with the number of items."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from kgrl.experiments.canvas import canvas
from kgrl.experiments.decider import STATE, Decider
from kgrl.experiments.deciders import DECIDERS, make_decider
from kgrl.options import at_least, expected
from kgrl.seeding import generator_for

GROWTH = 4
"""Before anything counts, batches grow by this factor for as long as there is time."""


class Timing(NamedTuple):
    """The fastest of ``repeats``, after a warm-up that does not count: what took longer was disturbed by other work.

    Attributes:
        seconds: of what was asked for.
        measured: how many episodes or decisions a repeat really made.
        extrapolated: whether these were fewer than asked for, and ``seconds`` is in proportion.
        batch: episodes or decisions at once.
        repeats: how often it was measured.
        threads: that PyTorch computed with.
        device: that it computed on.
    """

    seconds: float
    measured: int
    extrapolated: bool
    batch: int
    repeats: int
    threads: int
    device: str


def training_step_seconds(
    decider: Decider, episodes: int = 1_000, steps: int = 32, repeats: int = 3, seed: int = 0
) -> Timing:
    """Seconds of a training step: ``episodes`` are sampled, then the network is updated with them (TPGR, Table 3).

    Every step decides for all episodes at once; states and rewards are random numbers, as only the network is timed.
    Differs from the paper: one gradient step on the whole batch, where Algorithm 1 makes one a step of an episode;
    paper is silent on the other methods' number.

    Args:
        decider: a method's network; it is trained.
        episodes, steps: the size of a training step.
        repeats: how often it is measured.
        seed: of states, rewards and exploration.
    """
    generator = generator_for(_device(decider), seed)

    def step(size: int) -> None:
        state = torch.randn(steps, size, STATE, generator=generator, device=generator.device, dtype=torch.float)
        rewards = torch.rand(steps, size, generator=generator, device=generator.device, dtype=torch.float)
        items = torch.stack([decider.decide(now, generator) for now in state])
        decider.update(state, items, rewards)

    at_least("steps", steps, 1)
    step(at_least("episodes", episodes, 1) // 10 + 1)
    taken = [_seconds(lambda: step(episodes), generator.device) for _ in range(at_least("repeats", repeats, 1))]
    return _timing(decider, min(taken), episodes, False, episodes, repeats)


def decision_seconds(
    decider: Decider, decisions: int = 1_000_000, batch: int = 16_384, limit: float = 5.0, repeats: int = 3,
    seed: int = 0,
) -> Timing:
    """Seconds of so many (best, not exploring) decisions.

    Where they would take longer than ``limit``, fewer are made, in smaller batches if need be, and their time is taken
    for a part in proportion: that is ``extrapolated``.

    Args:
        decider: a method's network.
        decisions: how many are asked for.
        batch: states at once, at most.
        limit: seconds that a repeat may take, roughly.
        repeats: how often it is measured.
        seed: of the states.
    """
    generator = generator_for(_device(decider), seed)

    def decide(size: int) -> Callable[[], object]:
        state = torch.randn(size, STATE, generator=generator, device=generator.device, dtype=torch.float)
        return lambda: decider.decide(state)

    most, size = min(at_least("batch", batch, 1), at_least("decisions", decisions, 1)), 1
    decide(size)()
    while size < most and min(_seconds(decide(size), generator.device) for _ in range(2)) * GROWTH < limit:
        size = min(GROWTH * size, most)
    call = decide(size)
    calls = max(1, min(math.ceil(decisions / size), int(limit / _seconds(call, generator.device))))
    turns = range(at_least("repeats", repeats, 1))
    taken = [sum(_seconds(call, generator.device) for _ in range(calls)) for _ in turns]
    made = calls * size
    return _timing(decider, min(taken) * decisions / made, made, made < decisions, size, repeats)


def decision_times(
    sizes: Iterable[int], methods: Iterable[str] = tuple(DECIDERS), seed: int = 0, device: torch.device | str = "cpu",
    watch: Callable[[Mapping[str, Any]], object] | None = None, **options: Any,
) -> list[dict[str, Any]]:
    """A row for every number of items and method: ``method``, ``items``, and :class:`Timing`'s attributes.

    Memory stays below 1 GiB at a million items: TPGR's networks, and what few rows need of each item.

    Args:
        sizes: numbers of items.
        methods: of :data:`kgrl.experiments.deciders.DECIDERS`.
        seed: of networks, items and states.
        device: to measure on.
        watch: called with each row.
        **options: of :func:`decision_seconds`.

    Raises:
        ValueError: an unknown method.
    """
    rows = []
    for method in methods:
        for size in sizes:
            decider = make_decider(method, size, seed).to(device)
            timing = decision_seconds(decider, seed=seed, **options)
            rows.append({"method": method, "items": size, **timing._asdict()})
            if watch is not None:
                watch(rows[-1])
    return rows


def fitted_exponent(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, int | None]:
    r"""(p, the smallest size fitted) of :math:`t \propto N^p`: the slope of log t on log N by least squares.

    Fitted over the sizes at which N's share dominates: where the time is at least twice the shortest, so that what does
    not depend on N is at most half of it. Fewer than two such sizes: (NaN, ``None``).

    Raises:
        ValueError: sizes and seconds of different number, or not positive.
    """
    if len(sizes) != len(seconds) or not all(value > 0 for value in (*sizes, *seconds)):
        raise ValueError(expected("seconds", f"{len(sizes)} positive numbers, one a positive size", list(seconds)))
    pairs = sorted((size, taken) for size, taken in zip(sizes, seconds, strict=True) if taken >= 2 * min(seconds))
    if len({size for size, _ in pairs}) < 2:
        return math.nan, None
    x, y = np.log(np.array(pairs)).T
    x -= x.mean()
    return float(x @ y / (x @ x)), pairs[0][0]


def plot_decision_times(rows: Iterable[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draws time against N into a PNG file, both logarithmic, with each method's fitted exponent in the legend.

    Args:
        rows: from :func:`decision_times`.
        path: the file.
    """
    rows = list(rows)
    with canvas(path, size=(8, 6), legend="upper left") as (axes,):
        for method in dict.fromkeys(row["method"] for row in rows):
            points = [(row["items"], row["seconds"]) for row in rows if row["method"] == method]
            sizes, seconds = zip(*points, strict=True)
            axes.loglog(sizes, seconds, marker=".", label=f"{method}: {_growth(sizes, seconds)}")
        axes.set(xlabel="items N", ylabel="seconds for a million decisions")


def _growth(sizes: Sequence[int], seconds: Sequence[float]) -> str:
    """What the legend says of a method."""
    exponent, since = fitted_exponent(sizes, seconds)
    return "too few sizes to fit" if since is None else f"$N^{{{exponent:.2f}}}$ from {since:,} items on"


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _device(decider: Decider) -> torch.device:
    return next(decider.parameters()).device


def _timing(decider: Decider, seconds: float, measured: int, extrapolated: bool, batch: int, repeats: int) -> Timing:
    return Timing(seconds, measured, extrapolated, batch, repeats, torch.get_num_threads(), str(_device(decider)))
