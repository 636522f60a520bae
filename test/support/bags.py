# SPDX-License-Identifier: Apache-2.0
"""Bags as several recorders write them: rosbags, the `mcap` library, and SQLite by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"


@dataclass(frozen=True)
class Recorded:
    """A message to record: topic, type, record time in ns, and what is serialized."""

    topic: str
    type_name: str
    time: int
    message: Any

    def cdr(self) -> bytes:
        if isinstance(self.message, bytes):
            return self.message
        return bytes(store().serialize_cdr(self.message, self.type_name))


def store() -> Any:
    """The types of ROS 2, as rosbags has them."""
    if not _STORES:
        from rosbags.typesys import Stores, get_typestore

        _STORES.append(get_typestore(Stores.LATEST))
    return _STORES[0]


_STORES: list[Any] = []


def make(type_name: str, **fields: Any) -> Any:
    """A message of a type."""
    return store().types[type_name](**fields)


def header(stamp: int, frame_id: str = "front_optical_frame") -> Any:
    seconds, nanoseconds = divmod(stamp, SECOND)
    time = make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return make("std_msgs/msg/Header", stamp=time, frame_id=frame_id)


def picture(number: int, width: int = 16, height: int = 12) -> NDArray[np.uint8]:
    """uint8 [h,w,3] RGB, another for every number."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def image(
    stamp: int,
    pixels: NDArray[Any] | None = None,
    encoding: str = "rgb8",
    frame_id: str = "front_optical_frame",
) -> Any:
    pixels = picture(0) if pixels is None else pixels
    return make(
        IMAGE,
        header=header(stamp, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=np.frombuffer(pixels.tobytes(), np.uint8),
    )


def compressed(stamp: int, content: bytes, form: str = "rgb8; png compressed bgr8") -> Any:
    data = np.frombuffer(content, np.uint8)
    return make(COMPRESSED_IMAGE, header=header(stamp), format=form, data=data)


def info(
    stamp: int, focal_length: float = 20.0, width: int = 16, height: int = 12, bend: float = 0.0
) -> Any:
    f, cx, cy = focal_length, width / 2 - 0.5, height / 2 - 0.5
    return make(
        CAMERA_INFO,
        header=header(stamp),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.array([bend, 0.0, 0.0, 0.0, 0.0]),
        k=np.array([f, 0, cx, 0, f, cy, 0, 0, 1.0]),
        r=np.eye(3).ravel(),
        p=np.array([f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1.0, 0]),
        binning_x=0,
        binning_y=0,
        roi=make(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        ),
    )


def text(words: str) -> Any:
    return make("std_msgs/msg/String", data=words)


def a_camera(
    frames: int = 4, camera: str = "/front", period: int = SECOND // 10
) -> list[Recorded]:
    """Images and calibrations of one camera, recorded a millisecond after their stamps."""
    recorded = []
    for number in range(frames):
        stamp = START + number * period
        recorded += [
            Recorded(
                f"{camera}/image_raw", IMAGE, stamp + 1_000_000, image(stamp, picture(number))
            ),
            Recorded(f"{camera}/camera_info", CAMERA_INFO, stamp + 1_100_000, info(stamp)),
        ]
    return recorded


def write_rosbags(
    path: Path,
    recorded: Sequence[Recorded],
    storage: str = "mcap",
    version: Any = 9,
    compression: str = "none",
) -> Path:
    """A bag by rosbags. compression: none, file, message, or storage (of mcap's chunks)."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    writer = Writer(path, version=version, storage_plugin=StoragePlugin[storage.upper()])
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:
        for one in recorded:
            if one.topic not in connections:
                connections[one.topic] = writer.add_connection(
                    one.topic, one.type_name, typestore=store()
                )
            writer.write(connections[one.topic], one.time, one.cdr())
    return path


def write_mcap(path: Path, recorded: Sequence[Recorded], **options: Any) -> Path:
    """A single file by the library `mcap`; its Writer takes the options."""
    from mcap.writer import Writer

    profile = options.pop("profile", "ros2")
    encoding = options.pop("message_encoding", "cdr")
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start(profile=profile)
        channels: dict[str, int] = {}
        for number, one in enumerate(recorded):
            if one.topic not in channels:
                definition, _ = store().generate_msgdef(one.type_name, ros_version=2)
                schema = writer.register_schema(one.type_name, "ros2msg", definition.encode())
                channels[one.topic] = writer.register_channel(one.topic, encoding, schema)
            writer.add_message(channels[one.topic], one.time, one.cdr(), one.time, number)
        writer.finish()
    return path


# Tables as rosbag2_storage_sqlite3 made them: 1 up to Eloquent, 2 in Foxy and Galactic, 3 in
# Humble, 4 from Iron on.
_TABLES = {
    1: """CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
        serialization_format TEXT NOT NULL);""",
    2: """CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
        serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);""",
    3: """CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
        CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
        metadata TEXT NOT NULL);
        CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
        serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
        INSERT INTO schema VALUES (3, 'humble');""",
    4: """CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
        CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
        metadata TEXT NOT NULL);
        CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
        serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL,
        type_description_hash TEXT NOT NULL);
        CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL,
        encoding TEXT NOT NULL, encoded_message_definition TEXT NOT NULL,
        type_description_hash TEXT NOT NULL);
        INSERT INTO schema VALUES (4, 'jazzy');""",
}
_MESSAGES = """CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
    timestamp INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE INDEX timestamp_idx ON messages (timestamp ASC);"""


def write_sqlite(
    path: Path,
    recorded: Sequence[Recorded],
    schema: int = 4,
    serialization: str = "cdr",
    connection: sqlite3.Connection | None = None,
) -> Path:
    """A single file by the tables of a version; to a connection that stays open, if given."""
    database = connection or sqlite3.connect(path)
    if connection is None:
        database.execute("PRAGMA synchronous = OFF")  # nobody waits for the disk
    database.executescript(_TABLES[schema] + _MESSAGES)
    topics: dict[str, int] = {}
    for one in recorded:
        if one.topic not in topics:
            topics[one.topic] = len(topics) + 1
            row = (topics[one.topic], one.topic, one.type_name, serialization, "", "")
            columns = {1: 4, 2: 5, 3: 5, 4: 6}[schema]
            places = ",".join("?" * columns)
            database.execute(f"INSERT INTO topics VALUES ({places})", row[:columns])
        database.execute(
            "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)",
            (topics[one.topic], one.time, one.cdr()),
        )
    database.commit()
    if connection is None:
        with closing(database):
            pass
    return path


def metadata_text(
    version: int, storage: str, names: Sequence[str], recorded: Sequence[Recorded]
) -> str:
    """metadata.yaml as rosbag2 of a version wrote it, of files with one message each."""
    start = min(one.time for one in recorded)
    duration = max(one.time for one in recorded) - start
    folder = "drive/" if version < 4 else ""
    lines = [
        "rosbag2_bagfile_information:",
        f"  version: {version}",
        f"  storage_identifier: {storage}",
        "  relative_file_paths:",
        *(f"    - {folder}{name}" for name in names),
        "  duration:",
        f"    nanoseconds: {duration}",
        "  starting_time:",
        f"    nanoseconds_since_epoch: {start}",
        f"  message_count: {len(recorded)}",
        "  topics_with_message_count:",
    ]
    types = {one.topic: one.type_name for one in recorded}
    for topic, type_name in types.items():
        lines += [
            "    - topic_metadata:",
            f"        name: {topic}",
            f"        type: {type_name}",
            "        serialization_format: cdr",
        ]
        if version >= 9:
            lines += ["        offered_qos_profiles:", *_QOS_9]
        elif version >= 4:
            lines.append(f"        offered_qos_profiles: {_QOS_4}")
        if version >= 7:
            lines.append(f"        type_description_hash: RIHS01_{'5' * 64}")
        lines.append(f"      message_count: {sum(one.topic == topic for one in recorded)}")
    if version >= 3:
        lines += ['  compression_format: ""', '  compression_mode: ""']
    if version >= 5:
        lines.append("  files:")
        for name, one in zip(names, recorded, strict=True):
            lines += [
                f"    - path: {name}",
                "      starting_time:",
                f"        nanoseconds_since_epoch: {one.time}",
                "      duration:",
                "        nanoseconds: 0",
                "      message_count: 1",
            ]
    if version >= 6:
        lines.append("  custom_data: ~")
    if version >= 8:
        lines.append("  ros_distro: rolling")
    return "\n".join(lines)


_QOS_4 = (
    '"- history: 3\\n  depth: 0\\n  reliability: 1\\n  durability: 2\\n  deadline:\\n    sec: '
    "2147483647\\n    nsec: 4294967295\\n  lifespan:\\n    sec: 2147483647\\n    nsec: 4294967295"
    "\\n  liveliness: 1\\n  liveliness_lease_duration:\\n    sec: 2147483647\\n    nsec: "
    '4294967295\\n  avoid_ros_namespace_conventions: false"'
)
_QOS_9 = [
    "          - history: unknown",
    "            depth: 0",
    "            reliability: reliable",
    "            durability: volatile",
    "            deadline: {sec: 9223372036, nsec: 854775807}",
    "            lifespan: {sec: 9223372036, nsec: 854775807}",
    "            liveliness: automatic",
    "            liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}",
    "            avoid_ros_namespace_conventions: false",
]


def write_ros1(path: Path, recorded: Sequence[Recorded]) -> Path:
    """A bag of ROS 1, by rosbags."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    noetic = get_typestore(Stores.ROS1_NOETIC)
    with Writer(path) as writer:
        connections: dict[str, Any] = {}
        for one in recorded:
            if one.topic not in connections:
                connections[one.topic] = writer.add_connection(
                    one.topic, one.type_name, typestore=noetic
                )
            data = noetic.serialize_ros1(_as_ros1(one, noetic), one.type_name)
            writer.write(connections[one.topic], one.time, data)
    return path


def _as_ros1(one: Recorded, noetic: Any) -> Any:
    fields = {
        name: getattr(one.message, name)
        for name in one.message.__dataclass_fields__
        if not name.startswith("__")
    }
    if "header" in fields:
        old = fields["header"]
        time = noetic.types["builtin_interfaces/msg/Time"](old.stamp.sec, old.stamp.nanosec)
        fields["header"] = noetic.types["std_msgs/msg/Header"](7, time, old.frame_id)
    if "roi" in fields:
        roi = noetic.types["sensor_msgs/msg/RegionOfInterest"]
        fields["roi"] = roi(**{n: getattr(fields["roi"], n) for n in (
            "x_offset", "y_offset", "height", "width", "do_rectify")})  # fmt: skip
    if one.type_name == CAMERA_INFO:
        fields = {name.upper() if name in "dkrp" else name: v for name, v in fields.items()}
    return noetic.types[one.type_name](**fields)
