# SPDX-License-Identifier: Apache-2.0
"""The parts that a bag is written in, and the `metadata.yaml` that makes them one, for rosbag2.

Version 8 of it: Humble and Iron read no newer one, since version 9 has the quality of service as a
list where they expect a text of numbers, and Jazzy and all later ones still read it
(rosbag2_storage/yaml.hpp: each field is looked for from some version on, and none is refused).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtinet_ros.errors import InputError
from mtinet_ros.output_files import file_errors, replace_file
from mtinet_ros.recordings.disk import remove_left_behind

METADATA_VERSION = 8
METADATA_NAME = "metadata.yaml"


@dataclass(frozen=True)
class TopicRecord:
    """A topic of a file.

    Attributes:
        name: Of the topic.
        type_name: E.g. `sensor_msgs/msg/Image`.
        serialization: `cdr`.
        qos: Quality of service that its publishers offered, as YAML.
        digest: Hash of the type (REP 2011), empty where it is not known.
        messages: Number of its messages.
    """

    name: str
    type_name: str
    serialization: str
    qos: str
    digest: str
    messages: int


@dataclass(frozen=True)
class FileRecord:
    """A file of a bag; JSON can hold it as a dictionary.

    Attributes:
        file: Its name, in the bag's folder.
        storage: `mcap` or `sqlite3`.
        start: Record time of the first message in ns.
        end: Record time of the last message in ns.
        topics: Topics with messages in it.
        notes: What `custom_data` shall say; of several files all values.
    """

    file: str
    storage: str
    start: int
    end: int
    topics: tuple[TopicRecord, ...]
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """Number of messages in the file."""
        return sum(topic.messages for topic in self.topics)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FileRecord:
        """From what `as_dict` gave, whether it went through JSON or not."""
        topics = tuple(TopicRecord(**topic) for topic in record["topics"])
        notes = {name: tuple(values) for name, values in record["notes"].items()}
        return cls(**{**record, "topics": topics, "notes": notes})


def write_metadata(folder: Path, files: Sequence[FileRecord]) -> None:
    """Make a bag of just these files, in order of time.

    Raises:
        InputError: A file is not there, they are of different formats, or the metadata cannot be
            written.
    """
    files = sorted(files, key=lambda file: (file.start, file.end, file.file))
    for file in files:
        if not (folder / file.file).is_file():
            raise InputError(f"{folder / file.file} is missing; process that part again")
    storages = sorted({file.storage for file in files})
    if len(storages) > 1:
        raise InputError(
            f"{folder} has parts in {' and in '.join(storages)}; a bag has files of one format"
        )
    path = folder / METADATA_NAME
    text = _yaml({"rosbag2_bagfile_information": _information(files)})
    with file_errors(f"write {path}", InputError):
        remove_left_behind(path)
        replace_file(path, text, flush=True)


def metadata_text(files: Sequence[FileRecord]) -> str:
    """What a file says of itself, without the name that the metadata have in `metadata.yaml`."""
    return _yaml(_information(files))


def _yaml(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _information(files: Sequence[FileRecord]) -> dict[str, Any]:
    start = min((file.start for file in files), default=0)
    end = max((file.end for file in files), default=start)
    return {
        "version": METADATA_VERSION,
        "storage_identifier": files[0].storage if files else "mcap",
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(file.messages for file in files),
        "topics_with_message_count": _topics(files),
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.file for file in files],
        "files": [
            {
                "path": file.file,
                "starting_time": {"nanoseconds_since_epoch": file.start},
                "duration": {"nanoseconds": file.end - file.start},
                "message_count": file.messages,
            }
            for file in files
        ],
        "custom_data": _notes(files) or None,
        "ros_distro": "",
    }


def _topics(files: Sequence[FileRecord]) -> list[dict[str, Any]]:
    """Of all files; a topic of which anything but the number of messages differs, twice."""
    counts: dict[tuple[str, str, str, str, str], int] = {}
    for file in files:
        for topic in file.topics:
            key = (topic.name, topic.type_name, topic.serialization, topic.qos, topic.digest)
            counts[key] = counts.get(key, 0) + topic.messages
    return [
        {
            "topic_metadata": {
                "name": name,
                "type": type_name,
                "serialization_format": serialization,
                "offered_qos_profiles": qos,
                "type_description_hash": digest,
            },
            "message_count": count,
        }
        for (name, type_name, serialization, qos, digest), count in sorted(counts.items())
    ]


def _notes(files: Sequence[FileRecord]) -> dict[str, str]:
    names = sorted({name for file in files for name in file.notes})
    values = {
        name: sorted({value for file in files for value in file.notes.get(name, ())})
        for name in names
    }
    return {name: ", ".join(found) for name, found in values.items() if found}
