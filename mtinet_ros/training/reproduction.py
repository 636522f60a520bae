# SPDX-License-Identifier: Apache-2.0
"""The paper's experiments by name: their recipes, and the figures that were reported of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mtinet_ros.errors import ConfigurationError


@dataclass(frozen=True)
class Figure:
    """A figure of the literature, and where an evaluation has it.

    Attributes:
        name: As tables call it.
        key: Among the metrics of `evaluation_report.Report`.
        factor: Of the reported value to that: 100 where papers print percent.
        digits: That papers print.
        lower_is_better: As the name says.
    """

    name: str
    key: str
    factor: float = 1.0
    digits: int = 1
    lower_is_better: bool = False


# By task. Depth: the tables of July 2020 average the root mean square error over the images.
FIGURES = {
    "semseg": Figure("segmentation, mIoU %", "semseg_miou", 100),
    "human_parts": Figure("human parts, mIoU %", "human_parts_miou", 100),
    "sal": Figure("saliency, mIoU %", "sal_miou", 100),
    "edge": Figure("edges, odsF %", "edge_odsf", 100),
    "normals": Figure("normals, mean degrees", "normals_mean", lower_is_better=True),
    "depth": Figure("depth, rmse per image m", "depth_rmse_per_image", 1, 3, True),
}

README_2020 = "the authors' README of July 2020"
PAPER = "Vandenhende, Georgoulis and Van Gool, ECCV 2020"
SURVEY = "Vandenhende et al., Multi-Task Learning for Dense Prediction Tasks: A Survey, TPAMI 2021"

FRAMES = {"nyud": (795, 654), "pascal": (4998, 5105), "urbanlf": (172, 28)}
"""Published numbers of frames to train on and to measure on, by kind of data set."""


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: For `mtinet reproduce`.
        recipe: File below config/train/paper, without .yaml.
        title: One line.
        tasks: Target tasks.
        reported: Figure by task, as printed; empty: none is known.
        source: Who reported them.
        delta_m: Reported gain over single tasks, percent.
        singles: Experiments of the single tasks that it is compared with, by task.
        also: What else is known of it, a sentence.
    """

    name: str
    recipe: str
    title: str
    tasks: tuple[str, ...]
    reported: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    delta_m: float | None = None
    singles: Mapping[str, str] = field(default_factory=dict)
    also: str = ""

    @property
    def kind(self) -> str:
        """Of its data set."""
        return self.recipe.partition("/")[0]


_TWO, _THREE, _FIVE = (
    "semseg depth",
    "semseg human_parts sal",
    "semseg human_parts sal normals edge",
)
_ON = {
    "hrnet18": "HRNet-18",
    "hrnet48": "HRNet-48",
    "resnet18": "dilated ResNet-18",
    "resnet50": "dilated ResNet-50",
}
_MTI, _PAD, _BASELINE = "MTI-Net", "PAD-Net", "multi-task baseline"
_LONG = "MTI-Net, edges and normals beside"

