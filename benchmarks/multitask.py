# SPDX-License-Identifier: Apache-2.0
"""Is multi-task better? Trains small networks for equal steps on real rooms, and compares them.

    mtinet data convert FOLDER -o build/nyud --hold-out 0.12
    python benchmarks/multitask.py --data build/nyud -o build/multitask             # one seed
    python benchmarks/multitask.py --data build/nyud -o build/multitask --seeds 0 1 2

Each row is trained as config/train/multitask.yaml says, but for its architecture and tasks, and
measured on the test frames. What is done is kept: the same command goes on after a kill, and a
further seed trains only what it adds. `--rows` does some rows again elsewhere, to check them.

Latency and memory are those of the exported model (float32, ONNX Runtime, one thread), all models
taking turns in one run; arithmetic is counted at the same size.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mtinet_ros.inference import load_backend
from mtinet_ros.network import load_checkpoint
from mtinet_ros.output_files import replace_file
from mtinet_ros.training.memory import peak_bytes
from mtinet_ros.training.metrics import multi_task_performance

CONFIG = Path(__file__).parents[1] / "config/train/multitask.yaml"
SIZE = (480, 640)
ROUNDS = 15
ERRORS = {"semseg": False, "depth": True}
FIGURES = {"semseg": "semseg_miou", "depth": "depth_rmse"}
_AUXILIARY = "{semseg: 13, depth: 1, normals: 3, edge: 1}"


@dataclass(frozen=True)
class Row:
    """A network that is compared.

    Attributes:
        title: In the table.
        overrides: Entries of the configuration that differ, as `mtinet train --set` takes them.
        tasks: That it predicts.
    """

    title: str
    overrides: tuple[str, ...]
    tasks: tuple[str, ...] = ("semseg", "depth")


_MTI_NET = "network.architecture=mti_net"
ROWS = {
    "single_semseg": Row(
        "single task: segmentation",
        ("network.architecture=single_task", "network.tasks={semseg: 13}"),
        ("semseg",),
    ),
    "single_depth": Row(
        "single task: depth",
        ("network.architecture=single_task", "network.tasks={depth: 1}"),
        ("depth",),
    ),
    "baseline": Row("multi-task baseline", ("network.architecture=multi_task_baseline",)),
    "pad_net": Row("PAD-Net-like (one scale)", ("network.architecture=pad_net",)),
    "mti_net": Row("MTI-Net", (_MTI_NET,)),
    "mti_net_auxiliary": Row(
        "MTI-Net + normals, edges", (_MTI_NET, f"network.auxiliary_tasks={_AUXILIARY}")
    ),
    "without_fpm": Row("MTI-Net without FPM", (_MTI_NET, "network.feature_propagation=false")),
    "without_distillation": Row(
        "MTI-Net without distillation", (_MTI_NET, "network.distillation=false")
    ),
    "without_multi_scale": Row(
        "MTI-Net without multi-scale", (_MTI_NET, "network.multi_scale=false")
    ),
}


@dataclass
class Result:
    """What was found out of one row.

    Attributes:
        figures: By seed, the test frames' figure by task.
        cost: Parameters, arithmetic, latency and memory.
        curves: By seed, columns of validation figures over steps.
    """

    figures: dict[int, dict[str, float]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    curves: dict[int, dict[str, list[float]]] = field(default_factory=dict)


def main() -> None:
    """Train what is missing, measure, and write table, curves and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="of `mtinet data convert`")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--frames", type=int, default=0, help="test frames (0: all)")
    arguments = parser.parse_args()
    results = {name: Result() for name in arguments.rows}
    for seed in arguments.seeds:
        for name in arguments.rows:
            folder = arguments.output / f"{name}_{seed}"
            _train(ROWS[name], folder, seed, arguments)
            results[name].figures[seed] = _figures(ROWS[name], folder, arguments)
            results[name].curves[seed] = read_curves(folder)
    first = arguments.seeds[0]
    costs = measure({name: arguments.output / f"{name}_{first}" for name in arguments.rows})
    for name, cost in costs.items():
        results[name].cost = cost
    record = {"machine": _machine(), "seeds": arguments.seeds, "size": SIZE, "rows": {
        name: vars(result) | {"title": ROWS[name].title} for name, result in results.items()
    }}  # fmt: skip
    replace_file(arguments.output / "multitask.json", json.dumps(record, indent=1) + "\n")
    table = as_markdown(results)
    replace_file(arguments.output / "multitask.md", table)
    draw_curves(results, arguments.output / "multitask.png")
    print(table)


def _train(row: Row, folder: Path, seed: int, arguments: argparse.Namespace) -> None:
    """Train a row unless it is done; `mtinet train` itself goes on with what was cut off."""
    done = folder / "done"
    if done.exists():
        return
    own = [
        f"run.output={folder}", f"run.seed={seed}", f"data.sources.real.root={arguments.data}",
        *row.overrides, *arguments.overrides,
    ]  # fmt: skip
    sets = [part for entry in own for part in ("--set", entry)]
    _mtinet("train", str(CONFIG), *sets)
    replace_file(done, "")


