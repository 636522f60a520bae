# SPDX-License-Identifier: Apache-2.0
"""How one parameter of the node is declared: as a field of a dataclass. No ROS in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mtinet_ros.errors import ConfigurationError

Value = bool | int | float | str | list[str]

SPEC = "parameter"  # key of the ParameterSpec in the metadata of a field


class Changeable(Enum):
    """When a parameter may be set after start."""

    NEVER = "Set at start only"
    UNCONFIGURED = "May be changed while the node is unconfigured"
    ALWAYS = "May be changed at any time; holds from the next frame"


@dataclass(frozen=True)
class ParameterSpec:
    """The declaration of one parameter.

    Attributes:
        default: The value if the user sets none; its type is the parameter's type.
        summary: Meaning in few words: the comment in the config file.
        details: Further sentences of the description.
        changeable: When the parameter may be set.
        choices: Allowed values (of each element, for a list); empty: any.
        minimum: Smallest allowed number.
        maximum: Largest allowed number.
    """

    default: Value
    summary: str
    details: str = ""
    changeable: Changeable = Changeable.UNCONFIGURED
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def description(self) -> str:
        """Summary and details, for `ros2 param describe` and the documentation."""
        return "; ".join(filter(None, (self.summary, self.details)))

    def coerce(self, value: Any) -> Any:
        """The value in the parameter's type, where YAML's reading of it differs.

        An integer becomes a float for a parameter of floats, and false and true, as YAML reads
        `off` and `on`, become those words where they are choices. Others come back as they are.
        """
        if isinstance(self.default, float) and type(value) is int:
            return float(value)
        if isinstance(value, bool) and (word := "on" if value else "off") in self.choices:
            return word
        return value

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that is not among the choices or outside the range.

        Raises:
            ConfigurationError: It names the parameter, the value and what is allowed.
        """
        items = value if isinstance(self.default, list) else [value]
        for item in items if self.choices else ():
            if item not in self.choices:
                raise ConfigurationError(
                    f"{name}: {item!r} is not allowed; choose from {', '.join(self.choices)}"
                )
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and not low <= value <= high:
            raise ConfigurationError(
                f"{name}: {value} is not allowed; from {low:.7g} to {high:.7g}"
            )


def parameter(
    default: Value,
    summary: str,
    details: str = "",
    *,
    changeable: Changeable = Changeable.UNCONFIGURED,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A dataclass field that declares a parameter; the arguments are those of `ParameterSpec`.

    To the dataclass the field has no default: a value always comes from a declared parameter.
    """
    spec = ParameterSpec(default, summary, details, changeable, choices, minimum, maximum)
    return field(metadata={SPEC: spec})
