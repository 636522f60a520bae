# SPDX-License-Identifier: Apache-2.0
"""Measures what it gains to fit images on the GPU: milliseconds until the network could begin.

python -m gpu.fitting [--frames 100] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
from gpu.device_fit import DeviceFit

from mtinet_ros.errors import MtinetError
from mtinet_ros.inference.cuda import DeviceContext
from mtinet_ros.inference.fit_kernel import LAYOUTS
from mtinet_ros.messages.image_message import raw_image
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.raw_image import RawImage

NETWORK = (256, 352)  # of the bundled model
PICTURES = [
    ("bgr8", (480, 640)),
    ("bgr8", (1080, 1920)),
    ("yuv422_yuy2", (1080, 1920)),
    ("bayer_rggb8", (1080, 1920)),
    ("bgr8", (2160, 3840)),
]


def noise(encoding: str, size: tuple[int, int]) -> RawImage:
    """An image of random bytes."""
    layout = LAYOUTS[encoding]
    step = size[1] * layout.pixel_bytes
    data = np.random.default_rng(0).integers(0, 256, int(size[0] * layout.rows) * step, np.uint8)
    message = SimpleNamespace(
        encoding=encoding,
        height=size[0],
        width=size[1],
        step=step,
        is_bigendian=0,
        data=data,
    )
    raw = raw_image(message)
    assert raw is not None
    return raw


def measure(
    fit: Callable[[RawImage, Fit], None], raw: RawImage, frames: int
) -> tuple[float, float]:
    """Milliseconds of one image, and of them those that the thread computed."""
    plan = Fit.plan(raw.size, NETWORK, "letterbox")
    for _ in range(3):
        fit(raw, plan)
    begun, computed = time.perf_counter(), time.thread_time()
    for _ in range(frames):
        fit(raw, plan)
    wall, cpu = time.perf_counter() - begun, time.thread_time() - computed
    return wall / frames * 1e3, cpu / frames * 1e3


def main(arguments: list[str]) -> int:
    """Measure in turns, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    context = DeviceContext(0)
    print("ms until an image is in the GPU's memory, fitted by the one or the other (CPU time)")
    try:
        with context, ExitStack() as stack:
            device = DeviceFit(stack, context, NETWORK)
            for encoding, size in PICTURES:
                raw = noise(encoding, size)
                there, here = [], []
                for _ in range(given.rounds):
                    here.append(measure(device.on_cpu, raw, given.frames))
                    there.append(measure(device.on_gpu, raw, given.frames))
                (cpu, cpu_part), (gpu, gpu_part) = (
                    tuple(statistics.median(each) for each in zip(*all_, strict=True))
                    for all_ in (here, there)
                )
                print(
                    f"{encoding:<12} {size[1]:>4}x{size[0]:<4}  CPU {cpu:7.2f} ({cpu_part:6.2f})  "
                    f"GPU {gpu:7.2f} ({gpu_part:6.2f})  {cpu / gpu:5.1f} times as fast",
                    flush=True,
                )
    except MtinetError as error:
        print(error)
        return 1
    finally:
        context.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
