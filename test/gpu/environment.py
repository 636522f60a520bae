# SPDX-License-Identifier: Apache-2.0
"""The environment that the steps run in: the system's packages, and what they lack.

What a machine has is taken (TensorRT of JetPack, PyTorch of a container); only what is missing is
installed, from the network or from a folder of wheels. Nothing but Python is needed for this.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu.machine import Machine

ROOT = Path(__file__).parents[2]
# NVIDIA, TensorRT for RTX, Support Matrix; its wheels are for x86-64.
_RTX_CAPABILITIES = ((7, 5), (8, 6), (8, 9), (12, 0), (12, 1))


@dataclass(frozen=True)
class Group:
    """Packages that come together.

    Attributes:
        name: What for.
        modules: Importable once they are there.
        requirements: As pip takes them; none: it is not installed, but used where it is.
        why_not: Why it is not installed.
        check: Python code that fails where it is missing, of what is no module.
    """

    name: str
    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    why_not: str = ""
    check: str = ""


def groups(machine: Machine, with_torch: bool = False) -> list[Group]:
    """What to have on a machine, the indispensable first."""
    # Packages of Ubuntu 22.04, JetPack 6 among them, are compiled for NumPy 1.
    numpy = "numpy>=1.22,<2" if machine.python < (3, 11) else "numpy>=1.26"
    base = Group(
        "base",
        ("numpy", "cv2", "onnxruntime", "yaml", "onnx", "pytest"),
        (numpy, "opencv-python-headless", "onnxruntime", "PyYAML", "onnx", "pytest"),
    )
    return [
        base,
        _cuda_bindings(machine),
        _pycuda(machine),
        _nvrtc(machine),
        _tensorrt(machine),
        _tensorrt_rtx(machine),
        Group(
            "torch",
            ("torch",),
            ("torch",) if with_torch else (),
            "some GB: ask for it with --with-torch",
        ),
        Group(
            "train",
            ("lightning", "torchmetrics", "safetensors", "tensorboard", "tqdm"),
            ("lightning>=2.6.6", "torchmetrics", "safetensors", "tensorboard", "tqdm")
            if with_torch
            else (),
            "comes with --with-torch",
        ),
    ]


def _major(machine: Machine) -> int:
    """Of the newest CUDA that wheels are made for and the driver runs."""
    return 13 if machine.cuda >= (13, 0) else 12


def _cuda_bindings(machine: Machine) -> Group:
    major = _major(machine)
    wanted = (f"cuda-bindings>={major},<{major + 1}",)
    return Group("cuda-bindings", ("cuda.bindings.driver",), wanted)


def _pycuda(machine: Machine) -> Group:
    if machine.nvcc:
        return Group("pycuda", ("pycuda.driver",), ("pycuda",))
    return Group("pycuda", ("pycuda.driver",), (), "it has no wheels and there is no nvcc")


def _nvrtc(machine: Machine) -> Group:
    """The toolkit's, where there is one: a library without a module."""
    major = _major(machine)
    wheel = f"nvidia-cuda-nvrtc>={major},<{major + 1}" if major > 12 else "nvidia-cuda-nvrtc-cu12"
    check = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"from mtinet_ros.inference.nvrtc import load_library; load_library({major})\n"
    )
    return Group("nvrtc", (), (wheel,), check=check)


def _tensorrt(machine: Machine) -> Group:
    if machine.jetpack and machine.cuda < (13, 0):
        why = "JetPack 6 has its own and runs no other: sudo apt install python3-libnvinfer"
        return Group("tensorrt", ("tensorrt",), (), why)
    return Group("tensorrt", ("tensorrt",), (f"tensorrt-cu{_major(machine)}",))


def _tensorrt_rtx(machine: Machine) -> Group:
    modules = ("tensorrt_rtx",)
    if machine.architecture != "x86_64":
        return Group("tensorrt_rtx", modules, (), f"no wheels for {machine.architecture}")
    if machine.gpu is not None and machine.gpu.capability not in _RTX_CAPABILITIES:
        major, minor = machine.gpu.capability
        why = f"it is not documented for compute capability {major}.{minor} ({machine.gpu.name})"
        return Group("tensorrt_rtx", modules, (), why)
    return Group("tensorrt_rtx", modules, (f"tensorrt-rtx-cu{_major(machine)}",))


