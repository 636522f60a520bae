# SPDX-License-Identifier: Apache-2.0
"""The parameters that `settings` declares, rendered for those who read or set them.

`python -m mtinet_ros.node.parameter_docs markdown` prints docs/parameters.md, and with `yaml` in
place of `markdown` config/perception.yaml.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping

import yaml

from mtinet_ros.node.parameter_spec import Changeable, ParameterSpec, Value
from mtinet_ros.node.settings import (
    CAMERA_PARAMETERS,
    NODE_PARAMETERS,
    camera_parameter_spec,
)

_PAGE = """\
<!-- Generated from mtinet_ros/node/settings.py by parameter_docs.py beside it. -->

# Parameters of the perception node

A value that is not allowed is refused with a sentence that says what is, at start and at run time.
`ros2 param describe /perception <name>` tells the same as this page.

"Start" means: set it in the launch file, a parameter file or with `-p`; it cannot change later.
"Unconfigured" means: deactivate and clean up the node, set it, configure and activate again.
"Any time" means: `ros2 param set`, and it holds from the next frame on.

## Of the node

{node}

## Of each camera

Each name in `cameras` has a block of these, e.g. `camera.max_rate` for the camera `camera`.

{camera}

## Quality of service

Images and calibrations are received keep-last 1, reliable if all publishers of the topic offer it
and best effort otherwise, transient local if all offer that and volatile otherwise.
`qos_overrides.<resolved topic>.subscription.reliability` forces `reliable` or `best_effort`
(default: `adaptive`), `….durability` `transient_local` or `volatile`; history and depth have their
usual ROS 2 overrides, and so have the publishers. What makes the middleware carry large images is
in [transport.md](transport.md).

## Example

```yaml
/**/perception:
  ros__parameters:
    cameras: [front, rear]
    model: /opt/models/indoor.onnx
    front:
      image_topic: /front_camera/color/image_raw
      outputs: [segmentation, depth, points]
    rear:
      image_topic: /rear_camera/image_raw
      transport: compressed
      max_rate: 5.0
```
"""

_CONFIG = """\
# SPDX-License-Identifier: Apache-2.0
# The perception node's parameters at their defaults; ranges and full meaning: docs/parameters.md.
# Generated from mtinet_ros/node/settings.py by parameter_docs.py beside it.
#
# Copy this file, change the copy, and start with
#   ros2 launch mtinet_ros perception.launch.py params_file:=my_perception.yaml
/**/perception:
  ros__parameters:
{node}

    camera:
{camera}
"""
_LONGEST_BESIDE = 40  # characters of a line of YAML that still leave room for a comment beside it

_WHEN = {
    Changeable.NEVER: "start",
    Changeable.UNCONFIGURED: "unconfigured",
    Changeable.ALWAYS: "any time",
}


def render_markdown() -> str:
    """The text of docs/parameters.md."""
    return _PAGE.format(node=_table(NODE_PARAMETERS), camera=_table(CAMERA_PARAMETERS))


def render_yaml() -> str:
    """The text of config/perception.yaml: every parameter at its default, for one camera."""
    camera = {key: camera_parameter_spec("camera", key) for key in CAMERA_PARAMETERS}
    return _CONFIG.format(node=_block(NODE_PARAMETERS, 4), camera=_block(camera, 6))


def _table(specs: Mapping[str, ParameterSpec]) -> str:
    rows = [
        "| parameter | type | default | allowed | change | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for name, spec in specs.items():
        cells = (
            f"`{name}`",
            _type(spec.default),
            _default(spec.default),
            _allowed(spec),
            _WHEN[spec.changeable],
            spec.description.replace("<", "&lt;"),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _type(default: Value) -> str:
    return {bool: "bool", str: "string", float: "double", int: "integer", list: "strings"}[
        type(default)
    ]


def _default(default: Value) -> str:
    text = f"[{', '.join(default)}]" if isinstance(default, list) else str(default)
    return f"`{text}`" if text else "empty"


def _allowed(spec: ParameterSpec) -> str:
    if spec.choices:
        return ", ".join(f"`{choice}`" for choice in spec.choices)
    if spec.minimum is not None and spec.maximum is not None:
        return f"{spec.minimum:.7g} to {spec.maximum:.7g}"
    return ""


def _block(specs: Mapping[str, ParameterSpec], indent: int) -> str:
    """Lines of YAML, each with the parameter's summary beside it, or above a long value."""
    entries = {name: " " * indent + _yaml(name, spec.default) for name, spec in specs.items()}
    short = {name for name, entry in entries.items() if len(entry) <= _LONGEST_BESIDE}
    column = 2 + max(len(entries[name]) for name in short)
    lines = []
    for name, entry in entries.items():
        comment = f"# {specs[name].summary}"
        if name in short:
            lines.append(f"{entry:{column}}{comment}")
        else:
            lines += [" " * indent + comment, entry]
    return "\n".join(lines)


def _yaml(name: str, value: Value) -> str:
    """One entry, with the quotes that YAML needs, e.g. for an empty string."""
    flow_style = None if isinstance(value, list) else False  # [a, b] on the line of its name
    text: str = yaml.safe_dump({name: value}, default_flow_style=flow_style, width=math.inf)
    return text.rstrip()


if __name__ == "__main__":
    renderers = {"markdown": render_markdown, "yaml": render_yaml}
    parser = argparse.ArgumentParser(prog="python -m mtinet_ros.node.parameter_docs")
    parser.add_argument("form", choices=renderers, help="what to print")
    print(renderers[parser.parse_args().form](), end="")
