"""The recurrent units of the states: KGQR's GRU over liked items, and TPGR's SRU over items and rewards."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from kgrl.objects import shaped
from kgrl.options import at_least

STATUS = 9
"""How many numbers the user status has: positive, negative, zero feedbacks, steps; and how many in a row, up
to now, were positive, negative, zero, not negative, not positive."""


class GRUState(torch.nn.Module):
    r"""The behavior aggregation layer: a gated recurrent unit over the liked items.

    From the `"Interactive Recommender System via Knowledge Graph-enhanced Reinforcement Learning"
    <https://arxiv.org/abs/2006.10389>`_ paper (KGQR, equations 7 and 8):

    .. math::
        \mathbf{z}_t &= \sigma_g(\mathbf{W}_z \mathbf{i}_t + \mathbf{U}_z \mathbf{h}_{t-1} + \mathbf{b}_z)

        \mathbf{r}_t &= \sigma_g(\mathbf{W}_r \mathbf{i}_t + \mathbf{U}_r \mathbf{h}_{t-1} + \mathbf{b}_r)

        \hat{\mathbf{h}}_t &= \sigma_h(\mathbf{W}_h \mathbf{i}_t + \mathbf{U}_h (\mathbf{r}_t \circ \mathbf{h}_{t-1})
        + \mathbf{b}_h)

        \mathbf{h}_t &= (1 - \mathbf{z}_t) \circ \mathbf{h}_{t-1} + \mathbf{z}_t \circ \hat{\mathbf{h}}_t, \qquad
        \mathbf{s}_t = \mathbf{h}_t

    This is not :class:`torch.nn.GRU`: there the reset gate comes after the product,
    :math:`\mathbf{r}_t \circ (\mathbf{U}_h \mathbf{h}_{t-1} + \mathbf{c})`, and **z** and 1 − **z** change places.
    The paper is silent on :math:`\sigma_g, \sigma_h` (logistic function and tanh, as in its reference 6) and on
    :math:`\mathbf{h}_0` (zeros): a user who liked nothing yet has the state zero.

    A rollout goes step by step: :meth:`project` once per parameter version, :meth:`step` for each liked item.

    Args:
        in_channels (int): Size d of an item vector.
        state_channels (int): Size h of the state.

    Shapes:
        - **inputs:** item vectors :math:`(N, d)`, sequences :math:`(B, L)` of item ids with −1 for "no item"
        - **outputs:** states :math:`(B, h)`
    """

    def __init__(self, in_channels: int, state_channels: int) -> None:
        super().__init__()
        self.in_channels = at_least("in_channels", in_channels, 1)
        self.state_channels = at_least("state_channels", state_channels, 1)
        self.weight = Parameter(torch.empty(3 * state_channels, in_channels))  # W_z, W_r, W_h
        self.bias = Parameter(torch.empty(3 * state_channels))
        self.recurrent_gates = Parameter(torch.empty(2 * state_channels, state_channels))  # U_z, U_r
        self.recurrent_candidate = Parameter(torch.empty(state_channels, state_channels))  # U_h
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws every weight uniformly from ±1/√h, as PyTorch's recurrent layers do."""
        bound = 1 / math.sqrt(self.state_channels)
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound)

    def initial(self, num_sessions: int) -> Tensor:
        """``[num_sessions, h]``, the state before anything was liked."""
        return self.bias.new_zeros(num_sessions, self.state_channels)

    def project(self, items: Tensor) -> Tensor:
        """What items bring into the gates, W·i + b: ``[N, d]`` → ``[N, 3h]``."""
        return F.linear(items, self.weight, self.bias)

    def step(self, hidden: Tensor, inputs: Tensor) -> Tensor:
        """One item later.

        Args:
            hidden: ``[B, h]``, the states so far.
            inputs: ``[B, 3h]``, rows of :meth:`project`.

        Returns:
            ``[B, h]``.
        """
        h = self.state_channels
        update, reset = torch.sigmoid(inputs[:, : 2 * h] + F.linear(hidden, self.recurrent_gates)).chunk(2, dim=1)
        candidate = torch.tanh(inputs[:, 2 * h :] + F.linear(reset * hidden, self.recurrent_candidate))
        # the state stays out of mixed precision
        return torch.lerp(hidden, candidate.to(hidden.dtype), update.to(hidden.dtype))

    def forward(self, items: Tensor, sequences: Tensor) -> Tensor:
        """The states after whole sequences.

        Args:
            items: ``[N, d]``.
            sequences: ``[B, L]``, item ids, oldest first; −1, anywhere, is skipped.
        """
        shaped("items", items, None, self.in_channels)
        ids, alive, rank = _packed(shaped("sequences", sequences, None, None, whole=True))
        if ids.numel() < items.size(0):  # project what occurs, or every item once, whichever is less
            inputs = self.project(F.embedding(ids, items))
        else:
            inputs = F.embedding(ids, self.project(items))
        hidden, finished = self.initial(sequences.size(0)), []
        for step in inputs.split(alive):
            finished.append(hidden[len(step) :])
            hidden = self.step(hidden[: len(step)], step)
        return torch.cat([hidden, *reversed(finished)]).index_select(0, rank)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.state_channels}"


