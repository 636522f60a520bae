# SPDX-License-Identifier: Apache-2.0
"""Defaults, limits, figures and files in the pages' tables are those of the programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from support.pages import CODE, PARSERS, ROOT

pytest.importorskip("torch")
pytest.importorskip("torchmetrics")
pytest.importorskip("tqdm")
pytest.importorskip("av")

from support import newcomer

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.nyud_layout import MARKER, Meaning, read_meaning
from mtinet_ros.export.accuracy import LIMITS
from mtinet_ros.export.criteria import LOSS_LIMITS
from mtinet_ros.export.presets import PRESETS
from mtinet_ros.model_card import read_model_card
from mtinet_ros.node.settings import CAMERA_PARAMETERS, NODE_PARAMETERS
from mtinet_ros.training.config_file import load_config


def page(name: str) -> str:
    return (ROOT / name).read_text()


def table(name: str, head: str) -> list[list[str]]:
    """The cells of a page's table below the row that begins with `head`."""
    found = re.search(rf"^{re.escape(head)}.*\n\|[-|]+\n((?:\|.*\n)+)", page(name), re.MULTILINE)
    assert found is not None, head
    rows = (re.split(r"(?<!\\)\|", row)[1:-1] for row in found[1].splitlines())
    return [[cell.strip() for cell in row] for row in rows]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def figures_in(text: str) -> set[str]:
    """Names of figures in first columns: `a_b`, `c` has a_b and a_c; `d1` to `3` has d1 to d3."""
    names: set[str] = set()
    for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE):
        given = code_in(row)
        group = given[0].partition("_")[0]
        names |= {*given, *(f"{group}_{one}" for one in given)}
        for first, last in re.findall(r"`(\w+?\d+)` to `(\d+)`", row):
            stem = re.sub(r"\d+$", "", first)
            stem = stem if stem.startswith(group) else f"{group}_{stem}"
            names |= {f"{stem}{number}" for number in range(1, int(last) + 1)}
    return names


def test_every_figure_of_a_report_is_explained(folder: Path) -> None:
    newcomer.model(folder / "m.onnx", ("labels", "confidence", "depth", "normals"))
    newcomer.rooms(folder / "rooms")
    assert main(["evaluate", "m.onnx", "--data", "rooms", "--json", "r.json"]) == 0
    report = json.loads((folder / "r.json").read_text())
    told = page("docs/evaluation.md").partition("## What the figures mean")[2]
    assert "`depth_aligned_…`" in told
    found = {key.replace("depth_aligned_", "depth_") for key in report["metrics"]}
    assert found - figures_in(told) == set()
    for key in ("reliability", "confusion", "depth_scale", "depth_by_distance", "frame_figures"):
        assert key in report
        assert f"`{key}`" in told


def test_every_figure_of_steadiness_is_explained(folder: Path) -> None:
    newcomer.model(folder / "m.onnx")
    newcomer.video(folder / "v.mp4")
    words = ["evaluate", "m.onnx", "--steadiness", "v.mp4", "--noise", "3", "--json", "s.json"]
    assert main(words) == 0
    figures = json.loads((folder / "s.json").read_text())["steadiness"]["m.onnx"]["figures"]
    text = page("docs/evaluation.md").partition("## Without truth: steadiness")[2]
    told = {name for name in re.findall(r"`(\w+)`", text.partition("\n## ")[0]) if name in figures}
    assert told == set(figures)


def test_a_line_of_frames_has_the_entries_that_are_told(folder: Path) -> None:
    newcomer.pictures(folder / "pictures")
    assert main(["process", "pictures", "-o", "seen"]) == 0
    line = json.loads((folder / "seen/frames.jsonl").read_text().splitlines()[0])
    (told,) = re.findall(
        r"has a line for each frame: (.*?)\. `legend", page("docs/process.md"), re.DOTALL
    )
    assert [name for name in code_in(told) if name in line] == list(line)
    legend = json.loads((folder / "seen/legend.json").read_text())
    assert {"classes", "void_id"} <= set(legend)
    assert legend["depth"]["unit"] == "metres"


def test_defaults_of_rendering() -> None:
    told = {
        option: code_in(default) or [default]
        for cell, default, _ in table("docs/scenes.md", "| option | default | |")
        for option in [code_in(cell)[-1].split()[0]]
    }
    values = vars(PARSERS["scenes"].parse_args(["scenes", "-o", "rooms"]))
    assert told["--frames"] == [str(values["frames"])]
    assert told["--seed"] == [str(values["seed"])]
    assert told["--size"] == [values["size"]]


def test_what_the_presets_say() -> None:
    rows = {row[0]: row[1:3] for row in table("docs/weights.md", "| | `--preset nyud` |")}
    nyud, pascal = PRESETS["nyud"], PRESETS["pascal"]
    assert rows["focal length f0, pixels"] == [f"{nyud.focal_length:g}", "unknown"]
    assert pascal.focal_length is None
    assert rows["metres in a unit of depth"] == [f"{nyud.meters_per_unit:g}", "–"]
    axes = ", ".join(nyud.normals_axes or ()).replace("-", "−")
    assert rows["normals' axes"] == [axes, axes]
    assert pascal.normals_axes == nyud.normals_axes
    (size,) = [cells for name, cells in rows.items() if name.startswith("input size")]
    assert size[1] == "{}×{}, {}".format(*(pascal.input_size or ()), pascal.fit)
    assert [len(preset.class_names or ()) for preset in (nyud, pascal)] == [40, 21]


