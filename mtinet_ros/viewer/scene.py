# SPDX-License-Identifier: Apache-2.0
"""Predictions of several cameras as Rerun shows them: pictures, a cloud, a legend, plots."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from numpy.typing import NDArray

from mtinet_ros.visualization.montage import legend_image

# A clock that began with the simulation, not with the epoch: shown as a duration.
_YEAR_1973 = 100_000_000 * 10**9  # ns

_WAITED_AFTER = 32  # messages: 160 MB of clouds of 640x480 points
_WAIT = 0.5  # seconds; between two such waits Ctrl-C is heard
_LEGEND_WIDTH = 260  # pixels: two columns
_LINE_COLORS = ((70, 130, 230), (240, 130, 30))

# The plots of a camera: their titles, and what of /diagnostics is in them, by the line's name.
Plots = Mapping[str, tuple[str, Mapping[str, str]]]
PLOTS: Plots = {
    "rate": ("rate [Hz]", {"in": "input rate [Hz]", "out": "output rate [Hz]"}),
    "latency": ("latency [ms]", {"p50": "latency p50 [ms]", "p99": "latency p99 [ms]"}),
}


class Scene:
    """What is logged to one recording; the times are those of the images.

    Attributes:
        is_empty: Whether nothing that has a time was shown so far.
    """

    def __init__(
        self, stream: rr.RecordingStream, plots: Plots = PLOTS, *, waits: bool = False
    ) -> None:
        """Log to a recording, which has its sinks.

        Args:
            stream: The recording.
            plots: What of /diagnostics is drawn; nothing of a bag, which has none.
            waits: Whether to wait now and then for the sinks to take what was logged, as for a
                file: Rerun keeps in memory whatever a disk is too slow for.
        """
        self._stream = stream
        self._plots = plots
        self._waits = waits
        self._unwaited = 0
        self.is_empty = True
        self._cameras: list[str] = []

    def add_camera(self, camera: str) -> None:
        """Make room for a camera, unless there is some."""
        if camera in self._cameras:
            return
        self._cameras.append(camera)
        self._stream.log(f"{camera}/3d", rr.ViewCoordinates.RDF, static=True)
        for plot, (_, lines) in self._plots.items():
            for line, color in zip(lines, _LINE_COLORS, strict=True):
                style = rr.SeriesLines(names=line, colors=color)
                self._stream.log(f"{camera}/{plot}/{line}", style, static=True)
        self._stream.send_blueprint(blueprint(self._cameras, self._plots))

    def set_time(self, stamp: int) -> None:
        """What is logged from here on is of this time, in ns."""
        self.is_empty = False
        if self._waits and self._unwaited == _WAITED_AFTER:
            self._unwaited = 0
            self._wait()
        self._unwaited += 1
        if stamp < _YEAR_1973:
            self._stream.set_time("stamp", duration=np.timedelta64(stamp, "ns"))
        else:
            self._stream.set_time("stamp", timestamp=np.datetime64(stamp, "ns"))

    def _wait(self) -> None:
        """Return once all is with the sinks, or cannot get there."""
        end = 0.0
        while time.monotonic() >= end:  # else it is no lack of time that flush raises
            end = time.monotonic() + _WAIT
            try:
                self._stream.flush(timeout_sec=_WAIT)
            except RuntimeError:
                continue
            return

    def legend(self, camera: str, classes: Sequence[Mapping[str, Any]]) -> None:
        """Names and colors of the classes, as in the topic `segmentation/label_info_json`."""
        annotations = [
            rr.AnnotationInfo(id=entry["id"], label=entry["name"], color=tuple(entry["color"]))
            for entry in classes
        ]
        void = rr.AnnotationInfo(id=255, label="void", color=(0, 0, 0, 0))
        context = rr.AnnotationContext([*annotations, void])
        self._stream.log(f"{camera}/segmentation", context, static=True)
        entries = [(f"{entry['id']} {entry['name']}", tuple(entry["color"])) for entry in classes]
        picture = rr.Image(legend_image(entries, _LEGEND_WIDTH))
        self._stream.log(f"{camera}/legend", picture, static=True)

    def image(self, camera: str, image: NDArray[np.uint8]) -> None:
        """The camera's picture, uint8 [H,W,3] RGB."""
        self._stream.log(f"{camera}/image", rr.Image(image).compress(jpeg_quality=90))

    def labels(self, camera: str, labels: NDArray[np.uint8]) -> None:
        """Class ids, uint8 [H,W]."""
        self._stream.log(f"{camera}/segmentation", rr.SegmentationImage(labels))

    def depth(self, camera: str, depth: NDArray[np.float32]) -> None:
        """Metres, float32 [H,W]; NaN: unknown, drawn black."""
        known = np.nan_to_num(depth, nan=0.0)
        self._stream.log(f"{camera}/depth", rr.DepthImage(known, meter=1.0, colormap="inferno"))

    def normals(self, camera: str, colors: NDArray[np.uint8]) -> None:
        """Normals in colors, uint8 [H,W,3] RGB."""
        self._stream.log(f"{camera}/normals", rr.Image(colors))

    def points(
        self, camera: str, positions: NDArray[np.float32], colors: NDArray[np.uint8]
    ) -> None:
        """Points [N,3] in the camera's optical frame, metres, with RGB colors uint8 [N,3]."""
        cloud = rr.Points3D(positions, colors=colors, radii=rr.Radius.ui_points(1.5))
        self._stream.log(f"{camera}/3d/points", cloud)

    def lens(self, camera: str, K: Sequence[float], size: tuple[int, int]) -> None:
        """The camera's frustum: K [9] row by row, and (height, width) in pixels."""
        height, width = size
        matrix = np.asarray(K, np.float64).reshape(3, 3)
        pinhole = rr.Pinhole(
            image_from_camera=matrix,
            resolution=[width, height],
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=0.3,
        )
        self._stream.log(f"{camera}/3d/lens", pinhole)

    def status(self, camera: str, values: Mapping[str, str]) -> None:
        """What /diagnostics says of the camera, by key; what is no number is left out."""
        for plot, (_, lines) in self._plots.items():
            for line, key in lines.items():
                number = _number(values.get(key, ""))
                if number is not None:
                    self._stream.log(f"{camera}/{plot}/{line}", rr.Scalars(number))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def blueprint(cameras: Sequence[str], plots: Plots = PLOTS) -> rrb.Blueprint:
    """Where everything is: a tab for each camera."""
    tabs = [_camera_tab(camera, plots) for camera in cameras]
    whole = tabs[0] if len(tabs) == 1 else rrb.Tabs(*tabs)
    return rrb.Blueprint(
        whole,
        rrb.TimePanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.BlueprintPanel(state="collapsed"),
    )


def _camera_tab(camera: str, plots: Plots) -> rrb.Horizontal:
    pictures = rrb.Grid(
        *(
            rrb.Spatial2DView(origin=f"{camera}/{name}", name=name)
            for name in ("image", "segmentation", "depth", "normals")
        ),
        grid_columns=2,
    )
    lines = [
        rrb.TimeSeriesView(origin=f"{camera}/{plot}", name=title)
        for plot, (title, _) in plots.items()
    ]
    classes = rrb.Spatial2DView(origin=f"{camera}/legend", name="classes")
    side = rrb.Vertical(
        rrb.Spatial3DView(origin=f"{camera}/3d", name="points"),
        rrb.Horizontal(classes, rrb.Vertical(*lines)) if lines else classes,
        row_shares=[3, 2],
    )
    return rrb.Horizontal(pictures, side, column_shares=[3, 2], name=camera)
