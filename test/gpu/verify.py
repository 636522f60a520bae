# SPDX-License-Identifier: Apache-2.0
"""Runs every step of docs/verification.md on a machine with a GPU and writes a report.

    PYTHONPATH=test python3 -m gpu.verify [MODEL.onnx] [-o FOLDER] [--wheels FOLDER]

Needs Python 3.10 or newer and nothing else; makes an environment of its own that sees the
system's packages, and installs what is missing. The report, FOLDER/report.md, is written after
every step. Exit status: 0 if every step passed that is supported here; 1 if one failed; 3 if none
that needs a GPU was supported; 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gpu.environment import ROOT, Environment, Installed, groups
from gpu.machine import Machine, read_machine
from gpu.report import Result, Verdict, write_report
from gpu.steps import Step, count_tests, steps

# A step that takes longer hangs.
_STEP_SECONDS = 7200.0

Probe = Callable[[str], str]


class Verification:
    """A run over the steps."""

    def __init__(
        self, heading: list[str], folder: Path, variables: dict[str, str], probe: Probe
    ) -> None:
        """Begin.

        Args:
            heading: Facts for the report.
            folder: Of results.
            variables: Environment variables of the steps.
            probe: Says why something cannot be used here; empty if it can.
        """
        self.results: list[Result] = []
        self._heading = heading
        self._folder = folder
        self._variables = variables
        self._probe = probe
        self._known: dict[str, str] = {}
        self._is_interrupted = False

    def run(self, chosen: list[Step], seconds: float) -> int:
        """Run steps one after the other, whatever fails; returns the exit status.

        Args:
            chosen: The steps.
            seconds: Time budget; what begins after it is not run, what runs then is stopped.
        """
        end = time.monotonic() + seconds
        for step in chosen:
            print(f"== {step.title}", flush=True)
            result = self._run_step(step, end)
            print(
                f"-- {result.verdict.value}{': ' * bool(result.reason)}{result.reason}", flush=True
            )
            self.results.append(result)
            write_report(self._folder / "report.md", self._heading, self.results, len(chosen))
        verdicts = {result.verdict for result in self.results}
        if self._is_interrupted:
            return 130
        if Verdict.FAILED in verdicts:
            return 1
        on_gpu = {step.key for step in chosen if set(step.needs) - {"gpu"}}
        if on_gpu and not any(
            result.verdict is Verdict.PASSED and result.key in on_gpu for result in self.results
        ):
            return 3
        return 0

    def _run_step(self, step: Step, end: float) -> Result:
        if self._is_interrupted:
            return Result(step.key, step.title, Verdict.NOT_RUN, "interrupted")
        if time.monotonic() >= end:
            return Result(step.key, step.title, Verdict.NOT_RUN, "the time budget is spent")
        missing = next(filter(None, map(self._why_not, step.needs)), "")
        if missing:
            return Result(step.key, step.title, Verdict.NOT_SUPPORTED, missing)
        begun = time.monotonic()
        status, output, stopped = self._execute(step, min(end, begun + _STEP_SECONDS))
        verdict, reason = self._judge(step, status, stopped)
        return Result(
            step.key,
            step.title,
            verdict,
            reason,
            " ".join(step.command),
            time.monotonic() - begun,
            output,
        )

    def _why_not(self, need: str) -> str:
        """Why a need is not met; of alternatives, `a|b`, one is enough."""
        reasons = []
        for name in need.split("|"):
            if name not in self._known:
                self._known[name] = self._probe(name)
            if not self._known[name]:
                return ""
            reasons.append(self._known[name])
        return " and ".join(reasons)

    def _judge(self, step: Step, status: int, stopped: str) -> tuple[Verdict, str]:
        if stopped:
            failed = stopped.startswith("it took")
            return Verdict.FAILED if failed else Verdict.NOT_RUN, stopped
        if step.tests is None:
            wrong = step.judge(status)
            return (Verdict.FAILED, wrong) if wrong else (Verdict.PASSED, "")
        # pytest's 5: it found no test, which is a fault of the step.
        if status or not step.tests.is_file():
            return Verdict.FAILED, f"pytest ended with {status}"
        ran, skipped = count_tests(step.tests)
        left_out = "; ".join(skipped)
        if not ran:
            return Verdict.NOT_SUPPORTED, left_out
        return Verdict.PASSED, f"left out: {left_out}" if left_out else ""

    def _execute(self, step: Step, end: float) -> tuple[int, str, str]:
        """Exit status, output, and why it was stopped, if it was."""
        log = self._folder / f"{step.key}.log"
        if step.tests is not None:
            step.tests.unlink(missing_ok=True)
        with log.open("w+", encoding="utf-8", errors="replace") as file:
            try:
                child = subprocess.Popen(
                    step.command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env={**self._variables, **step.variables},
                    cwd=ROOT,
                    start_new_session=True,
                )
            except OSError as error:
                return 127, str(error), ""
            stopped = self._wait(child, end)
            file.seek(0)
            return child.returncode, file.read(), stopped

    def _wait(self, child: subprocess.Popen[bytes], end: float) -> str:
        begun = time.monotonic()
        try:
            child.wait(max(0.0, end - begun))
            return ""
        except subprocess.TimeoutExpired:
            took = time.monotonic() - begun
            if took >= _STEP_SECONDS - 1:
                return f"it took longer than {_STEP_SECONDS:.0f} s"
            return "stopped: the time budget is spent"
        except KeyboardInterrupt:
            self._is_interrupted = True
            return "interrupted"
        finally:
            _end_group(child)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End a step with all that it started."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, None)):
        if child.poll() is not None and number == signal.SIGTERM:
            return
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
            return
        except ProcessLookupError:
            child.wait()
            return
        except subprocess.TimeoutExpired:
            continue


def choose(all_steps: list[Step], only: str) -> list[Step]:
    """The steps of `--only`, comma-separated keys; all if it is empty.

    Raises:
        SystemExit: A key is unknown.
    """
    wanted = [key.strip() for key in only.split(",") if key.strip()]
    keys = [step.key for step in all_steps]
    if unknown := sorted(set(wanted) - set(keys)):
        raise SystemExit(
            f"--only: no step is called {', '.join(unknown)}; allowed: {', '.join(keys)}"
        )
    return [step for step in all_steps if not wanted or step.key in wanted]


def arguments() -> argparse.Namespace:
    """Read the command line.

    Raises:
        SystemExit: It is wrong.
    """
    parser = argparse.ArgumentParser(prog="verify", description=(__doc__ or "").partition("\n")[0])
    bundled = sorted((ROOT / "models").glob("*.onnx"))
    parser.add_argument("model", nargs="?", type=Path, default=bundled[0] if bundled else None)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--wheels", type=Path, help="install from this folder, without a network")
    parser.add_argument("--only", default="", help="steps, comma-separated; `list` names them")
    parser.add_argument("--time-budget", type=float, default=240.0, metavar="MINUTES")
    parser.add_argument("--with-torch", action="store_true", help="install PyTorch, too")
    given = parser.parse_args()
    if given.model is None or not given.model.is_file():
        parser.error(f"there is no model {given.model or 'in models/'}: name one, MODEL.onnx")
    if given.wheels is not None and not given.wheels.is_dir():
        parser.error(f"--wheels {given.wheels} is no folder")
    if not given.time_budget > 0:
        parser.error(f"--time-budget is {given.time_budget}; allowed: minutes above 0")
    return given


def prepare(environment: Environment, machine: Machine, with_torch: bool) -> list[Installed]:
    """Make the environment and have every group that can be had.

    Raises:
        SystemExit: The indispensable cannot be had.
    """
    if why := environment.make():
        raise SystemExit(f"the environment cannot be made: {why}")
    had = []
    for group in groups(machine, with_torch):
        print(f"== {group.name}", flush=True)
        had.append(environment.install(group))
        print(f"-- {had[-1].text}", flush=True)
        if group.name == "base" and not had[-1].is_there:
            raise SystemExit(f"without {', '.join(group.modules)} nothing runs: {had[-1].text}")
    return had


def make_probe(
    environment: Environment, machine: Machine, had: list[Installed], variables: dict[str, str]
) -> Probe:
    """Ask the environment; for what could not be installed, that is the reason."""
    reasons = {each.group.name: each.text for each in had if not each.is_there}

    def probe(name: str) -> str:
        if name == "gpu":
            return machine.why_no_gpu
        if name in reasons:
            return f"{name}: {reasons[name]}"
        done = subprocess.run(
            [str(environment.python), "-m", "gpu.probe", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=variables,
            cwd=ROOT,
            check=False,
        )
        lines = (done.stdout.strip() or done.stderr.strip() or "no answer").splitlines()
        return f"{name}: {lines[-1]}" if done.returncode else ""

    return probe


def main() -> int:
    """Run; see the module's docstring."""
    given = arguments()
    folder, model = given.output.absolute(), given.model.absolute()
    machine = read_machine()
    environment = Environment(folder / "venv", machine, given.wheels and given.wheels.absolute())
    everything = steps(environment.python, model, folder)
    if given.only == "list":
        print("\n".join(f"{step.key:<24} {step.title}" for step in everything))
        return 0
    chosen = choose(everything, given.only)
    folder.mkdir(parents=True, exist_ok=True)
    print("\n".join(machine.describe()), flush=True)
    had = prepare(environment, machine, given.with_torch)
    variables = environment.variables(folder, model)
    heading = [
        time.strftime("%Y-%m-%d %H:%M %Z"),
        *machine.describe(),
        *(f"{each.group.name}: {each.text}" for each in had),
    ]
    verification = Verification(
        heading, folder, variables, make_probe(environment, machine, had, variables)
    )
    status = verification.run(chosen, given.time_budget * 60)
    print(f"report: {folder / 'report.md'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