def test_limits_of_a_precision() -> None:
    told = [cells[-1] for cells in table("docs/export.md", "| limit | |")]
    unit = {"label_agreement": " %", "depth_abs_rel": " %", "normals_mean_deg": "°"}
    for (name, limit), words in zip(LIMITS.items(), told, strict=True):
        (number,) = re.findall(rf"(?:least|most) ([\d.]+){unit.get(name, '')}$", words)
        assert float(number) == pytest.approx(100 * limit if "%" in words else limit)
    (judged,) = re.findall(r"what is lost is within the limits: (.*?)\. ", page("docs/export.md"))
    assert [float(number) for number in re.findall(r"0\.\d+", judged)] == [
        LOSS_LIMITS["semseg_miou"],
        LOSS_LIMITS["depth_delta1"],
        LOSS_LIMITS["normals_mean"],
    ]
    assert LOSS_LIMITS["depth_coverage"] == LOSS_LIMITS["depth_delta1"]


@pytest.mark.parametrize(("name", "column"), [("mtinet_indoor", 1), ("mtinet_indoor_rendered", 2)])
def test_what_is_told_of_a_bundled_model_is_in_its_card(name: str, column: int) -> None:
    card = read_model_card(ROOT / "models" / f"{name}.onnx")
    rows = {
        row[0]: row[column] for row in table("models/README.md", "| | `mtinet_indoor` (default)")
    }
    height, width = card.input_size
    assert rows["input"].startswith(f"{height}×{width} pixels")
    fitted = rows["confidence calibrated on"]
    assert fitted.startswith(f"{card.confidence['frames']} ")
    assert fitted.endswith(f"temperature {float(str(card.confidence['temperature'])):.3f}")
    bf16 = {row[0]: row for row in table("models/README.md", "| | `mtinet_indoor`, f32 |")}
    told = bf16["pixels with the label of f32²"][2 * column]
    assert told == f"{100 * float(str((card.bf16_report or {})['label_agreement'])):.1f} %"
    size = (ROOT / "models" / f"{name}.onnx").stat().st_size
    assert f"fp16, {size / 1e6:.1f} MB" in page("models/README.md")


OTHER_SETTINGS = {
    "fit": "of a model's card",
    "publish_voxel_map": "nav2's",
    "base": "the file of a run's description itself",
    "dropped": "a line of /diagnostics",
}
IN_SECTION = {  # of a run's description; the text around says which kind or section is meant
    "classes": "data.sources.real.classes",
    "rotation": "augmentation.rotation",
    "scale": "augmentation.scale",
    "zooms": "augmentation.zooms",
}
OF_KIND = {"rotation": "pascal", "scale": "pascal", "zooms": "nyud", "data.focal_length": "nyud"}


def settings_in_the_text() -> set[tuple[str, str]]:
    found = [re.fullmatch(r"([a-z][\w.]*): (\S.*)", c.text) for c in CODE if c.kind == "inline"]
    messages = ("mtinet", "front")  # CONTRIBUTING.md: what stands before a message
    return {(m[1], m[2]) for m in found if m and m[1] not in (*OTHER_SETTINGS, *messages)}


@pytest.mark.parametrize(("name", "value"), sorted(settings_in_the_text()))
def test_a_setting_that_the_text_names_is_taken(name: str, value: str) -> None:
    spec = NODE_PARAMETERS.get(name) or CAMERA_PARAMETERS.get(name)
    if spec is not None:
        spec.check(name, spec.coerce(yaml.safe_load(value)))
        return
    kind = OF_KIND.get(name, "camera")
    overrides = [f"{IN_SECTION.get(name, name)}={value}", f"augmentation.kind={kind}"]
    if kind != "camera":
        overrides += [
            f"augmentation.{key}=null" for key in ("zoom", "roll", "tilt", "photometric")
        ]
    file = "indoor.yaml" if "sources" in overrides[0] else "rooms.yaml"
    load_config(ROOT / "config" / "train" / file, overrides)


def test_enough_settings_are_seen() -> None:
    assert len(settings_in_the_text()) > 15


def test_a_run_on_own_rooms_is_described_as_the_page_has_it(tmp_path: Path) -> None:
    text = page("docs/training.md")
    described = re.search(r"```yaml\n(base: .*?)```", text, re.DOTALL)
    marker = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert described is not None
    assert marker is not None
    file = tmp_path / "my_rooms.yaml"
    file.write_text(described[1].replace("base: ", f"base: {ROOT}/"))
    config = load_config(file)
    shares = {name: (source.root, source.share) for name, source in config.data.sources.items()}
    assert shares == {"real": ("my_rooms", 0.5), "rendered": ("build/rooms", 0.5)}
    assert config.data.sources["real"].kind == "nyud"
    assert (config.card.name, config.card.license) == ("my_rooms", "NOASSERTION")
    assert (ROOT / config.network.initial).is_file()
    (tmp_path / MARKER).write_text(marker[1])
    assert read_meaning(tmp_path) == Meaning(
        "rooms", "camera_optical", 0.001, None, None, ("Our office, 2026",)
    )
