# SPDX-License-Identifier: Apache-2.0
"""Times camera images from process to process, with and without the transport settings we ship.

    python benchmarks/transport.py -o build/transport
    python benchmarks/transport.py -o build/transport --into docs/transport.md

One process publishes bgr8 images of each size at a camera's rate, another receives them keep-last
1, as the node does. "Default" is the middleware as it comes; "shipped" has our settings in force,
for both processes. The two take turns, round by round. Told are how many frames arrived, over all
rounds, and the median time from before `publish` to the callback; a frame counts if its first and
last pixels are its own. Then eight cameras publish at once. `RMW_IMPLEMENTATION` chooses the
middleware.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Height, width and frames per second: what two cores carry with Python at both ends.
SIZES = {
    "640×480": (480, 640, 30.0),
    "1280×720": (720, 1280, 30.0),
    "1920×1080": (1080, 1920, 15.0),
    "3840×2160": (2160, 3840, 5.0),
}
RELIABILITIES = ("best effort", "reliable")
TRANSPORTS = ("default", "shipped")
MANY_CAMERAS = 8
MANY_RATE = 10.0


@dataclass(frozen=True)
class Result:
    """One stream of images in one round; latencies in milliseconds."""

    case: str
    reliability: str
    transport: str
    sent: int
    latencies: list[float]


def quality(reliability: str, depth: int) -> Any:
    """Keep-last quality of service."""
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

    policy = (
        ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    )
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policy)


def publish(streams: list[dict[str, Any]]) -> None:
    """Publish the streams one after the other, the topics of each at once."""
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node(f"camera_{os.getpid()}")
    for group in streams:
        height, width, rate = group["height"], group["width"], group["rate"]
        publishers = [
            node.create_publisher(Image, topic, quality(group["reliability"], 5))
            for topic in group["topics"]
        ]
        message = Image(height=height, width=width, encoding="bgr8", step=3 * width)
        message.data = array.array("B", bytes(height * 3 * width))
        deadline = time.monotonic() + 15.0
        while time.monotonic() < deadline and not all(
            publisher.get_subscription_count() for publisher in publishers
        ):
            time.sleep(0.02)
        time.sleep(0.3)  # the other side may know of us later than we of it
        due = time.monotonic()
        for number in range(group["frames"]):
            for publisher in publishers:
                message.data[0] = message.data[-1] = number % 256
                message.header.frame_id = str(number)
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(
                    time.monotonic_ns(), 10**9
                )
                publisher.publish(message)
            due += 1.0 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(group["grace"])
        for publisher in publishers:
            node.destroy_publisher(publisher)
    rclpy.try_shutdown()


def receive(streams: list[dict[str, Any]]) -> None:
    """Receive all streams until nothing comes any more; prints the latencies by topic as JSON."""
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("receiver")
    latencies: dict[str, list[float]] = {}

    def subscribe(topic: str, reliability: str) -> None:
        def received(message: Image) -> None:
            arrived = time.monotonic_ns()
            sent = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            mark = int(message.header.frame_id) % 256
            if message.data[0] == message.data[-1] == mark:
                latencies[topic].append((arrived - sent) / 1e6)

        latencies[topic] = []
        node.create_subscription(Image, topic, received, quality(reliability, 1))

    for group in streams:
        for topic in group["topics"]:
            subscribe(topic, group["reliability"])
    print("ready", flush=True)
    end = time.monotonic() + sum(g["frames"] / g["rate"] + 20.0 for g in streams)
    while time.monotonic() < end and not Path(sys.argv[3]).exists():
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps(latencies))
    rclpy.try_shutdown()


def environment(transport: str) -> dict[str, str]:
    """Variables of both processes, on a domain that only this computer hears."""
    from mtinet_ros.node.transport_profile import SETTINGS_VARIABLES, ensure_transport_profile

    environ = {k: v for k, v in os.environ.items() if k not in SETTINGS_VARIABLES}
    environ |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if transport == "shipped":
        ensure_transport_profile(environ)
    return environ


def run_streams(
    publishers: list[list[dict[str, Any]]], transport: str, folder: Path
) -> dict[str, list[float]]:
    """One process for each publisher and one that receives; latencies [ms] by topic."""
    environ = environment(transport)
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    program = [sys.executable, str(Path(__file__).resolve())]
    everything = json.dumps([group for streams in publishers for group in streams])
    receiver = subprocess.Popen(
        [*program, "receive", everything, str(stop)],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        running = [
            subprocess.Popen([*program, "publish", json.dumps(streams)], env=environ)
            for streams in publishers
        ]
        for process in running:
            process.wait()
        stop.touch()
        return dict(json.loads(receiver.communicate(timeout=60)[0].splitlines()[-1]))
    finally:
        receiver.kill()
        stop.unlink(missing_ok=True)


def one_camera(round_number: int, seconds: float, folder: Path) -> list[Result]:
    """Every size and reliability over each transport."""
    results = []
    for transport in TRANSPORTS[:: -1 if round_number % 2 else 1]:
        streams = []
        for size, (height, width, rate) in SIZES.items():
            for reliability in RELIABILITIES:
                frames = max(10, round(seconds * rate))
                topics = [
                    f"/{size.replace('×', '_')}_{reliability.replace(' ', '_')}".replace("/", "/c")
                ]
                streams.append(
                    {
                        "height": height,
                        "width": width,
                        "rate": rate,
                        "topics": topics,
                        "frames": frames,
                        "reliability": reliability,
                        "grace": 0.5,
                        "case": size,
                    }
                )
        latencies = run_streams([streams], transport, folder)
        results += [
            Result(s["case"], s["reliability"], transport, s["frames"], latencies[s["topics"][0]])
            for s in streams
        ]
    return results


def many_cameras(round_number: int, seconds: float, folder: Path) -> list[Result]:
    """Eight cameras at once, in processes of their own and in one process."""
    height, width, _ = SIZES["1280×720"]
    results = []
    frames = round(seconds * MANY_RATE)
    topics = [f"/camera{index}" for index in range(MANY_CAMERAS)]
    for transport in TRANSPORTS[:: -1 if round_number % 2 else 1]:
        for case, groups in (
            ("8 × 1280×720, a process each", [[topic] for topic in topics]),
            ("8 × 1280×720, one process", [topics]),
        ):
            for reliability in RELIABILITIES:
                publishers = [
                    [
                        {
                            "height": height,
                            "width": width,
                            "rate": MANY_RATE,
                            "topics": group,
                            "frames": frames,
                            "reliability": reliability,
                            "grace": 1.0,
                        }
                    ]
                    for group in groups
                ]
                latencies = run_streams(publishers, transport, folder)
                together = [value for topic in topics for value in latencies[topic]]
                results.append(
                    Result(case, reliability, transport, frames * MANY_CAMERAS, together)
                )
    return results


def table(results: list[Result]) -> str:
    """Markdown: a row for each case and reliability, the transports side by side."""
    lines = [
        "| bgr8 | asked for | default: arrived | shipped: arrived | default: ms | shipped: ms |",
        "|---|---|---|---|---|---|",
    ]
    for case, reliability in dict.fromkeys((r.case, r.reliability) for r in results):
        shares, medians = [], []
        for transport in TRANSPORTS:
            mine = [
                r
                for r in results
                if (r.case, r.reliability, r.transport) == (case, reliability, transport)
            ]
            latencies = [value for r in mine for value in r.latencies]
            shares.append(f"{len(latencies)} of {sum(r.sent for r in mine)}")
            medians.append(f"{statistics.median(latencies):.1f}" if latencies else "–")
        lines.append("| " + " | ".join([case, reliability, *shares, *medians]) + " |")
    return "\n".join(lines)


def middleware() -> str:
    """The middleware that is measured."""
    from rclpy.utilities import get_rmw_implementation_identifier

    return str(get_rmw_implementation_identifier())


def machine() -> str:
    """The machine and the versions, in a line."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    limit = Path("/proc/sys/net/core/rmem_max").read_text().strip()
    return (
        f"{middleware()}, ROS 2 {os.environ.get('ROS_DISTRO', 'Kilted')}, "
        f"{len(os.sched_getaffinity(0))} cores of {cpu}, Linux {platform.release()}, "
        f"net.core.rmem_max {limit}"
    )