def _packed(sequences: Tensor) -> tuple[Tensor, list[int], Tensor]:
    """Packs ragged sequences time step by time step, longest session first, so that none is computed past its end.

    Returns:
        ids: every item id, the first items of all sessions, then the second items, …
        alive: how many sessions have a first item, a second item, …
        rank: ``[B]``, where among the sorted sessions each one is.
    """
    present = sequences >= 0
    length = present.sum(1)
    by_length = length.argsort(descending=True, stable=True)
    earliest_first = (~present).to(torch.uint8).argsort(dim=1, stable=True)
    compact = sequences.gather(1, earliest_first)[by_length].t()
    taken = compact >= 0
    alive = [count for count in taken.sum(1).tolist() if count]  # the one value the host needs
    return compact[taken], alive, by_length.argsort()


class SRUCarry(NamedTuple):
    """What a step hands to the next: ``cell [B, h]``, and ``output [B, h]``, the hidden vector."""

    cell: Tensor
    output: Tensor


class SRU(torch.nn.Module):
    r"""A recurrent unit whose recurrence is element by element; all its matrix products are made before.

    From the `"Simple Recurrent Units for Highly Parallelizable Recurrence" <https://arxiv.org/abs/1709.02755>`_ paper
    (first version, equations 3 to 7; Lei and Zhang, 2017), as TPGR uses it:

    .. math::
        \tilde{\mathbf x}_t &= \mathbf W \mathbf x_t

        \mathbf f_t &= \sigma(\mathbf W_f \mathbf x_t + \mathbf b_f), \qquad
        \mathbf r_t = \sigma(\mathbf W_r \mathbf x_t + \mathbf b_r)

        \mathbf c_t &= \mathbf f_t \circ \mathbf c_{t-1} + (1 - \mathbf f_t) \circ \tilde{\mathbf x}_t

        \mathbf h_t &= \mathbf r_t \circ \tanh(\mathbf c_t) + (1 - \mathbf r_t) \circ \mathbf x_t

    Where input and state differ in size, the last :math:`\mathbf x_t` is :math:`\mathbf W_h \mathbf x_t`, as in the
    authors' code.

    Args:
        in_channels (int): Size d of an input.
        state_channels (int): Size h of the state.

    Shapes:
        - **inputs:** :math:`(B, T, d)`
        - **outputs:** :math:`(B, T, h)`
    """

    def __init__(self, in_channels: int, state_channels: int) -> None:
        super().__init__()
        self.in_channels = at_least("in_channels", in_channels, 1)
        self.state_channels = at_least("state_channels", state_channels, 1)
        self.parts = 3 if in_channels == state_channels else 4
        self.weight = Parameter(torch.empty(self.parts * state_channels, in_channels))  # W, W_f, W_r (, W_h)
        self.bias = Parameter(torch.empty(2 * state_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights uniformly from ±√(3/d), so that a state keeps its input's variance; biases 0."""
        bound = math.sqrt(3 / self.in_channels)
        torch.nn.init.uniform_(self.weight, -bound, bound)
        torch.nn.init.zeros_(self.bias)

    def initial(self, num_sessions: int) -> SRUCarry:
        """Zeros."""
        zeros = self.bias.new_zeros(num_sessions, self.state_channels)
        return SRUCarry(zeros, zeros)

    def project(self, inputs: Tensor) -> Tensor:
        """What inputs bring in, ``[…, d]`` → ``[…, 4h]``: all that is not element by element."""
        products = F.linear(inputs, self.weight).to(self.bias.dtype)  # the recurrence stays out of mixed precision
        return products if self.parts == 4 else torch.cat([products, inputs.to(self.bias.dtype)], -1)

    def step(self, carry: SRUCarry, inputs: Tensor) -> SRUCarry:
        """One input later; ``inputs [B, 4h]`` from :meth:`project`."""
        h = self.state_channels
        forget, reset = torch.sigmoid(inputs[:, h : 3 * h] + self.bias).chunk(2, 1)
        cell = torch.lerp(inputs[:, :h], carry.cell, forget)
        return SRUCarry(cell, torch.lerp(inputs[:, 3 * h :], torch.tanh(cell), reset))

    def forward(self, inputs: Tensor) -> Tensor:
        """The hidden vectors after each of the inputs."""
        shaped("inputs", inputs, None, None, self.in_channels)
        carry, outputs = self.initial(inputs.size(0)), [inputs.new_zeros(inputs.size(0), 0, self.state_channels)]
        for step in self.project(inputs).unbind(1):
            carry = self.step(carry, step)
            outputs.append(carry.output.unsqueeze(1))
        return torch.cat(outputs, 1)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.state_channels}"


def initial_status(num_sessions: int, device: torch.device | str | None = None) -> Tensor:
    """``[num_sessions, 9]``, before the first step."""
    return torch.zeros(num_sessions, STATUS, device=device, dtype=torch.float)


def next_status(status: Tensor, sign: Tensor) -> Tensor:
    """The status one step later (TPGR, Figure 2; which nine, the paper leaves to the authors' code).

    Args:
        status: ``[B, 9]``, counts.
        sign: ``[B]``, whether the last feedback was positive (1), negative (−1) or neither (0).
    """
    up, down = sign > 0, sign < 0
    always = torch.ones_like(up)
    flags = torch.stack([up, down, ~(up | down), always, up, down, ~(up | down), ~down, ~up], 1)
    # a total is kept and grows where its flag is up; a run also ends where it is not
    grown = status + flags
    return torch.cat([grown[:, :4], grown[:, 4:] * flags[:, 4:]], 1)
