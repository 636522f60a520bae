# SPDX-License-Identifier: Apache-2.0
"""Whether a run can go on from the state that another, or itself, has left."""

from __future__ import annotations

from pathlib import Path

import torch

from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.training.module import FRAMES_PER_STEP, TrainingModule
from mtinet_ros.training.optimizers import kind_of_state


def check_resumable(path: Path, module: TrainingModule) -> None:
    """Refuse to continue from the state of a run that cannot become this one.

    Raises:
        ModelError: The file is damaged.
        ConfigurationError: It is of another network, other parts of it were trained, in another
            way, or on another number of frames a step.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        shapes = {name: value.shape for name, value in state["state_dict"].items()}
        groups = [len(g["params"]) for g in state["optimizer_states"][0]["param_groups"]]
        kind = kind_of_state(state["optimizer_states"][0])
        is_averaged = "current_model_state" in state
        frames = int(state.get(FRAMES_PER_STEP, module.steps.batch))  # earlier runs do not say
    except Exception as error:  # torch.load raises whatever its reader of zip or pickle does
        reason = str(error).partition("\n")[0][:200]
        raise ModelError(
            f"{path} cannot be read ({reason}); move it away to begin anew, with network.initial "
            "set to the latest.safetensors beside it if that is of use"
        ) from error
    config = module.config
    optimizer = module.configure_optimizers()["optimizer"]
    if shapes != {name: value.shape for name, value in module.state_dict().items()} or (
        kind == config.optimizer.kind
        and groups != [len(group["params"]) for group in optimizer.param_groups]
    ):
        raise ConfigurationError(
            f"{path} is of a run with another network, other tasks, other parts frozen or other "
            "losses; name another folder in run.output"
        )
    if kind != config.optimizer.kind or is_averaged != bool(config.optimizer.average):
        raise ConfigurationError(
            f"{path} is of a run with optimizer.kind {kind} and "
            f"{'averaged weights' if is_averaged else 'optimizer.average 0'}; keep both, or name "
            "another folder in run.output"
        )
    if frames != module.steps.batch:
        raise ConfigurationError(
            f"{path} is of a run on {frames} frames a step, and data.batch_size "
            f"{config.data.batch_size} on {module.steps.batch // config.data.batch_size} "
            f"processes makes {module.steps.batch}; choose two whose product is {frames}, so that "
            "steps go on with the right frames and rates, or name another folder in run.output"
        )