# Name, recipe, what it is, tasks, figures in their order, gain over single tasks in percent.
_REPORTED_2020: tuple[tuple[str, str, str, str, str, float | None], ...] = (
    ("nyud_w18", "nyud/hrnet18/mti_net_edges_normals", _LONG, _TWO, "37.6 .539", 10.3),
    ("nyud_w18_two_tasks", "nyud/hrnet18/mti_net", _MTI, _TWO, "36.2 .563", 6.4),
    (
        "nyud_w18_pad_net", "nyud/hrnet18/pad_net_edges_normals",
        "PAD-Net, edges and normals beside", _TWO, "35.5 .593", 2.9,
    ),
    ("nyud_w18_pad_net_two_tasks", "nyud/hrnet18/pad_net", _PAD, _TWO, "35.4 .614", 1.1),
    ("nyud_w18_baseline", "nyud/hrnet18/multi_task_baseline", _BASELINE, _TWO, "33.9 .610", -0.75),
    ("nyud_w18_semseg", "nyud/hrnet18/semseg", "alone", "semseg", "34.5", None),
    ("nyud_w18_depth", "nyud/hrnet18/depth", "alone", "depth", ".610", None),
    ("pascal_w18", "pascal/hrnet18/mti_net", _MTI, _FIVE, "62.8 62.2 67.4 14.8 73.0", 2.72),
    ("pascal_w18_small", "pascal/hrnet18/mti_net_small", _MTI, _THREE, "63.1 62.1 67.2", 3.20),
    (
        "pascal_w18_baseline", "pascal/hrnet18/multi_task_baseline", _BASELINE, _FIVE,
        "55.4 59.4 65.4 15.0 71.6", -1.98,
    ),
    ("pascal_w18_semseg", "pascal/hrnet18/semseg", "alone", "semseg", "59.4", None),
    ("pascal_w18_human_parts", "pascal/hrnet18/human_parts", "alone", "human_parts", "60.3", None),
    ("pascal_w18_sal", "pascal/hrnet18/sal", "alone", "sal", "67.0", None),
    ("pascal_w18_normals", "pascal/hrnet18/normals", "alone", "normals", "14.6", None),
    ("pascal_w18_edge", "pascal/hrnet18/edge", "alone", "edge", "69.2", None),
)  # fmt: skip
_REPORTED_ELSEWHERE = (
    ("nyud_w48", "nyud/hrnet48/mti_net_edges_normals", _LONG, _TWO, "49.0 .529", PAPER),
    ("nyud_r50_semseg", "nyud/resnet50/semseg", "alone", "semseg", "43.9", SURVEY),
    ("nyud_r50_depth", "nyud/resnet50/depth", "alone", "depth", ".585", SURVEY),
)
_NOT_REPORTED = (
    ("nyud_r50_baseline", "nyud/resnet50/multi_task_baseline", _BASELINE, _TWO),
    ("pascal_w18_baseline_small", "pascal/hrnet18/multi_task_baseline_small", _BASELINE, _THREE),
    ("pascal_w18_pad_net", "pascal/hrnet18/pad_net", _PAD, _FIVE),
    ("pascal_w18_pad_net_small", "pascal/hrnet18/pad_net_small", _PAD, _THREE),
    ("pascal_r18_baseline", "pascal/resnet18/multi_task_baseline", _BASELINE, _FIVE),
    *((f"pascal_r18_{task}", f"pascal/resnet18/{task}", "alone", task) for task in _FIVE.split()),
    ("urbanlf_syn_w48", "urbanlf/hrnet48/mti_net_syn", "MTI-Net on UrbanLF-Syn", _TWO),
)
_ALSO = {
    "nyud_w18": f"{SURVEY}, has 38.6 and 0.593",
    "nyud_w48": "no configuration of it was published; the recipe is HRNet-18's, by the author's "
    "word",
    "urbanlf_syn_w48": "79.10 is reported on test images whose labels are withheld; here the 28 "
    "validation images are measured, of a recipe that is a choice of ours",
}


def _experiments() -> dict[str, Experiment]:
    rows = [
        *((*row[:5], README_2020, row[5]) for row in _REPORTED_2020),
        *((*row, None) for row in _REPORTED_ELSEWHERE),
        *((*row, "", "", None) for row in _NOT_REPORTED),
    ]
    names = {row[0] for row in rows}
    experiments = {}
    for name, recipe, what, listed, figures, source, gain in rows:
        tasks = tuple(listed.split())
        alone = {task: f"{'_'.join(name.split('_')[:2])}_{task}" for task in tasks}
        experiments[name] = Experiment(
            name,
            recipe,
            f"{what if len(tasks) > 1 else tasks[0] + ' alone'}, {_ON[recipe.split('/')[1]]}, "
            f"{len(tasks)} task{'s' if len(tasks) > 1 else ''}",
            tasks,
            dict(zip(tasks, (float(figure) for figure in figures.split()), strict=bool(figures))),
            source,
            gain,
            alone if len(tasks) > 1 and names >= set(alone.values()) else {},
            _ALSO.get(name, ""),
        )
    return experiments


EXPERIMENTS = _experiments()
"""By name."""


def find_experiment(name: str) -> Experiment:
    """The experiment of a name.

    Raises:
        ConfigurationError: There is none.
    """
    if name not in EXPERIMENTS:
        raise ConfigurationError(
            f"{name!r} is none of the {len(EXPERIMENTS)} experiments, such as nyud_w18; `mtinet "
            "reproduce --list` names them"
        )
    return EXPERIMENTS[name]
