# SPDX-License-Identifier: Apache-2.0
"""What is installed is where ROS 2 looks for it, and package.xml says what it must."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

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


# Of the packages of pip that have a rosdep key everywhere.
ROSDEP_KEYS = {"numpy": "python3-numpy", "cv2": "python3-opencv", "yaml": "python3-yaml"}


def imported_modules(*folders: str) -> set[str]:
    """Top-level modules that the sources in the folders import, or ask pytest for."""
    names = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
        names |= set(re.findall(r'importorskip\("(\w+)', path.read_text("utf-8")))
    return names


def modules_of_ros() -> set[str]:
    """What fawltydeps leaves to package.xml, or counts to a package of ROS."""
    tomllib = pytest.importorskip("tomllib")
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["fawltydeps"]
    modules = {*tool["ignore_undeclared"], *ROSDEP_KEYS} - {"mtinet_ros", "_typeshed"}
    modules -= {"benchmarks", "cuda_machine", "cuda_modules"}  # our own
    for distribution, provided in tool["custom_mapping"].items():
        modules |= set(provided) if distribution.startswith("ros-") else set()
    return modules


def test_rosdep_installs_what_is_imported_and_no_more() -> None:
    """A package missing here is missing on every robot that takes the package from apt."""
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    needs = {tag: {e.text for e in root.iter(tag)} for tag in ("exec_depend", "test_depend")}
    at_run_time, by_tests = (
        {ROSDEP_KEYS.get(name, name) for name in imported_modules(*folders) & modules_of_ros()}
        for folders in (("mtinet_ros", "launch"), ("test",))
    )
    # The command `ros2 launch`, and what a user of the point clouds reads them with.
    not_imported = {"ros2launch", "sensor_msgs_py"}
    assert needs["exec_depend"] == at_run_time | not_imported
    assert needs["test_depend"] == (by_tests - at_run_time - not_imported) | {"python3-pytest"}


def test_every_path_in_the_makefile_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    paths = re.findall(r"(?<!build/)\b(?:test|config)/[\w/.]+\b", makefile)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_hooks_of_pre_commit_run_what_make_check_runs() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\ncheck:")[1].split("\n\n")[0]
    checks = [line.strip().replace("$(BIN)/", "") for line in recipe.splitlines()[1:]]
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in configuration["repos"] for hook in repository["hooks"]]
    assert [hook["entry"].replace(".venv/bin/", "") for hook in hooks] == checks
    assert all(hook["language"] == "system" for hook in hooks)
    assert not any(hook["pass_filenames"] for hook in hooks)


def test_the_change_log_can_be_released_and_has_this_version() -> None:
    """`bloom` reads it, and refuses a version that has no section."""
    changelog = pytest.importorskip("catkin_pkg.changelog")
    entries = changelog.get_changelog_from_path(str(ROOT), "mtinet_ros")
    versions = [version for version, *_ in entries.foreach_version()]
    assert versions[0] == mtinet_ros.__version__
    assert all(content for _, _, content in entries.foreach_version())


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
        "share/mtinet_ros/config/foxglove.json",
        "share/mtinet_ros/config/fastdds_profile.xml",
        "share/mtinet_ros/config/zenoh_session.json5",
        "share/mtinet_ros/config/train/paper/nyud.yaml",
        "share/mtinet_ros/config/train/paper/nyud/hrnet18/mti_net.yaml",
        "share/mtinet_ros/demo/pictures/kinect_bookshelf.png",
        "lib/mtinet_ros/perception_node",
        "bin/mtinet",
    ],
)
def test_installed_where_ros_looks(prefix: Path, path: str) -> None:
    assert (prefix / path).is_file()
    assert path.startswith("share") or os.access(prefix / path, os.X_OK)


def test_what_is_no_python_comes_with_the_package(prefix: Path) -> None:
    for name in ("py.typed", "inference/fit_kernel.cu"):
        assert [*prefix.glob(f"lib*/**/mtinet_ros/{name}")], name


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
