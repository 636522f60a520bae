# SPDX-License-Identifier: Apache-2.0
"""`make verify-gpu` keeps what docs/verification.md promises, whatever a machine lacks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from gpu import verify
from gpu.environment import Environment, Group, _reason, groups
from gpu.machine import Gpu, Machine, read_machine
from gpu.report import Verdict
from gpu.steps import Step, steps
from gpu.verify import Verification, choose, make_probe

H100 = Gpu("NVIDIA H100", (9, 0), 132, False, 80 << 30)
ORIN = Gpu("Orin", (8, 7), 16, True, 64 << 30)
RTX = Gpu("NVIDIA GeForce RTX 4070", (8, 9), 46, False, 12 << 30)
SERVER = Machine("x86_64", (3, 12), H100, cuda=(13, 0), nvcc="/usr/local/cuda/bin")
JETSON = Machine(
    "aarch64", (3, 10), ORIN, cuda=(12, 6), jetpack="# R36 (release), REVISION: 4.3",
    nvcc="/usr/local/cuda/bin",
)  # fmt: skip
DESKTOP = Machine("x86_64", (3, 11), RTX, cuda=(12, 8))
ALL = steps(Path("python"), Path("model.onnx"), Path("folder"))


def test_the_document_lists_just_the_steps_that_run() -> None:
    text = (Path(__file__).parents[2] / "docs" / "verification.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| \*\*(.+?)\*\*", text, re.MULTILINE)
    assert listed == [(step.key, step.title) for step in ALL]


def wanted(machine: Machine) -> dict[str, tuple[str, ...] | str]:
    """What is installed, and of the rest why not."""
    return {group.name: group.requirements or group.why_not for group in groups(machine)}


def test_a_server_with_cuda_13_and_a_compiler() -> None:
    found = wanted(SERVER)
    assert found["cuda-bindings"] == ("cuda-bindings>=13,<14",)
    assert found["pycuda"] == ("pycuda",)
    assert found["nvrtc"] == ("nvidia-cuda-nvrtc>=13,<14",)
    assert found["tensorrt"] == ("tensorrt-cu13",)
    assert "not documented for compute capability 9.0 (NVIDIA H100)" in found["tensorrt_rtx"]


def test_a_jetson_uses_the_tensorrt_of_its_system() -> None:
    found = wanted(JETSON)
    assert "numpy>=1.22,<2" in found["base"]  # what JetPack brings is compiled for NumPy 1
    assert found["cuda-bindings"] == ("cuda-bindings>=12,<13",)
    assert "sudo apt install python3-libnvinfer" in found["tensorrt"]
    assert found["tensorrt_rtx"] == "no wheels for aarch64"
    assert not {"ros-rclpy", "embreex"} & {each.split(">")[0] for each in sum(
        (group.requirements for group in groups(JETSON, with_torch=True)), ())}  # fmt: skip


def test_a_desktop_with_pip_only() -> None:
    found = wanted(DESKTOP)
    assert found["cuda-bindings"] == ("cuda-bindings>=12,<13",)
    assert found["pycuda"] == "it has no wheels and there is no nvcc"
    assert found["nvrtc"] == ("nvidia-cuda-nvrtc-cu12",)
    assert found["tensorrt"] == ("tensorrt-cu12",)
    assert found["tensorrt_rtx"] == ("tensorrt-rtx-cu12",)


def test_a_machine_is_described_whatever_it_lacks() -> None:
    assert "shared with the host" in "\n".join(JETSON.describe())
    assert any("no GPU: " in line or "GiB" in line for line in read_machine().describe())


def python(
    code: str, key: str = "a", needs: tuple[str, ...] = ("cuda",), tests: Path | None = None
) -> Step:
    return Step(key, f"Step {key}", (sys.executable, "-c", code), needs, tests=tests)


class Lab:
    """Runs steps on a machine that has what it is told to have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: dict[str, str] = {}
        self.status = -1

    def run(self, *chosen: Step, seconds: float = 60.0) -> dict[str, tuple[Verdict, str]]:
        run = Verification(["a machine"], self.folder, {}, lambda name: self.missing.get(name, ""))
        self.status = run.run(list(chosen), seconds)
        return {result.key: (result.verdict, result.reason) for result in run.results}

    @property
    def report(self) -> str:
        return (self.folder / "report.md").read_text()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_what_is_not_supported_is_told_apart_from_what_failed(lab: Lab) -> None:
    lab.missing = {"tensorrt": "tensorrt: no | of it", "tensorrt_rtx": "tensorrt_rtx: nor of it"}
    found = lab.run(
        python("print('fine')", "good"),
        python("import sys; print('words'); sys.exit(4)", "bad"),
        python("", "absent", ("cuda", "tensorrt")),
        python("", "either", ("tensorrt|tensorrt_rtx",)),
        Step("nothing", "Step nothing", ("/no/such/program",), ("cuda",)),
    )
    assert found["good"] == (Verdict.PASSED, "")
    assert found["bad"] == (Verdict.FAILED, "it ended with 4")
    assert found["absent"] == (Verdict.NOT_SUPPORTED, "tensorrt: no | of it")
    assert found["either"][0] is Verdict.NOT_SUPPORTED
    assert found["nothing"] == (Verdict.FAILED, "it ended with 127")
    assert lab.status == 1
    assert "| Step bad (`bad`) | FAILED | 0 | it ended with 4 |" in lab.report
    assert r"tensorrt: no \| of it" in lab.report
    assert "words" in lab.report
    assert list(lab.folder.glob(".*.part")) == []


