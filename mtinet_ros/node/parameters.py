# SPDX-License-Identifier: Apache-2.0
"""The parameters of `settings` in ROS: declared, read, and guarded against bad changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.node.parameter_spec import Changeable, ParameterSpec
from mtinet_ros.node.settings import (
    CAMERA_PARAMETERS,
    NODE_PARAMETERS,
    NodeSettings,
    camera_parameter_spec,
    check_camera_names,
    make_settings,
    parameter_spec,
)


def declare_parameters(node: Node) -> None:
    """Declare every parameter of the node and of its cameras, with the values given at start.

    Raises:
        ConfigurationError: A value given at start is not allowed.
    """
    for name, spec in NODE_PARAMETERS.items():
        _declare(node, name, spec)
    cameras = _camera_names(node)
    check_camera_names(cameras)
    for camera in cameras:
        for key in CAMERA_PARAMETERS:
            _declare(node, f"{camera}.{key}", camera_parameter_spec(camera, key))
    read_settings(node)
    _log_unused(node, cameras)


def read_settings(node: Node) -> NodeSettings:
    """The present values of all parameters.

    Raises:
        ConfigurationError: A value is not allowed; the message says what is.
    """
    return make_settings(_values(node))


def _camera_names(node: Node) -> list[str]:
    return list(node.get_parameter_or("cameras").value or [])


def _values(node: Node) -> dict[str, Any]:
    keys = [f"{camera}.{key}" for camera in _camera_names(node) for key in CAMERA_PARAMETERS]
    # Not get_parameter: an empty list given at start arrives without a type, and that raises.
    values = {name: node.get_parameter_or(name).value for name in [*NODE_PARAMETERS, *keys]}
    return {name: [] if value is None else value for name, value in values.items()}


def _log_unused(node: Node, cameras: list[str]) -> None:
    """Log what was given at start and is no parameter: misspelt, or for another camera."""
    # rclpy has no public way to ask; the name is the same in all distributions.
    given: Iterable[str] = getattr(node, "_parameter_overrides", {})
    unused = [n for n in given if not node.has_parameter(n) and not n.startswith("qos_overrides.")]
    others = {n for n in unused if n not in NODE_PARAMETERS and parameter_spec(n) is not None}
    if others:
        names = ", ".join(sorted({name.partition(".")[0] for name in others}))
        node.get_logger().info(
            f"parameters of {names} are not used: cameras are {', '.join(cameras)}"
        )
    known = [*NODE_PARAMETERS, *(f"{c}.{key}" for c in cameras for key in CAMERA_PARAMETERS)]
    for name in unused:
        if name not in others:
            of_camera = [other for other in known if other.endswith(f".{name}")]
            similar = of_camera or get_close_matches(name, known, n=1)
            hint = f"; did you mean {similar[0]}?" if similar else ""
            node.get_logger().warning(f"{name}: is no parameter of this node{hint}")


@contextmanager
def explained_overrides(topic: str) -> Iterator[None]:
    """While publishing or subscribing to a topic: turn refused `qos_overrides` into our error.

    Raises:
        ConfigurationError: In place of what rclpy raises, which would end in a traceback.
    """
    try:
        yield
    except (InvalidParameterTypeException, RuntimeError) as error:
        # A bad value raises a bare RuntimeError, with nothing but its words to know it by.
        if isinstance(error, RuntimeError) and "QoS override" not in str(error):
            raise
        raise ConfigurationError(f"qos_overrides.{topic}: {error}") from error


def guard_parameters(
    node: Node,
    is_unconfigured: Callable[[], bool],
    apply: Callable[[NodeSettings], None],
) -> None:
    """From now on refuse changes that are not allowed, and pass accepted ones to `apply`.

    Args:
        node: The node; its parameters are declared.
        is_unconfigured: Whether the node is in the lifecycle state `unconfigured`.
        apply: Called with the settings after every accepted change. (Callbacks after setting
            exist in newer distributions only; nothing refuses a change after ours has accepted
            it.)
    """

    def check(parameters: Iterable[Parameter[Any]]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters if parameter_spec(p.name) is not None}
        if not changes:  # rclpy's own, such as use_sim_time
            return SetParametersResult(successful=True)
        try:
            for name in changes:
                spec = parameter_spec(name)
                is_fixed = spec is not None and spec.changeable is Changeable.UNCONFIGURED
                if is_fixed and not is_unconfigured():
                    raise ConfigurationError(
                        f"{name}: can only be changed while the node is unconfigured; deactivate "
                        "and clean it up first (ros2 lifecycle set), then configure it again"
                    )
            apply(make_settings({**_values(node), **changes}))
        except ConfigurationError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)
    # Humble has no such callback: there rclpy itself refuses an integer for a double.
    if hasattr(node, "add_pre_set_parameters_callback"):
        node.add_pre_set_parameters_callback(_coerce)


def _coerce(parameters: list[Parameter[Any]]) -> list[Parameter[Any]]:
    """Make 5.0 of `ros2 param set … max_rate 5`, and what else `ParameterSpec.coerce` does."""
    result = []
    for parameter in parameters:
        spec = parameter_spec(parameter.name)
        if spec is not None:
            value = spec.coerce(parameter.value)
            if type(value) is not type(parameter.value):
                parameter = Parameter(parameter.name, value=value)
        result.append(parameter)
    return result


def _declare(node: Node, name: str, spec: ParameterSpec) -> None:
    descriptor = _descriptor(spec)
    try:
        node.declare_parameter(name, spec.default, descriptor)
    except InvalidParameterTypeException as error:
        _declare_coerced(node, name, spec, descriptor, error)
    except InvalidParameterValueException as error:
        value = _given_value(node, name)
        spec.check(name, value)
        raise ConfigurationError(f"{name}: {value!r} is not allowed; {error}") from error


def _declare_coerced(
    node: Node,
    name: str,
    spec: ParameterSpec,
    descriptor: ParameterDescriptor,
    error: InvalidParameterTypeException,
) -> None:
    """Declare with `ParameterSpec.coerce` of the value given at start: 10.0 for `max_rate:=10`.

    Raises:
        ConfigurationError: The value is of another type altogether.
    """
    value = _given_value(node, name)
    if isinstance(spec.default, list) and value in (None, []):
        return
    coerced = spec.coerce(value)
    if type(coerced) is type(value):
        wanted = (
            "a list of strings" if isinstance(spec.default, list) else type(spec.default).__name__
        )
        raise ConfigurationError(
            f"{name}: {value!r} is of the wrong type; {wanted} is needed, e.g. {spec.default!r}"
        ) from error
    spec.check(name, coerced)
    node.declare_parameter(name, coerced, descriptor, ignore_override=True)


def _given_value(node: Node, name: str) -> Any:
    """The value given at start for a parameter that is not declared yet."""
    probe = ParameterDescriptor(dynamic_typing=True)
    value = node.declare_parameter(name, None, probe).value
    node.undeclare_parameter(name)
    return value


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=spec.description,
        read_only=spec.changeable is Changeable.NEVER,
        additional_constraints=_constraints(spec),
    )
    if spec.minimum is not None and spec.maximum is not None:
        if isinstance(spec.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=spec.minimum, to_value=spec.maximum, step=0.0)
            ]
    return descriptor


def _constraints(spec: ParameterSpec) -> str:
    choices = f"One of: {', '.join(spec.choices)}. " if spec.choices else ""
    return f"{choices}{spec.changeable.value}."
