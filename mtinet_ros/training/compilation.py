# SPDX-License-Identifier: Apache-2.0
"""The network's training pass compiled by torch.compile, where that pays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.network import MTINetOutput, MultiTaskNetwork

_log = logging.getLogger(__name__)

Pass = Callable[[Tensor], MTINetOutput]

LEAST_CAPABILITY = (8, 0)
"""GPUs from Ampere on. By PyTorch 2.0's announcement 163 models train 43 % faster in the mean on
an A100, and gain less on desktop GPUs."""
LEAST_STEPS = 2000
"""To compile takes minutes, which a shorter run does not win back."""


def compiles(choice: bool | str, device: torch.device, steps: int) -> bool:
    """Whether a run compiles.

    Args:
        choice: `run.compile`: on, off or "auto".
        device: That it trains on.
        steps: That it has yet to make.

    >>> [compiles(choice, torch.device("cpu"), 20000) for choice in ("auto", True, "off")]
    [False, True, False]
    """
    if choice != "auto":
        return choice in (True, "on")
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return steps >= LEAST_STEPS and torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY


def compiled(network: MultiTaskNetwork, device: torch.device) -> Pass:
    """The network's forward pass, compiled for training; its weights keep their names.

    Nothing is wrapped around the network itself, so that checkpoints, averages and everything that
    evaluates see it as it is. Whatever is missing to compile (a C++ compiler on a CPU, Triton on a
    GPU) is told in a warning, and the pass is the network's own.

    Args:
        network: In training, on `device`.
        device: That it trains on.
    """
    problem = _problem(device)
    if problem:
        _log.warning("Training is not compiled: %s; it goes on as it is", problem)
        return network
    _log.info("Compiling the training step: its first steps take minutes")
    return _Falling(torch.compile(network.forward, dynamic=False), network)


class _Falling:
    """A compiled pass that gives way to the network's own where that cannot be compiled."""

    def __init__(self, fast: Pass, plain: Pass) -> None:
        self._pass, self._plain = fast, plain

    def __call__(self, image: Tensor) -> MTINetOutput:
        if self._pass is self._plain:
            return self._plain(image)
        from torch._dynamo.exc import TorchDynamoException  # seconds, where nothing is compiled

        try:
            return self._pass(image)
        except TorchDynamoException as error:
            _log.warning("Training is not compiled: %s; it goes on as it is", _first_line(error))
            self._pass = self._plain
            return self._plain(image)


@contextmanager
def backward_errors() -> Iterator[None]:
    """Around a compiled backward pass, which is translated when it is first made.

    Raises:
        ConfigurationError: It cannot be compiled, as where the compiler was killed; the loss is
            spent, so that this step cannot go on without.
    """
    from torch._dynamo.exc import TorchDynamoException  # as above

    try:
        yield
    except TorchDynamoException as error:
        raise ConfigurationError(
            f"the backward pass cannot be compiled: {_first_line(error)}; train with "
            "run.compile=off"
        ) from error


def _problem(device: torch.device) -> str:
    """Why this machine cannot compile a forward and a backward pass; empty if it can."""
    value = torch.ones(8, device=device, requires_grad=True)
    try:
        torch.compile(lambda x: (x * x + 1).relu())(value).sum().backward()
    except (RuntimeError, OSError) as error:  # of many kinds, all of them private
        return _first_line(error)
    return ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