def test_one_of_two_alternatives_is_enough(lab: Lab) -> None:
    lab.missing = {"tensorrt": "tensorrt: absent"}
    assert lab.run(python("", needs=("tensorrt|tensorrt_rtx",)))["a"][0] is Verdict.PASSED
    assert lab.status == 0


def test_a_machine_without_a_gpu_does_not_pass(lab: Lab) -> None:
    lab.missing = {"cuda": "cuda: there is no NVIDIA driver here"}
    lab.run(python("", "doctor", needs=()), python("", "b"))
    assert lab.status == 3


def test_the_report_is_there_after_every_step(lab: Lab) -> None:
    look = f"print(open({str(lab.folder / 'report.md')!r}).read())"
    lab.run(python("print('first')", "one"), python(look, "two"))
    assert "1 of 2 steps so far." in (lab.folder / "two.log").read_text()
    assert "so far" not in lab.report.partition("##")[0]


def _is_running(state: Path) -> bool:
    """Whether a process is there and no zombie, by its file below /proc."""
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_spent_time_budget_stops_what_runs_and_begins_nothing(lab: Lab) -> None:
    child = (
        "import subprocess, time\n"
        "print(subprocess.Popen(['sleep', '77']).pid, flush=True)\n"
        "time.sleep(77)"
    )
    found = lab.run(python(child, "long"), python("", "late"), seconds=1.0)
    assert found["long"] == (Verdict.NOT_RUN, "stopped: the time budget is spent")
    assert found["late"] == (Verdict.NOT_RUN, "the time budget is spent")
    (child_id,) = (lab.folder / "long.log").read_text().split()
    state = Path(f"/proc/{child_id}/stat")
    end = time.monotonic() + 10.0  # a killed process is not gone at once on a busy machine
    while _is_running(state) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _is_running(state)


def test_a_step_that_hangs_has_failed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_STEP_SECONDS", 0.5)
    found = lab.run(python("import time; time.sleep(77)"))
    assert found["a"] == (Verdict.FAILED, "it took longer than 0 s")


def test_an_interrupted_run_still_has_its_report(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: object, seconds: float | None = None) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupt)
    found = lab.run(python("import time; time.sleep(77)", "one"), python("", "two"))
    assert found == {
        "one": (Verdict.NOT_RUN, "interrupted"), "two": (Verdict.NOT_RUN, "interrupted"),
    }  # fmt: skip
    assert lab.status == 130
    assert "interrupted" in lab.report


def written_by_pytest(lab: Lab, cases: str) -> Step:
    """A step of pytest that has written this report."""
    results = lab.folder / "results.xml"
    code = f"open({str(results)!r}, 'w').write({'<testsuite>' + cases + '</testsuite>'!r})"
    return python(code, tests=results)


def test_tests_that_were_all_skipped_are_not_passed(lab: Lab) -> None:
    skipped = "<testcase><skipped message='no GPU 1'/></testcase>"
    assert lab.run(written_by_pytest(lab, skipped))["a"] == (Verdict.NOT_SUPPORTED, "no GPU 1")
    found = lab.run(written_by_pytest(lab, skipped + "<testcase/>"))
    assert found["a"] == (Verdict.PASSED, "left out: no GPU 1")
    assert lab.run(python("", tests=lab.folder / "absent.xml"))["a"][0] is Verdict.FAILED


