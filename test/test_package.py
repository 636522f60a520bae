# SPDX-License-Identifier: Apache-2.0
"""What is installed is where ROS 2 looks for it, and package.xml says what it must."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mtinet_ros

ROOT = Path(__file__).resolve().parents[1]


def test_package_xml_is_valid_and_of_the_same_version() -> None:
    catkin = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    package = catkin.parse_package(str(ROOT / "package.xml"), warnings=warnings)
    package.validate(warnings=warnings)
    assert not warnings
    assert package.package_format == 3
    assert package.name == "mtinet_ros"
    assert package.version == mtinet_ros.__version__
    assert package.licenses == ["Apache-2.0"]
    assert package.get_build_type() == "ament_python"


def test_setup_py_has_the_same_version() -> None:
    answer = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.stdout.split()[-1] == mtinet_ros.__version__, answer.stderr


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `pip install .` puts everything, without its dependencies."""
    prefix = tmp_path_factory.mktemp("prefix")
    copy = tmp_path_factory.mktemp("source") / "mtinet_ros"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, files):
        source, target = ROOT / os.fsdecode(name), copy / os.fsdecode(name)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    # Without --ignore-installed, pip would take the package away from where these tests run.
    command += ["--quiet", "--ignore-installed", "--prefix", str(prefix), str(copy)]
    subprocess.run(command, check=True)
    return prefix


@pytest.mark.parametrize(
    "path",
    [
        "share/ament_index/resource_index/packages/mtinet_ros",
        "share/mtinet_ros/package.xml",
        "share/mtinet_ros/launch/perception.launch.py",
        "share/mtinet_ros/config/perception.yaml",
        "share/mtinet_ros/config/perception.rviz",
        "share/mtinet_ros/config/fastdds_profile.xml",
        "share/mtinet_ros/demo/pictures/kinect_bookshelf.png",
        "lib/mtinet_ros/perception_node",
        "bin/mtinet",
    ],
)
def test_installed_where_ros_looks(prefix: Path, path: str) -> None:
    assert (prefix / path).is_file()
    assert path.startswith("share") or os.access(prefix / path, os.X_OK)


def test_the_runtime_needs_four_packages_only() -> None:
    """A robot installs numpy, OpenCV, ONNX Runtime and PyYAML: nothing else is imported."""
    code = (
        "import sys\n"
        "import mtinet_ros.perception.predictor, mtinet_ros.node.scheduler\n"
        "import mtinet_ros.inference, mtinet_ros.model_card, mtinet_ros.cli.main\n"
        "heavy = {'torch', 'onnx', 'openvino', 'lightning', 'rclpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
