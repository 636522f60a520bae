# SPDX-License-Identifier: Apache-2.0
"""Properties of models trained on public data sets, which their weights do not state."""

from __future__ import annotations

from dataclasses import dataclass

from mtinet_ros.datasets.class_sets import CLASS_SETS, NYUD_CLASSES
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_contract import RGB

Axes = tuple[str, str, str]

_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Preset:
    """Properties of weights for the model card; None: not known.

    Attributes:
        class_names: Names of the segmentation's classes; index = class id.
        palette: RGB colour of each class; None: those of `voc_palette`.
        normals_axes: Components of the network's normals, with sign, that are x (right), y (down)
            and z (forward) of the camera optical frame (REP 103), e.g. ("x", "y", "-z").
        meters_per_unit: Metres in one unit of the network's depth.
        depth_range: [min, max] of depth in the training data, in metres.
        focal_length: f0 in pixels at the input size of training.
        input_size: (height, width) of the pictures in training.
        fit: How pictures were brought to that size, one of `model_contract.FIT_MODES`.
        license: SPDX expression for the weights.
        attribution: Credits for the data.
    """

    class_names: tuple[str, ...] | None = None
    palette: tuple[RGB, ...] | None = None
    normals_axes: Axes | None = None
    meters_per_unit: float | None = None
    depth_range: tuple[float, float] | None = None
    focal_length: float | None = None
    input_size: tuple[int, int] | None = None
    fit: str | None = None
    license: str | None = None
    attribution: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the axes and the unit.

        Raises:
            ConfigurationError: Naming the value and what is allowed.
        """
        if self.normals_axes is not None:
            letters = sorted(axis.removeprefix("-") for axis in self.normals_axes)
            if letters != list(_AXES):
                raise ConfigurationError(
                    f"normals' axes {','.join(self.normals_axes)} must name each of x, y and z "
                    "once, each with or without a minus, e.g. x,y,-z"
                )
        if self.meters_per_unit is not None and not 0.0 < self.meters_per_unit < 1e6:
            raise ConfigurationError(
                f"depth unit {self.meters_per_unit} must be a positive number of metres; 1 for "
                "metres, 0.001 for millimetres"
            )


# Both data sets' normals are coloured in the NYU toolbox's way: x to the right, y down, z towards
# the camera (so described at github.com/alexsax/2D-3D-Semantics/issues/13), hence optical z = -z.
_NYU_AXES: Axes = ("x", "y", "-z")

PRESETS: dict[str, Preset] = {
    # The multi-task edition of NYU Depth v2 that the authors trained on, at its native 640x480.
    # The toolbox gives fx 518.858 and fy 519.470 for the colour camera. The Kinect measures 0.5
    # to 10 m.
    "nyud": Preset(
        class_names=NYUD_CLASSES,
        normals_axes=_NYU_AXES,
        meters_per_unit=1.0,
        depth_range=(0.5, 10.0),
        focal_length=519.0,
        attribution=("NYU Depth Dataset V2 (Silberman, Hoiem, Kohli and Fergus, ECCV 2012)",),
    ),
    # Pictures from the web: no depth, no known lens. The authors stretch them to a square.
    "pascal": Preset(
        class_names=CLASS_SETS["pascal21"].names,
        palette=CLASS_SETS["pascal21"].palette,
        normals_axes=_NYU_AXES,
        input_size=(512, 512),
        fit="stretch",
        attribution=("PASCAL VOC and PASCAL-Context (Everingham et al.; Mottaghi et al.)",),
    ),
}
