# SPDX-License-Identifier: Apache-2.0
"""The model card: all that a model promises, carried inside its ONNX file.

The card is JSON under the metadata key `mtinet_ros.model_card`: tasks, names of the class ids, the
focal length at which depth was learnt, the precision to ask of the runtime. Nothing about a model
is configured anywhere else.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mtinet_ros.errors import ModelError
from mtinet_ros.model_contract import (
    DEPTH_KINDS,
    FIT_MODES,
    NORMAL_AXES,
    PRECISIONS,
    RGB,
    SIZE_MULTIPLE,
    TASK_ORDER,
    VOID_ID,
)
from mtinet_ros.onnx_file import read_onnx_file

METADATA_KEY = "mtinet_ros.model_card"
UNVERIFIABLE = (
    "cannot be verified: exported by a version that took no fingerprint of the graph; export it "
    "again"
)
SCHEMA_VERSION = "1.2"


@dataclass(frozen=True)
class ModelCard:
    """Description of a model, in the words of the model contract.

    Attributes:
        name: Short name for people and logs.
        tasks: Tasks that have an output in the graph, in `TASK_ORDER`.
        input_size: (height, width) in pixels of the network input, multiples of 32.
        class_names: Name of each segmentation class; index = class id. Empty without segmentation.
        palette: RGB colour of each class, as many as `class_names`.
        fit: Way of bringing a camera image to `input_size`: `letterbox` or `stretch`.
        pad_color: RGB of the letterbox's borders.
        depth_kind: `metric`, `up_to_scale`, or `as_trained` where nobody said.
        depth_range: [min, max] in metres within which depth is meaningful, or None.
        focal_length: f0 in pixels at `input_size` for which metric depth holds, or None.
        normals_axes: `camera_optical` (REP 103, facing the viewer) or `as_trained`.
        precision: Precision that the graph computes in.
        max_batch: Largest batch that the graph was checked with.
        untrained: True while the weights are random: results mean nothing.
        training: Record of the training (data, steps, metrics).
        accuracy: Report of the exported graph against the fp32 network; under `bf16` that of the
            same graph computed in bf16, see `bf16_report`.
        confidence: Of the output `confidence`, empty without: the `temperature` that divides the
            logits; where it was fitted, `data`, `frames`, and before and after `ece` and `nll`.
        fingerprint: sha256 of the graph with its weights as exported; empty until 0.1.
        license: SPDX expression for the weights.
        attribution: Credits for data and pre-trained parts.
        schema_version: `major.minor` of this card's layout.
        modified: Whether the graph is another one than was exported, so that nothing measured of
            it holds, its precision included. Found out when a file is read, never written.
    """

    name: str
    tasks: tuple[str, ...]
    input_size: tuple[int, int]
    class_names: tuple[str, ...] = ()
    palette: tuple[RGB, ...] = ()
    fit: str = "letterbox"
    pad_color: RGB = (124, 116, 104)  # ImageNet's mean colour: zero after normalisation
    depth_kind: str = "metric"
    depth_range: tuple[float, float] | None = None
    focal_length: float | None = None
    normals_axes: str = "camera_optical"
    precision: str = "fp32"
    max_batch: int = 8
    untrained: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    confidence: Mapping[str, Any] = field(default_factory=dict)
    license: str = "Apache-2.0"
    attribution: tuple[str, ...] = ()
    fingerprint: str = ""
    schema_version: str = SCHEMA_VERSION
    modified: bool = False

    def __post_init__(self) -> None:
        """Check the card as a whole.

        Raises:
            ModelError: Naming the field, its value and what is allowed.
        """
        unknown = [task for task in self.tasks if task not in TASK_ORDER]
        if unknown or not self.tasks:
            raise ModelError(
                f"model card: tasks {list(self.tasks)} must be a non-empty choice of "
                f"{', '.join(TASK_ORDER)}"
            )
        height, width = self.input_size
        if height <= 0 or width <= 0 or height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
            raise ModelError(
                f"model card: input_size {height}x{width} must be positive multiples of "
                f"{SIZE_MULTIPLE}"
            )
        if len(self.palette) != len(self.class_names):
            raise ModelError(
                f"model card: palette has {len(self.palette)} colours for "
                f"{len(self.class_names)} class names"
            )
        for name, colors in (("palette", self.palette), ("pad_color", (self.pad_color,))):
            for color in colors:
                if len(color) != 3 or not all(0 <= value <= 255 for value in color):
                    raise ModelError(
                        f"model card: {name} has the colour {list(color)}; a colour is "
                        "[red, green, blue], each 0..255"
                    )
        if len(self.class_names) > VOID_ID:
            raise ModelError(
                f"model card: {len(self.class_names)} classes do not fit into uint8 ids "
                f"(at most {VOID_ID}; {VOID_ID} itself means void)"
            )
        for name, allowed in (
            ("fit", FIT_MODES),
            ("depth_kind", DEPTH_KINDS),
            ("normals_axes", NORMAL_AXES),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in allowed:
                raise ModelError(
                    f"model card: {name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        if self.focal_length is not None and not 0.0 < self.focal_length < math.inf:
            raise ModelError(
                f"model card: focal_length {self.focal_length} must be positive or null"
            )
        if self.depth_range is not None and not 0.0 <= self.depth_range[0] < self.depth_range[1]:
            raise ModelError(
                f"model card: depth_range {list(self.depth_range)} must be [min, max] with "
                "0 <= min < max"
            )
        if not isinstance(self.confidence, Mapping):
            raise ModelError(
                f"model card: confidence is {self.confidence!r}; it must map names to values"
            )
        if self.max_batch < 1:
            raise ModelError(f"model card: max_batch {self.max_batch} must be at least 1")

    @property
    def has_metric_depth(self) -> bool:
        """Whether depth is in metres once the lens is known: what it is, and for which lens."""
        return self.depth_kind == "metric" and self.focal_length is not None

    @property
    def has_confidence(self) -> bool:
        """Whether the graph has the output `confidence`."""
        return bool(self.confidence)

    @property
    def stated_precision(self) -> str:
        """`precision` for people to read: `unknown` of a graph that another tool changed."""
        return "unknown" if self.modified else self.precision

    @property
    def is_verifiable(self) -> bool:
        """Whether a change of the graph can be found out; what 0.1 exported has no fingerprint."""
        return bool(self.fingerprint)

    @property
    def bf16_report(self) -> Mapping[str, Any] | None:
        """What bf16 arithmetic costs the graph, measured against float32; None if nobody did.

        Its `exceeded` describes the limits of accuracy that bf16 breaks; without, it passes.
        """
        # The card is JSON that anybody may have written.
        report = self.accuracy.get("bf16") if isinstance(self.accuracy, Mapping) else None
        return report if isinstance(report, Mapping) else None

    @property
    def wide_parts(self) -> tuple[str, ...]:
        """Parts that stayed float32 when the precision was reduced."""
        parts = self.accuracy.get("wide_parts") if isinstance(self.accuracy, Mapping) else None
        return tuple(map(str, parts)) if isinstance(parts, (list, tuple)) else ()

    def to_json(self) -> str:
        """The card as one line of JSON, the form stored in the ONNX metadata."""
        record = asdict(self)
        del record["modified"]
        return json.dumps(record, ensure_ascii=False, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card back.

        Unknown keys of the same major version are ignored: a newer minor may add some.

        Raises:
            ModelError: The text is no card, lacks a field, or is of a newer major version.
        """
        try:
            record = json.loads(text)
        except ValueError as error:
            raise ModelError(f"the model card is not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise ModelError("the model card is not a JSON object")
        version = str(record.get("schema_version", ""))
        major = version.partition(".")[0]
        if major != SCHEMA_VERSION.partition(".")[0]:
            raise ModelError(
                f"the model card has schema version {version or 'none'}; this mtinet_ros reads "
                f"{SCHEMA_VERSION}, so update mtinet_ros, or export the model again with this "
                "version"
            )
        known = {f.name for f in fields(cls)} - {"modified"}
        values = {key: _as_tuples(value) for key, value in record.items() if key in known}
        try:
            return cls(**values)
        except (TypeError, ValueError, IndexError) as error:
            raise ModelError(f"the model card is incomplete or malformed: {error}") from error


def _as_tuples(value: Any) -> Any:
    """JSON lists as tuples, all the way down, so that the card stays hashable where it can be."""
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def read_model_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the card of an ONNX file without loading its weights.

    Args:
        path: An ONNX file made by `mtinet export`.

    Returns:
        The card. If another tool has changed the graph since, it is `modified`, and what was
        measured of the graph is taken out of it. If it is not `is_verifiable`, nobody can tell.

    Raises:
        ModelError: No such file, not ONNX, cut short, without a card, or with its weights in other
            files.
    """
    path = Path(path)
    content = read_onnx_file(path, "give the path of an ONNX file made by `mtinet export`")
    if METADATA_KEY not in content.metadata:
        raise ModelError(
            f"{path} carries no model card (metadata {METADATA_KEY!r}), so its classes and units "
            "are unknown; export the checkpoint with `mtinet export`, which writes one"
        )
    if content.external_files:
        # An engine, a fingerprint or a copy made of this file alone would be of other weights.
        other = min(content.external_files)
        raise ModelError(
            f"{path} keeps its weights in another file ({other!r}), which is not read: a model is "
            "one file; export it again, or in Python onnx.save(onnx.load(path), new_path)"
        )
    card = ModelCard.from_json(content.metadata[METADATA_KEY])
    if not card.is_verifiable or card.fingerprint == content.fingerprint:
        return card
    confidence = {k: v for k, v in card.confidence.items() if k == "temperature"}
    return replace(card, modified=True, accuracy={}, confidence=confidence)