@pytest.mark.parametrize(
    ("measured", "wrong"),
    [
        (["tensorrt", "openvino"], ""),
        (["tensorrt_rtx"], ""),
        (["openvino"], "no TensorRT was measured, only openvino"),
        ([], "no TensorRT was measured, only nothing"),
    ],
)
def test_side_by_side_means_that_tensorrt_was_measured(
    tmp_path: Path, measured: list[str], wrong: str
) -> None:
    (step,) = (each for each in steps(Path(), Path(), tmp_path) if each.key == "compare")
    (tmp_path / "compare").mkdir()
    results = [{"backend": name, "stages": {}} for name in measured]
    results.append({"backend": "tensorrt", "not_measured": "absent"})  # type: ignore[dict-item]
    (tmp_path / "compare" / "benchmark.json").write_text(json.dumps({"results": results}))
    assert step.judge(0) == wrong
    assert step.judge(2) == "it ended with 2"


def test_editions_of_tensorrt_never_share_a_step() -> None:
    for step in ALL:
        backends = {"tensorrt", "tensorrt_rtx"} & {*step.needs, *step.variables.values()}
        assert len(backends) < 2


def test_switches_are_measured_in_turns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here on the CPU, to which they mean nothing."""
    from gpu import switches
    from support.tiny_model import write_tiny_model

    model = str(write_tiny_model(tmp_path / "m.onnx"))
    assert switches.main([model, "onnxruntime", "--frames", "3", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert len(lines) == 1 + len(switches.variants(2))
    assert lines[1].split()[0] == "default"
    assert lines[1].split()[-1] == "1.000"
    assert switches.main([model, "tensorflow", "--rounds", "1"]) == 1
    assert "'tensorflow' is unknown" in capsys.readouterr().out


def test_only_takes_keys_that_exist() -> None:
    assert [step.key for step in choose(ALL, "train, gpu")] == ["gpu", "train"]
    assert choose(ALL, "") == ALL
    with pytest.raises(SystemExit, match="no step is called speed; allowed: gpu, doctor, "):
        choose(ALL, "speed")


def test_packages_come_from_the_system_or_a_folder_of_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, and where Debian keeps pip's copy for environments apart."""
    real = Environment._run

    def run(self: Environment, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if "venv" in command and "--without-pip" not in command:
            return subprocess.CompletedProcess(command, 1, "", "ensurepip is not available")
        return real(self, command)

    monkeypatch.setattr(Environment, "_run", run)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    environment = Environment(tmp_path / "venv", SERVER, wheels)
    assert environment.make() == ""
    there = environment.install(Group("json", ("json",), ("never-asked-for",)))
    assert (there.is_there, there.text) == (True, "was there")
    absent = environment.install(Group("absent", ("absent_module",), ("absent-package",)))
    assert not absent.is_there
    assert absent.text == "ERROR: No matching distribution found for absent-package"
    assert "No matching distribution" in (tmp_path / "install_absent.log").read_text()
    left = environment.install(Group("left", ("absent_module",), (), "it has no wheels"))
    probe = make_probe(environment, JETSON, [there, absent, left], {})
    assert probe("left") == "left: it has no wheels"
    assert probe("gpu") == ""
    assert "Module" in probe("cuda") or "numpy" in probe("cuda")  # this environment has nothing


def test_pips_last_words_are_searched_for_those_that_tell() -> None:
    output = """  error: subprocess-exited-with-error
      src/cpp/cuda.hpp:14:10: fatal error: cuda.h: No such file or directory
      note: This error originates from a subprocess
    error: command '/usr/bin/g++' failed with exit code 1
    ERROR: Failed building wheel for pycuda"""
    assert _reason(output) == (
        "src/cpp/cuda.hpp:14:10: fatal error: cuda.h: No such file or directory"
    )
    assert _reason("") == "pip gives no reason"


def test_type_stubs_are_no_package(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    (tmp_path / "only_stubs").mkdir()
    (tmp_path / "only_stubs" / "__init__.pyi").touch()
    environment = Environment(tmp_path, DESKTOP)
    environment._variables["PYTHONPATH"] = str(tmp_path)
    found = environment.install(Group("stubs", ("only_stubs",), (), "why"))
    assert (found.is_there, found.text) == (False, "why")
