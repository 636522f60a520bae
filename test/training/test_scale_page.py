# SPDX-License-Identifier: Apache-2.0
"""The commands for several GPUs and nodes in docs/training.md are ones that the tools take."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from mtinet_ros.cli.main import build_parser
from mtinet_ros.training.config_file import load_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text()
SECTION = re.search(r"^## Scale\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL).group(1)
SCRIPT = re.search(r"```bash\n(.*?)```", SECTION, re.DOTALL).group(1)
COMMANDS = [
    shlex.split(command)
    for command in re.findall(r"^ *((?:srun |torchrun )?.*mtinet train .*)$",
                              SECTION.replace("\\\n", " "), re.MULTILINE)
]  # fmt: skip


def overrides_of(command: list[str]) -> tuple[int, int, int]:
    """Nodes, devices of each and frames of each device that `mtinet train` is told to take."""
    arguments = build_parser("train").parse_args(command[command.index("train") :])
    config = load_config(ROOT / arguments.config, arguments.overrides)
    return config.run.nodes, config.run.devices, config.data.batch_size


def test_there_is_a_command_for_one_node_for_several_and_for_slurm():
    assert [command[0] for command in COMMANDS] == ["mtinet", "torchrun", "srun"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_keeps_the_frames_of_a_step(command):
    """Or the run would be another one, and refused where it is continued."""
    nodes, devices, frames = overrides_of(command)
    shipped = load_config(ROOT / "config" / "train" / "indoor.yaml")
    assert nodes * devices * frames == shipped.data.batch_size == 16


def test_torchrun_starts_what_mtinet_expects():
    command = COMMANDS[1]
    options = get_args_parser().parse_args(command[1:])
    nodes, devices, _ = overrides_of(command)
    assert (int(options.nnodes), int(options.nproc_per_node)) == (nodes, devices)
    assert (options.no_python, options.training_script) == (True, "mtinet")


def test_the_slurm_script_asks_for_as_many_tasks_as_gpus_and_is_bash(tmp_path):
    asked = dict(re.findall(r"--([\w-]+)=(\S+)", " ".join(re.findall(r"#SBATCH (.*)", SCRIPT))))
    nodes, devices, _ = overrides_of(COMMANDS[2])
    assert int(asked["nodes"]) == nodes
    assert int(asked["ntasks-per-node"]) == int(asked["gpus-per-node"]) == devices
    # srun ends with the status of the run, paused as SIGTERM has it: once more into the queue.
    for status, requeued in ((143, "requeue 7\n"), (0, ""), (1, "")):
        for name, body in (("srun", f"exit {status}"), ("scontrol", 'echo "$@"')):
            (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
            (tmp_path / name).chmod(0o755)
        done = subprocess.run(
            ["/bin/bash", "-c", SCRIPT],
            env={"PATH": str(tmp_path), "SLURM_JOB_ID": "7"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (status, requeued, "")
