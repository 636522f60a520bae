# SPDX-License-Identifier: Apache-2.0
"""The node as its users meet it: a process of its own, driven over real topics and services."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import NDArray
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mtinet_ros.node.message_factory import camera_info_message, encode_image
from mtinet_ros.perception.camera_model import CameraModel

ROOT = Path(__file__).resolve().parents[2]
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "shutdown": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
}
RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)
BEST_EFFORT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT
)


class NodeProcess:
    """`perception_node` as a child process; its log is kept, line by line."""

    def __init__(self, *parameters: str, arguments: tuple[str, ...] = ()) -> None:
        command = [sys.executable, "-m", "mtinet_ros.node", "--ros-args", *arguments]
        for parameter in parameters:
            command += ["-p", parameter]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if kind is not None:
            print("The node's log:", self.text(), sep="\n")  # with the report of the failure
        if self.process.poll() is None:
            # Not killed: a participant that leaves without a word haunts discovery for seconds.
            self.process.terminate()
        try:
            self.process.wait(10.0)
        finally:
            self.process.kill()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line.rstrip("\n"))

    def text(self, first: int = 0) -> str:
        """The log from line `first` on, once nothing more comes: it arrives through a pipe."""
        deadline, seen, since = time.monotonic() + 5.0, -1, 0.0
        while time.monotonic() < deadline and time.monotonic() - since < 0.4:
            if len(self.log) != seen:
                seen, since = len(self.log), time.monotonic()
            time.sleep(0.02)
        return "\n".join(self.log[first:])

    def says(self, sentence: str, timeout: float = 10.0) -> bool:
        """Whether the log holds the sentence, now or soon."""
        deadline = time.monotonic() + timeout
        while sentence not in "\n".join(self.log) and time.monotonic() < deadline:
            time.sleep(0.05)
        return sentence in "\n".join(self.log)

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; returns the exit status and the seconds until the end."""
        began = time.monotonic()
        self.process.send_signal(number)
        status = self.wait(10.0)
        return status, time.monotonic() - began

    def wait(self, timeout: float) -> int:
        status = self.process.wait(timeout)
        self._reader.join()
        return status

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def thread_count(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


class Robot(Node):
    """Everything around the node under test: cameras, listeners, a lifecycle manager."""

    def __init__(self, namespace: str = "") -> None:
        super().__init__("robot", namespace=namespace)
        self.executor_ = SingleThreadedExecutor()
        self.executor_.add_node(self)
        self.messages: dict[str, list[Any]] = defaultdict(list)
        self._stamp = 1000
        self._cameras: dict[str, Any] = {}
        self.subscribe("/diagnostics", DiagnosticArray)

    def spin_until(self, done: Callable[[], bool], timeout: float = 60.0) -> bool:
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                return False
            self.executor_.spin_once(timeout_sec=0.05)
        return True

    def spin_for(self, seconds: float) -> None:
        self.spin_until(lambda: False, seconds)

    def subscribe(self, topic: str, message_type: type[Any], qos: QoSProfile = RELIABLE) -> Any:
        return self.create_subscription(message_type, topic, self.messages[topic].append, qos)

    def call(
        self, service_type: type[Any], service: str, request: Any, timeout: float = 60.0
    ) -> Any:
        client: Any = self.create_client(service_type, service)
        try:
            assert self.spin_until(client.service_is_ready, timeout), f"no service {service}"
            future = client.call_async(request)
            assert self.spin_until(future.done, timeout), f"no answer from {service}"
            return future.result()
        finally:
            self.destroy_client(client)

    def change_state(self, name: str) -> bool:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[name]))
        return bool(self.call(ChangeState, "/perception/change_state", request).success)

    def state(self) -> str:
        answer = self.call(GetState, "/perception/get_state", GetState.Request())
        return str(answer.current_state.label)

    def set_parameter(self, name: str, value: Any) -> tuple[bool, str]:
        message = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        result = self.call(SetParameters, "/perception/set_parameters", request).results[0]
        return bool(result.successful), str(result.reason)

    def start(self) -> None:
        assert self.change_state("configure")
        assert self.change_state("activate")

    def status(self, name: str) -> DiagnosticStatus | None:
        """The newest status of that name on /diagnostics."""
        for array in reversed(self.messages["/diagnostics"]):
            for status in array.status:
                if status.name == f"perception: {name}":
                    return status
        return None

    def reports(self, name: str, key: str, text: str, timeout: float = 60.0) -> bool:
        """Wait until a status' value (or, with key `message`, its message) contains the text."""

        def seen() -> bool:
            del self.messages["/diagnostics"][:-3]
            status = self.status(name)
            values = {v.key: v.value for v in status.values} if status else {}
            values["message"] = status.message if status else ""
            return text in values.get(key, "")

        return self.spin_until(seen, timeout)

    def camera(
        self, topic: str, message_type: type[Any] = Image, qos: QoSProfile = RELIABLE
    ) -> Any:
        if topic not in self._cameras:
            self._cameras[topic] = self.create_publisher(message_type, topic, qos)
        return self._cameras[topic]

    def header(self) -> Header:
        self._stamp += 1
        header = Header(frame_id="camera_optical_frame")
        header.stamp.sec, header.stamp.nanosec = self._stamp, 123
        return header

    def show(
        self,
        image: NDArray[np.uint8],
        camera: CameraModel | None = None,
        name: str = "camera",
        qos: QoSProfile = RELIABLE,
    ) -> Header:
        """Publish an rgb8 image and, with a camera model, its CameraInfo."""
        header = self.header()
        if camera is not None:
            info = self.camera(f"/{name}/camera_info", CameraInfo, qos)
            info.publish(camera_info_message(camera, header))
        self.camera(f"/{name}/image_raw", Image, qos).publish(encode_image(image, "rgb8", header))
        return header

    def show_until(
        self, topic: str, show: Callable[[], Header], timeout: float = 60.0
    ) -> tuple[Header, Any]:
        """Show pictures until one is answered on `topic`; returns its header and the answer."""
        shown: list[Header] = []
        first = len(self.messages[topic])

        def answered() -> list[tuple[Header, Any]]:
            answers = self.messages[topic][first:]
            return [(h, a) for a in answers for h in shown if h.stamp == a.header.stamp]

        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            shown.append(show())
            if self.spin_until(lambda: bool(answered()), 0.3):
                return answered()[0]
        raise AssertionError(f"nothing came on {topic}")


def compressed(data: bytes, header: Header, form: str = "jpeg") -> CompressedImage:
    return CompressedImage(header=header, format=form, data=list(data))
