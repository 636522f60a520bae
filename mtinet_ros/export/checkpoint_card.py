# SPDX-License-Identifier: Apache-2.0
"""The network of a checkpoint with its model card, from its header, a preset and the user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mtinet_ros.datasets.class_sets import voc_palette
from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.export.deploy_network import OutputConvention
from mtinet_ros.export.presets import Preset
from mtinet_ros.model_card import METADATA_KEY, ModelCard
from mtinet_ros.model_contract import DEPTH_OUTPUTS, TASK_OUTPUTS
from mtinet_ros.network import MultiTaskNetwork
from mtinet_ros.network.checkpoint import read_checkpoint
from mtinet_ros.network.state_dicts import Choice

DEFAULT_INPUT_SIZE = (480, 640)


@dataclass(frozen=True)
class DescribedNetwork:
    """A network with all that its export needs to know.

    Attributes:
        network: The network with its weights, in evaluation mode.
        card: Its model card.
        convention: Units and axes of its raw outputs.
        note: Which of several weights in its file these are; empty if there is nothing to say.
    """

    network: MultiTaskNetwork
    card: ModelCard
    convention: OutputConvention
    note: str = ""


def load_described(
    path: Path,
    preset: Preset | None = None,
    input_size: tuple[int, int] | None = None,
    choice: Choice | None = None,
) -> DescribedNetwork:
    """Load a checkpoint with its model card.

    Args:
        path: A checkpoint of `mtinet train`, of the paper's authors, or of other tools.
        preset: Properties to state in the card; they win over those in the checkpoint's header.
        input_size: (height, width) to export for; None: the preset's, else the checkpoint's own,
            else 480x640.
        choice: Averaged weights or those in training; None: averaged ones if there are any.

    Returns:
        The network with a card. What neither header nor preset states stays open: classes are
        named by number, depth and normals are `as_trained`.

    Raises:
        ModelError: The checkpoint cannot be read, or the input size is not allowed.
        ConfigurationError: The preset does not fit the network.
    """
    preset = preset or Preset()
    checkpoint = read_checkpoint(path, choice)
    network = checkpoint.network
    base, convention = _read_header(path, network, checkpoint.description())
    changes: dict[str, object] = {"input_size": input_size or preset.input_size or base.input_size}
    if "semseg" in network.tasks and (preset.class_names is not None or not base.class_names):
        changes |= _classes(path, network.tasks["semseg"], preset)
    if preset.normals_axes is not None and "normals" in network.tasks:
        changes["normals_axes"] = "camera_optical"
        convention = replace(convention, normals_axes=preset.normals_axes)
    if preset.meters_per_unit is not None and "depth" in network.tasks:
        changes["depth_kind"] = "metric"
        convention = replace(convention, meters_per_unit=preset.meters_per_unit)
    for field in ("depth_range", "focal_length", "fit", "license"):
        if getattr(preset, field) is not None:
            changes[field] = getattr(preset, field)
    changes["attribution"] = (*base.attribution, *preset.attribution)
    card = replace(base, **changes)  # type: ignore[arg-type]
    return DescribedNetwork(network, card, convention, checkpoint.note)


def _read_header(
    path: Path, network: MultiTaskNetwork, header: dict[str, str]
) -> tuple[ModelCard, OutputConvention]:
    """Card and convention from a checkpoint's header, which may hold a card, less, or nothing."""
    if "depth_encoding" in header:  # what versions before 0.2 called it
        header = {"depth_output": header["depth_encoding"], **header}
    depth_output = header.get("depth_output", "metres")
    if depth_output not in DEPTH_OUTPUTS:
        raise ModelError(
            f"{path} encodes depth as {depth_output!r}; this version exports "
            f"{', '.join(DEPTH_OUTPUTS)}"
        )
    convention = OutputConvention(depth_output=depth_output)
    if METADATA_KEY in header:
        return ModelCard.from_json(header[METADATA_KEY]), convention
    tasks = tuple(task for task in network.tasks if task in TASK_OUTPUTS)
    card = ModelCard(
        name=path.name.partition(".")[0],
        tasks=tasks or tuple(network.tasks),  # can be measured, not exported
        input_size=DEFAULT_INPUT_SIZE,
        depth_kind="as_trained",
        normals_axes="as_trained",
        license="NOASSERTION",
    )
    if "depth_output" not in header:
        return card, convention
    # `mtinet train` trains in metres for one focal length, and normals in the optical frame.
    try:
        size = (int(header["height"]), int(header["width"]))
        focal_length = float(header["focal_length"])
    except (KeyError, ValueError) as error:
        raise ModelError(f"the header of {path} is incomplete: {error}") from error
    card = replace(
        card,
        input_size=size,
        focal_length=focal_length,
        depth_kind="metric",
        normals_axes="camera_optical",
        training={"configuration": header.get("training", "")},
    )
    return card, convention


def _classes(path: Path, count: int, preset: Preset) -> dict[str, object]:
    names = preset.class_names
    if names is None:
        names = tuple(f"class {number}" for number in range(count))
    if len(names) != count:
        raise ConfigurationError(
            f"{len(names)} class names are given ({names[0]}, ... {names[-1]}), but {path} tells "
            f"{count} classes apart; choose another preset, or give {count} names"
        )
    return {"class_names": names, "palette": preset.palette or voc_palette(count)}
