# SPDX-License-Identifier: Apache-2.0
"""What weights do not say comes from a preset or the user, into the card and into the graph."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from mtinet_ros.cli.export import _preset, _read_names, add_arguments
from mtinet_ros.datasets.class_sets import voc_palette
from mtinet_ros.errors import ConfigurationError, ModelError
from mtinet_ros.export.checkpoint_card import load_described
from mtinet_ros.export.deploy_network import DeployNetwork, OutputConvention
from mtinet_ros.export.presets import PRESETS, Preset
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.network import MTINet, save_checkpoint

BUNDLED = Path(__file__).parents[2] / "models" / "mtinet_indoor_rendered.safetensors"
BACKBONE = "efficientnet_lite0"
NYUD = {"semseg": 40, "normals": 3, "depth": 1}


@pytest.fixture(scope="module")
def network() -> MTINet:
    torch.manual_seed(0)
    return MTINet(BACKBONE, NYUD).eval()


@pytest.fixture
def checkpoint(network, tmp_path):
    path = tmp_path / "weights.pth.tar"
    torch.save({"model": network.state_dict()}, path)
    return path


def test_without_a_preset_nothing_is_claimed(checkpoint):
    card = load_described(checkpoint).card
    assert (card.name, card.input_size) == ("weights", (480, 640))
    assert (card.depth_kind, card.normals_axes) == ("as_trained", "as_trained")
    assert (card.focal_length, card.license) == (None, "NOASSERTION")
    assert card.class_names[:2] == ("class 0", "class 1")


def test_a_preset_says_what_the_weights_do_not(checkpoint):
    described = load_described(checkpoint, PRESETS["nyud"], (96, 128))
    card = described.card
    assert card.class_names[:2] == ("wall", "floor")
    assert (card.depth_kind, card.normals_axes) == ("metric", "camera_optical")
    # f0 belongs to what was learnt, in pixels: exporting for another size does not change it.
    fx, fy = 518.858, 519.470
    assert card.focal_length == pytest.approx((fx * fy) ** 0.5, abs=0.2)
    assert described.convention.normals_axes == ("x", "y", "-z")
    assert "NYU" in card.attribution[0]


def test_pascal_is_exported_as_the_authors_show_it_pictures(tmp_path):
    """512x512 and stretched (their experiments' configurations), where nothing else is asked."""
    torch.manual_seed(0)
    network = MTINet(BACKBONE, {"semseg": 21, "normals": 3})
    path = tmp_path / "pascal.pth.tar"
    torch.save({"model": network.state_dict()}, path)
    card = load_described(path, PRESETS["pascal"]).card
    assert (card.input_size, card.fit) == ((512, 512), "stretch")
    assert load_described(path, PRESETS["pascal"], (256, 320)).card.input_size == (256, 320)
    assert load_described(path).card.fit == "letterbox"


def test_nyud_is_exported_at_the_size_of_its_pictures(checkpoint):
    card = load_described(checkpoint, PRESETS["nyud"]).card
    assert (card.input_size, card.fit) == ((480, 640), "letterbox")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_class_names_of_any_editor_are_read(encoding, end, tmp_path):
    text = end.join(["wall", "Küche", " floor mat ", ""])
    marked = ("\ufeff" + text).encode("utf-16-be")
    (tmp_path / "names.txt").write_bytes(
        marked if encoding == "utf-16-be-bom" else text.encode(encoding)
    )
    assert _read_names(tmp_path / "names.txt") == ("wall", "Küche", "floor mat")


def test_class_names_in_no_known_encoding_are_refused(tmp_path):
    (tmp_path / "names.txt").write_bytes("Küche".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="cannot read class names"):
        _read_names(tmp_path / "names.txt")


def test_nyud_depth_is_for_the_kinects_own_lens():
    """At 589.8, that of crops brought to this size, every depth was 12 % short."""
    assert PRESETS["nyud"].focal_length == 519.0  # of 518.858 and 519.470 in the toolbox


def test_a_preset_for_other_classes_is_refused(checkpoint):
    with pytest.raises(ConfigurationError, match="21 class names"):
        load_described(checkpoint, PRESETS["pascal"])


@pytest.mark.parametrize("key", ["depth_output", "depth_encoding"])  # the latter until 0.1
def test_a_checkpoint_of_the_trainer_describes_itself(network, tmp_path, key):
    path = tmp_path / "latest.safetensors"
    header = {"height": "192", "width": "256", "focal_length": "210.0"}
    save_checkpoint(path, network, **{key: "log_metres"}, **header)
    described = load_described(path)
    assert described.card.input_size == (192, 256)
    assert described.card.focal_length == 210.0
    assert (described.card.depth_kind, described.convention.depth_output) == (
        "metric",
        "log_metres",
    )
    save_checkpoint(path, network, **{key: "feet"}, **header)
    with pytest.raises(ModelError, match="'feet'"):
        load_described(path)


def test_the_bundled_weights_of_an_earlier_version_describe_themselves():
    described = load_described(BUNDLED)
    assert described.card.tasks == ("semseg", "normals", "depth")
    assert described.card.depth_kind == "metric"
    assert described.card.focal_length is not None
    assert described.convention.depth_output == "log_metres"


def test_axes_and_units_reach_the_outputs(network):
    image = torch.from_numpy(synthetic_images(1, (64, 64)))
    convention = OutputConvention("log_metres", 0.001, ("y", "-x", "-z"))
    with torch.inference_mode():
        _, normals, depth = DeployNetwork(network)(image)
        _, turned, scaled = DeployNetwork(network, convention=convention)(image)
    expected = torch.stack([normals[..., 1], -normals[..., 0], -normals[..., 2]], dim=-1)
    torch.testing.assert_close(turned, expected)
    torch.testing.assert_close(scaled, depth.exp() * 0.001)


@pytest.mark.parametrize(
    "axes", [("x", "x", "z"), ("x", "y"), ("x", "y", "+z"), ("x", "--y", "z")]
)
def test_impossible_axes_are_refused(axes):
    with pytest.raises(ConfigurationError, match="must name each of x, y and z"):
        Preset(normals_axes=axes)


def test_what_is_said_on_the_command_line_wins_over_the_preset():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    said = ["--depth-unit", "0.001", "--normals-axes=x,-y,z", "--focal-length", "500"]
    arguments = parser.parse_args(["weights", "-o", "x.onnx", "--preset", "nyud", *said])
    preset = _preset(arguments)
    assert (preset.meters_per_unit, preset.focal_length) == (0.001, 500.0)
    assert preset.normals_axes == ("x", "-y", "z")
    assert preset.class_names == PRESETS["nyud"].class_names


def test_an_impossible_depth_unit_is_refused():
    with pytest.raises(ConfigurationError, match="depth unit -1"):
        Preset(meters_per_unit=-1.0)


def test_class_colors_differ_and_none_is_black():
    palette = voc_palette(40)
    assert len(set(palette)) == 40
    assert (0, 0, 0) not in palette