def main() -> None:
    """Parse, take turns, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("build/transport"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each stream in a round")
    parser.add_argument("--only", choices=["one", "many"], help="leave out the other table")
    parser.add_argument(
        "--into", type=Path, help="page between whose markers for the middleware the table goes"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for round_number in range(arguments.rounds):
        if arguments.only != "many":
            results += one_camera(round_number, arguments.seconds, arguments.output)
        if arguments.only != "one":
            results += many_cameras(round_number, arguments.seconds, arguments.output)
    text = f"{table(results)}\n\n{arguments.rounds} rounds; {machine()}.\n"
    print(text)
    document = {"machine": machine(), "results": [asdict(result) for result in results]}
    (arguments.output / f"{middleware()}.json").write_text(json.dumps(document, indent=1))
    (arguments.output / f"{middleware()}.md").write_text(text)
    if arguments.into is not None:
        insert(arguments.into, text)


def insert(page: Path, text: str) -> None:
    """Replace what stands between the page's two markers for this middleware."""
    begin, end = f"<!-- measured with {middleware()} -->\n", "<!-- until here -->"
    head, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise SystemExit(f"{page} has no lines {begin.strip()} and {end}; add them")
    page.write_text(f"{head}{begin}{text}{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        publish(json.loads(sys.argv[2]))
    elif sys.argv[1:2] == ["receive"]:
        receive(json.loads(sys.argv[2]))
    else:
        main()