@dataclass(frozen=True)
class Installed:
    """What became of a group.

    Attributes:
        group: It.
        is_there: Whether all of its modules import.
        text: How it came, or why it is missing.
    """

    group: Group
    is_there: bool
    text: str


Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


class Environment:
    """A virtual environment that sees the system's packages.

    Attributes:
        python: Its interpreter.
    """

    def __init__(self, folder: Path, machine: Machine, wheels: Path | None = None) -> None:
        """Name it; `make` makes it.

        Args:
            folder: Of the environment.
            machine: What it is for.
            wheels: Folder to install from, without a network; None: from pip's index.
        """
        self.python = folder / "bin" / "python"
        self._folder = folder
        self._source = ["--no-index", "--find-links", str(wheels)] if wheels else []
        self._variables = dict(os.environ)
        if machine.nvcc:  # for what compiles against the toolkit
            path = os.pathsep.join((machine.nvcc, os.environ.get("PATH", "")))
            self._variables.update(PATH=path, CUDA_ROOT=str(Path(machine.nvcc).parent))
        # Not the environment that this process may run in: its packages are not the system's.
        self._variables.pop("PYTHONHOME", None)

    def variables(self, folder: Path, model: Path) -> dict[str, str]:
        """Environment variables of the steps: this checkout's package, caches of their own."""
        paths = (str(ROOT), str(ROOT / "test"))
        given = self._variables.get("PYTHONPATH", "")
        return {
            **self._variables,
            "PYTHONPATH": os.pathsep.join((*paths, given) if given else paths),
            "MTINET_GPU_MODEL": str(model),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def make(self) -> str:
        """Make it; returns why it cannot be made, or nothing.

        Debian keeps pip's copy for environments in a package of its own; then pip of the system
        installs into it.
        """
        if self.python.exists():
            return ""
        command = [sys.executable, "-m", "venv", "--system-site-packages"]
        for options in ([], ["--without-pip"]):
            done = self._run([*command, "--clear", *options, str(self._folder)])
            if done.returncode == 0:
                return ""
        return (done.stdout + done.stderr).strip() or "venv gives no reason"

    def install(self, group: Group) -> Installed:
        """Have a group, from the system or installed now; never fails."""
        missing = self._missing(group)
        if not missing:
            return Installed(group, True, "was there")
        if not group.requirements:
            return Installed(group, False, group.why_not)
        done = self._run([*self._pip(), "install", *self._source, *group.requirements])
        missing = self._missing(group)
        if not missing:
            return Installed(group, True, f"installed: {', '.join(group.requirements)}")
        self._folder.with_name(f"install_{group.name}.log").write_text(done.stdout + done.stderr)
        said = done.stdout + done.stderr
        why = f"installed, but {missing}" if done.returncode == 0 else _reason(said)
        return Installed(group, False, why)

    def _pip(self) -> list[str]:
        if (self._folder / "bin" / "pip").exists():
            return [str(self.python), "-m", "pip"]
        return [sys.executable, "-m", "pip", "--python", str(self.python)]

    def _missing(self, group: Group) -> str:
        """What does not import, in Python's words; empty if all does.

        Each in the one process would mix both editions of TensorRT: a group is one process.
        """
        code = (
            "import importlib, sys\n"
            "for name in sys.argv[1:]:\n"
            "    module = importlib.import_module(name)\n"
            "    if getattr(module, '__file__', None) is None:\n"
            "        sys.exit(f'{name} is type stubs alone')\n"
        )
        done = self._run([str(self.python), "-c", group.check or code, *group.modules])
        if done.returncode == 0:
            return ""
        return (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=self._variables,
            check=False,
        )


# Said by pip and setuptools whatever went wrong.
_EMPTY_WORDS = (
    "subprocess-exited-with-error", "metadata-generation-failed", "Failed building wheel",
    "Could not build wheels", "Failed to build", "error: command ", "error: Command ",
)  # fmt: skip


def _reason(output: str) -> str:
    """The line of pip's output, or of a compiler's below it, that tells most: the last error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if re.search(r"(error|Error|ERROR): \S|cannot find", line)
        and not any(words in line for words in _EMPTY_WORDS)
    ]
    return (telling or lines or ["pip gives no reason"])[-1][:300]
