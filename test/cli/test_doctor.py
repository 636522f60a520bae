# SPDX-License-Identifier: Apache-2.0
"""`mtinet doctor` names what is there and what is not, and always says what to do."""

from __future__ import annotations

import json
from importlib import metadata

import cv2
import pytest

from mtinet_ros.cli import doctor
from mtinet_ros.cli.main import main
from mtinet_ros.errors import BackendUnavailableError
from mtinet_ros.inference import cpu_precision, cuda, selection


def findings(capsys) -> dict[str, dict[str, str]]:
    main(["doctor", "--json"])
    return {finding["topic"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_every_backend_is_named_with_its_state(capsys):
    found = findings(capsys)
    for name in selection.BACKENDS:
        finding = found[f"backend {name}"]
        assert finding["status"] in ("ok", "missing")
        if finding["status"] == "missing":
            assert "cannot run here" in finding["text"]
    assert found["backend onnxruntime"]["status"] == "ok"


def test_every_topic_of_a_robot_is_covered(capsys):
    topics = set(findings(capsys))
    assert {
        "system", "NVIDIA GPU", "engine cache", "ROS 2", "shared memory", "transport profile",
        "bundled model", "package numpy",
    } <= topics  # fmt: skip


@pytest.mark.parametrize(
    ("capabilities", "told"),
    [
        (("FP32", "BF16"), "fp16 model, computed in bf16"),
        (("FP32",), "fp16 model, computed in fp32"),
    ],
)
def test_the_precision_that_this_cpu_would_run_is_told(
    capsys, monkeypatch, capabilities: tuple[str, ...], told: str
) -> None:
    monkeypatch.setattr(cpu_precision, "cpu_capabilities", lambda: capabilities)
    found = findings(capsys)
    assert found["bundled model"]["text"].endswith(f"on this CPU: {told}")
    assert ("does not multiply bf16" in found["CPU"]["text"]) == ("BF16" not in capabilities)


def test_a_machine_that_can_run_nothing_ends_with_an_error(capsys, monkeypatch):
    def refuse(name: str, device_id: int) -> None:
        raise BackendUnavailableError("it is gone", "bring it back")

    monkeypatch.setattr(selection, "check_available", refuse)
    assert main(["doctor"]) == 1
    assert "-> bring it back" in capsys.readouterr().out


def test_what_brings_cuda_to_python_is_said_and_what_does_not_load(monkeypatch):
    broken = cuda.CudaPackage("pycuda", True, "pycuda does not load: libcurand", "install it")
    wheels = cuda.CudaPackage("cuda-bindings", True, is_used=True)
    absent = cuda.CudaPackage("cuda-bindings", False)
    for packages, status, words in (
        ([broken, wheels], "warning", "libcurand; cuda-bindings is used instead"),
        ([broken, absent], "missing", "libcurand"),
        ([wheels], "ok", "cuda-bindings is used"),
        ([absent], "missing", "neither pycuda nor cuda-bindings is installed"),
    ):
        monkeypatch.setattr(cuda, "cuda_packages", lambda packages=packages: packages)
        finding = doctor._cuda_for_python()
        assert finding.status == status
        assert finding.text.endswith(words)


def test_a_cache_that_cannot_be_written_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    finding = doctor._engine_cache()
    assert finding.status == "warning"
    assert "none can be built" in finding.text


def test_too_little_shared_memory_is_said(monkeypatch, tmp_path):
    usage = type("usage", (), {"total": 64e6, "free": 60e6})()
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    finding = doctor._shared_memory(tmp_path)
    assert finding.status == "warning"
    assert "--shm-size=1g" in finding.advice
    assert doctor._shared_memory(tmp_path / "none").status == "warning"


def test_no_profile_on_humble_for_localhost_only_is_said(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "1")
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    finding = doctor._transport_profile()
    assert finding.status == "warning"
    assert finding.text.startswith("none: with ROS_LOCALHOST_ONLY=1")


def test_the_transport_profile_in_force_is_named(monkeypatch, tmp_path):
    variable = "FASTDDS_DEFAULT_PROFILES_FILE"
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/not/read/here.xml")
    monkeypatch.delenv(variable, raising=False)
    unset = doctor._transport_profile()
    assert unset.status == "warning"
    assert f"export {variable}=" in unset.advice
    profile = tmp_path / "mine.xml"
    monkeypatch.setenv(variable, str(profile))
    assert doctor._transport_profile().status == "missing"
    profile.write_text("<profiles/>")
    assert doctor._transport_profile() == doctor.Finding(
        "transport profile", "ok", f"{variable} is {profile}"
    )


def test_hidden_gpus_are_a_warning(monkeypatch):
    monkeypatch.setattr(doctor, "_first_line", lambda path: "NVRM version: 580.1")
    assert doctor._gpu().status == "ok"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = doctor._gpu()
    assert finding.status == "warning"
    assert "CUDA_VISIBLE_DEVICES is ''" in finding.text
    assert "unset it" in finding.advice


def test_the_opencv_of_apt_counts(capsys, monkeypatch):
    """Ubuntu's python3-opencv has no metadata that pip would know; a second one must not come."""

    def version(name: str) -> str:
        if "opencv" in name:
            raise metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(doctor.metadata, "version", version)
    finding = findings(capsys)["package opencv-python"]
    assert (finding["status"], finding["text"]) == ("ok", f"{cv2.__version__} (runtime)")