def _figures(row: Row, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Figures on the test frames, by task."""
    report = folder / "report.json"
    if not report.exists():
        _mtinet(
            "evaluate", str(folder / "latest.safetensors"), "--data", str(arguments.data),
            "--frames", str(arguments.frames), "--json", str(report),
        )  # fmt: skip
    metrics = json.loads(report.read_text(encoding="utf-8"))["metrics"]
    return {task: metrics[FIGURES[task]] for task in row.tasks}


def _mtinet(*command: str) -> None:
    subprocess.run([sys.executable, "-m", "mtinet_ros.cli.main", *command], check=True)


def read_curves(folder: Path) -> dict[str, list[float]]:
    """Validation figures over the steps of a run, by name; continued runs have several files."""
    rows: dict[int, Mapping[str, str]] = {}
    for path in sorted(folder.glob("csv/version_*/metrics.csv"), key=lambda p: p.stat().st_mtime):
        lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines[1:]:
            entries = {k: v for k, v in zip(lines[0], line, strict=True) if v}
            if any(name.startswith("val/") for name in entries):
                rows[int(entries["step"])] = entries
    names = [name for name in ("semseg_miou", "depth_rmse") if any(f"val/{name}" in r
             for r in rows.values())]  # fmt: skip
    steps = sorted(rows)
    curves = {name: [float(rows[step][f"val/{name}"]) for step in steps] for name in names}
    return {"step": [float(step + 1) for step in steps], **curves}


def measure(folders: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Parameters, GMAC, and latency and memory of the exported models, which take turns."""
    costs: dict[str, dict[str, float]] = {}
    models: dict[str, Path] = {}
    for name, folder in folders.items():
        weights, models[name] = folder / "latest.safetensors", folder / "model.onnx"
        network = load_checkpoint(weights).eval()
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            network(torch.zeros(1, 3, *SIZE))
        parameters = sum(p.numel() for p in network.parameters())
        costs[name] = {
            "parameters": parameters, "gmac": counter.get_total_flops() / 2e9
        }  # fmt: skip
        if not models[name].exists():
            size = f"{SIZE[0]}x{SIZE[1]}"
            _mtinet("export", str(weights), "--input-size", size, "-o", str(models[name]))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            costs[name]["memory_mb"] = pool.apply(_memory, (models[name],))
    os.environ["OMP_NUM_THREADS"] = "1"
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    backends = {
        name: load_backend(model, "onnxruntime", max_batch=1) for name, model in models.items()
    }
    times: dict[str, list[float]] = {name: [] for name in backends}
    for number in range(ROUNDS + 1):
        for name, backend in backends.items():
            begin = time.process_time()
            backend.infer(image, backend.output_names)
            if number:  # the first one warms up
                times[name].append(time.process_time() - begin)
    for name in backends:
        costs[name]["cpu_ms"] = 1e3 * statistics.median(times[name])
    if "baseline" in times:
        for name in times:
            ratios = [a / b for a, b in zip(times[name], times["baseline"], strict=True)]
            costs[name]["times_baseline"] = statistics.median(ratios)
    return costs


def _memory(model: Path) -> float:
    """Peak resident memory that loading and running a model adds, MB; in a process of its own."""
    cpu = torch.device("cpu")
    before = peak_bytes(cpu)
    backend = load_backend(model, "onnxruntime", max_batch=1)
    for _ in range(2):
        backend.infer(np.zeros((1, *SIZE, 3), np.uint8), backend.output_names)
    return (peak_bytes(cpu) - before) / 2**20


def gains(results: Mapping[str, Result], name: str) -> list[float]:
    """Δm of a row for each seed that the single-task rows have too, percent."""
    singles = [results.get(f"single_{task}") for task in FIGURES]
    found = []
    for seed, multi in results[name].figures.items():
        single: dict[str, float] = {}
        for result in singles:
            single |= result.figures.get(seed, {}) if result else {}
        if set(single) == set(multi) == set(FIGURES):
            found.append(multi_task_performance(multi, single, ERRORS))
    return found


def as_markdown(results: Mapping[str, Result]) -> str:
    """The table; over several seeds, means and standard deviations."""
    lines = [
        "| | mIoU % | RMSE m | Δm % | parameters M | GMAC | latency | memory MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        cells = []
        for task, factor, digits in (("semseg", 100, 2), ("depth", 1, 3)):
            values = [factor * f[task] for f in result.figures.values() if task in f]
            cells.append(_spread(values, digits))
        cells.append(_spread(gains(results, name), 2, "+"))
        cost = result.cost
        cells += [f"{cost['parameters'] / 1e6:.2f}", f"{cost['gmac']:.2f}"]
        ratio = cost.get("times_baseline")
        cells.append(f"{cost['cpu_ms']:.0f} ms" + (f" ({ratio:.2f}×)" if ratio else ""))
        cells.append(f"{cost['memory_mb']:.0f}")
        lines.append(f"| {ROWS[name].title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float], digits: int, sign: str = "") -> str:
    if not values:
        return ""
    mean = f"{statistics.mean(values):{sign}.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def draw_curves(results: Mapping[str, Result], path: Path) -> None:
    """Validation figures over steps, a panel for each task, seeds as lines of one color."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), constrained_layout=True)
    for panel, (name, label) in zip(
        panels,
        (("semseg_miou", "mIoU"), ("depth_rmse", "RMSE at the canonical focal length, m")),
        strict=True,
    ):
        for number, (row, result) in enumerate(results.items()):
            for seed, curves in result.curves.items():
                if name in curves:
                    first = seed == min(result.curves)
                    panel.plot(
                        curves["step"], curves[name], color=f"C{number}", linewidth=1.2,
                        label=ROWS[row].title if first else None,
                    )  # fmt: skip
        panel.set(xlabel="step", ylabel=f"{label}, validation frames")
        panel.grid(alpha=0.3)
    handles = {
        label: handle
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize=8
    )
    draft = path.with_name(f".{path.name}")
    figure.savefig(draft, dpi=110, format="png")
    os.replace(draft, path)


def _machine() -> dict[str, Any]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {"cpu": models[0] if models else "", "cores": len(models), "torch": torch.__version__}


if __name__ == "__main__":
    main()
