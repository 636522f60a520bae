# SPDX-License-Identifier: Apache-2.0
"""What a person should know of the way that images take here, by middleware: sentences only.

Everything is read from files of the kernel; nothing is asked of the middleware, which does not say
when it loses an image.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtinet_ros.node.transport_profile import (
    CYCLONE_DDS,
    FAST_DDS,
    SHARED_MEMORY,
    ZENOH,
    has_room,
    settings_variable,
    shared_memory_profile,
    udp_profile,
)

RECEIVE_BUFFER_LIMIT = Path("/proc/sys/net/core/rmem_max")
# 640x480 bgr8, the smallest image that cameras commonly send.
_SMALL_IMAGE = 640 * 480 * 3
_GUIDE = "docs/transport.md"


@dataclass(frozen=True)
class Transport:
    """The way that images take to this process.

    Attributes:
        middleware: As rclpy calls it.
        settings: The file in force, if it is ours or the user named one; else empty.
        shared_memory: Folder of shared memory.
        receive_buffer_limit: The kernel's file with the most that a socket may buffer, in bytes.
        user: Number of the user.
    """

    middleware: str
    settings: str = ""
    shared_memory: Path = SHARED_MEMORY
    receive_buffer_limit: Path = RECEIVE_BUFFER_LIMIT
    user: int = -1

    @classmethod
    def of_this_process(cls, middleware: str, environ: Mapping[str, str]) -> Transport:
        """The transport of this process, once `ensure_transport_profile` has had its say."""
        settings = environ.get(settings_variable(environ, middleware), "")
        return cls(middleware, settings, user=os.geteuid())

    @property
    def is_by_udp(self) -> bool:
        """Whether images come through sockets, whose buffers must hold them."""
        return self.middleware == CYCLONE_DDS or (
            self.middleware in FAST_DDS and self.settings == str(udp_profile())
        )

    def summary(self) -> str:
        """One sentence for the log at the start: the settings in force."""
        if self.middleware in FAST_DDS and self.settings == str(shared_memory_profile()):
            return (
                f"images come over {self.middleware} with {self.settings}; camera drivers need "
                f"that profile too ({_GUIDE})"
            )
        return f"images come over {self.middleware} with {self.settings or 'its own settings'}"

    def warnings(self) -> list[str]:
        """What will lose images here, as far as it can be seen before any has come."""
        found = [self._too_little_shared_memory(), self.too_small_buffer(_SMALL_IMAGE)]
        return [*(sentence for sentence in found if sentence), *self._other_users()]

    def why_silent(self) -> str:
        """Why images that somebody publishes may not arrive."""
        if others := self._other_users():
            return others[0]
        if self.middleware in FAST_DDS and not self.is_by_udp:
            return (
                "if they do send, images above 0.5 MB get lost on the way: give the driver the "
                f"Fast DDS profile too ({_GUIDE})"
            )
        if self.is_by_udp:
            limit = self._receive_buffer_limit()
            # In a network of its own, such as a container's, many kernels do not show it.
            known = (
                f", which is {limit} bytes," if limit is not None else " on the computer itself"
            )
            return (
                "if they do send, images that find no room in the socket's buffer get lost: set "
                f"net.core.rmem_max{known} above an image's size ({_GUIDE})"
            )
        if self.middleware == ZENOH:
            return (
                "if they do send, the publisher drops images that a slow link holds up: raise its "
                f"wait_before_drop ({_GUIDE})"
            )
        return f"if they do send, see {_GUIDE}"

    def why_alone(self) -> str:
        """Why a publisher that is there may not be seen; empty if there is no likely reason."""
        if self.middleware == ZENOH:
            return "with Zenoh a router must run: ros2 run rmw_zenoh_cpp rmw_zenohd"
        return ""

    def too_small_buffer(self, image_bytes: int) -> str:
        """What to set if a socket cannot buffer an image of that size; empty if it can.

        The kernel doubles what is asked for, and an image that is not twice the limit was seen to
        arrive; a larger one to lose packets.
        """
        limit = self._receive_buffer_limit()
        if not self.is_by_udp or limit is None or image_bytes <= 2 * limit:
            return ""
        enough = max(4 << 20, 1 << (image_bytes - 1).bit_length())
        return (
            f"images of {image_bytes / 1e6:.1f} MB get lost on the way: net.core.rmem_max is "
            f"{limit} bytes; sudo sysctl -w net.core.rmem_max={enough}"
        )

    def _receive_buffer_limit(self) -> int | None:
        try:
            return int(self.receive_buffer_limit.read_text())
        except (OSError, ValueError):
            return None

    def _too_little_shared_memory(self) -> str:
        if self.middleware not in FAST_DDS or has_room(self.shared_memory):
            return ""
        if self.settings not in (str(udp_profile()), str(shared_memory_profile())):
            return ""
        try:
            free = f"{shutil.disk_usage(self.shared_memory).free / 1e6:.0f} MB free"
        except OSError:
            free = "no memory"
        return (
            f"{self.shared_memory} has {free}, too little to share images of cameras, which come "
            "by UDP instead; in a container use --ipc=host or --shm-size=1g"
        )

    def _other_users(self) -> list[str]:
        """Users whose processes cannot share memory with this one, if there are any now.

        Segments that dead processes left behind do not count: a living one holds a lock.
        """
        if self.middleware not in FAST_DDS or self.is_by_udp:
            return []
        users = {
            owner
            for pattern in ("fastdds_*_el", "fastrtps_*_el")
            for path in self.shared_memory.glob(pattern)
            if (owner := _locked_by(path)) is not None
        } - {self.user}
        if not users:
            return []
        names = ", ".join(str(user) for user in sorted(users))
        if self.user == 0:
            problem = "get nothing of what root publishes"
        elif 0 in users:
            problem = "share no memory with this one, and nothing comes of what root publishes"
        else:
            problem = "share no memory with this one, and images go by UDP"
        return [
            f"Fast DDS processes of other users (uid {names}; this one has {self.user}) {problem}"
            f"; run all as one user, or set the profile {udp_profile()} ({_GUIDE})"
        ]


def _locked_by(path: Path) -> int | None:
    """Whose file it is, if a process holds its lock, as Fast DDS does beside each segment."""
    try:
        with path.open("rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return owner
    except OSError:  # gone, or not for us to see
        pass
    return None
