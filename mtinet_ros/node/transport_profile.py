# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS settings that carry camera images, put in force by an environment variable.

By default Fast DDS loses most images above 0.5 MB on the way to a best-effort subscriber;
`config/fastdds_profile.xml` says why and what it changes. Other middlewares ignore all of this.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from xml.etree import ElementTree

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.install_paths import share_directory

# The name of Fast DDS 3, and that of Fast DDS 2; neither knows the other's.
_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
_VARIABLE_UP_TO_JAZZY = "FASTRTPS_DEFAULT_PROFILES_FILE"
_DISTRIBUTIONS_UP_TO_JAZZY = ("humble", "iron", "jazzy")


def profile_variable(environ: Mapping[str, str]) -> str:
    """The environment variable that names the profile in this distribution of ROS 2.

    `ROS_DISTRO` tells which; the wheels from PyPI, which do not set it, are Kilted.
    """
    old = environ.get("ROS_DISTRO", "") in _DISTRIBUTIONS_UP_TO_JAZZY
    return _VARIABLE_UP_TO_JAZZY if old else _VARIABLE


def ensure_transport_profile(environ: MutableMapping[str, str]) -> str | None:
    """Name our profile in an environment, unless the user has named one where it is read.

    Call it before the first node of the process, with `os.environ`.

    With `ROS_LOCALHOST_ONLY=1` on Humble nothing is set: there the restriction to this computer is
    part of the transports that a profile replaces.

    Args:
        environ: The environment to change.

    Returns:
        The path of our profile if the variable was set, else `None`.

    Raises:
        ConfigurationError: The profile, ours or the user's, is missing or is not XML. Fast DDS
            would go on without it, and lose images.
    """
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
    profile = share_directory() / "config" / "fastdds_profile.xml"
    _check(profile, f"Install mtinet_ros anew, or name a profile of your own in {variable}")
    environ[variable] = str(profile)
    return str(profile)


def _check(profile: Path, advice: str) -> None:
    try:
        ElementTree.parse(profile)
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigurationError(
            f"the Fast DDS profile {profile} cannot be used ({error}), and without one Fast DDS "
            f"loses images above 0.5 MB. {advice}"
        ) from error
