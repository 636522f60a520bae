# SPDX-License-Identifier: Apache-2.0
"""The middleware's settings that carry camera images, put in force by an environment variable.

By default Fast DDS and Cyclone DDS lose most images of a camera on the way to a best-effort
subscriber; the files in `config/` say why and what they change. `docs/transport.md` has the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from xml.etree import ElementTree

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.install_paths import share_directory

FAST_DDS = ("rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")
CYCLONE_DDS = "rmw_cyclonedds_cpp"
ZENOH = "rmw_zenoh_cpp"

SHARED_MEMORY = Path("/dev/shm")
# What our profile takes of it: 64 MiB for images, and some for administration, which was measured.
SEGMENT_BYTES = 72_000_000

# The name of Fast DDS 3, and that of Fast DDS 2; neither knows the other's.
_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
_VARIABLE_UP_TO_JAZZY = "FASTRTPS_DEFAULT_PROFILES_FILE"
_DISTRIBUTIONS_UP_TO_JAZZY = ("humble", "iron", "jazzy")
_CYCLONE_VARIABLE = "CYCLONEDDS_URI"
_ZENOH_VARIABLE = "ZENOH_SESSION_CONFIG_URI"

SETTINGS_VARIABLES = (_VARIABLE, _VARIABLE_UP_TO_JAZZY, _CYCLONE_VARIABLE)


def middleware_named(environ: Mapping[str, str]) -> str:
    """The middleware that an environment asks for; Fast DDS is what ROS 2 takes without a word."""
    return environ.get("RMW_IMPLEMENTATION") or FAST_DDS[0]


def profile_variable(environ: Mapping[str, str]) -> str:
    """The environment variable that names Fast DDS's profile in this distribution of ROS 2.

    `ROS_DISTRO` tells which; the wheels from PyPI, which do not set it, are Kilted.
    """
    old = environ.get("ROS_DISTRO", "") in _DISTRIBUTIONS_UP_TO_JAZZY
    return _VARIABLE_UP_TO_JAZZY if old else _VARIABLE


def settings_variable(environ: Mapping[str, str], middleware: str) -> str:
    """The environment variable that names a middleware's settings; empty for an unknown one."""
    if middleware in FAST_DDS:
        return profile_variable(environ)
    return {CYCLONE_DDS: _CYCLONE_VARIABLE, ZENOH: _ZENOH_VARIABLE}.get(middleware, "")


def has_room(shared_memory: Path = SHARED_MEMORY) -> bool:
    """Whether a process can have its segment of shared memory."""
    try:
        return shutil.disk_usage(shared_memory).free >= SEGMENT_BYTES
    except OSError:
        return False


def ensure_transport_profile(
    environ: MutableMapping[str, str],
    middleware: str | None = None,
    shared_memory: Path = SHARED_MEMORY,
) -> str | None:
    """Name our settings for the middleware in an environment, unless the user has named some.

    Call it before the first node of the process, with `os.environ`. Where `/dev/shm` has no room
    for the segment of Fast DDS, the profile without shared memory is named.

    Nothing is set for a middleware other than Fast DDS and Cyclone DDS, nor with
    `ROS_LOCALHOST_ONLY=1` on Humble for Fast DDS: there the restriction to this computer is part
    of the transports that a profile replaces.

    Args:
        environ: The environment to change.
        middleware: As rclpy calls it; `None`: what the environment asks for.
        shared_memory: Where segments of shared memory are kept.

    Returns:
        The path of our settings if the variable was set, else `None`.

    Raises:
        ConfigurationError: The profile, ours or the user's, is missing or is not XML. Fast DDS
            would go on without it, and lose images.
    """
    middleware = middleware or middleware_named(environ)
    if middleware == CYCLONE_DDS:
        return _name_cyclone_settings(environ)
    if middleware not in FAST_DDS:
        return None
    variable = profile_variable(environ)
    if environ.get(variable):
        _check(
            Path(environ[variable]),
            f"Name an XML file in the environment variable {variable}, or unset it to use the "
            "profile that comes with mtinet_ros",
        )
        return None
    if environ.get("ROS_DISTRO") == "humble" and environ.get("ROS_LOCALHOST_ONLY") == "1":
        return None
    profile = shared_memory_profile() if has_room(shared_memory) else udp_profile()
    _check(profile, f"Install mtinet_ros anew, or name a profile of your own in {variable}")
    environ[variable] = str(profile)
    return str(profile)


def shared_memory_profile() -> Path:
    """Fast DDS's profile for processes that share memory."""
    return share_directory() / "config" / "fastdds_profile.xml"


def udp_profile() -> Path:
    """Fast DDS's profile for processes that do not."""
    return share_directory() / "config" / "fastdds_udp_profile.xml"


def _name_cyclone_settings(environ: MutableMapping[str, str]) -> str | None:
    settings = share_directory() / "config" / "cyclonedds.xml"
    # A comma would part it in two, and without the file no node would start.
    if environ.get(_CYCLONE_VARIABLE) or "," in str(settings) or not settings.is_file():
        return None
    environ[_CYCLONE_VARIABLE] = f"file://{settings}"
    return str(settings)


def _check(profile: Path, advice: str) -> None:
    try:
        ElementTree.parse(profile)
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigurationError(
            f"the Fast DDS profile {profile} cannot be used ({error}), and without one Fast DDS "
            f"loses images above 0.5 MB. {advice}"
        ) from error
