# SPDX-License-Identifier: Apache-2.0
"""`mtinet inspect` shows what is in a file, and refuses files that are not whole."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mtinet_ros.cli.main import main
from mtinet_ros.errors import ModelError
from mtinet_ros.export.inspection import inspect_model
from mtinet_ros.export.rewrites import rewrite_for_speed


def test_arithmetic_and_parameters_are_those_of_the_network(exported, untrained):
    inspection = inspect_model(exported.path)
    network = rewrite_for_speed(untrained[0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 64, 96))
    # The graph leaves out the decoders of deep supervision, a small part.
    assert inspection.macs == pytest.approx(counter.get_total_flops() / 2, rel=0.02)
    learnt = sum(p.numel() for p in untrained[0].parameters())
    assert inspection.parameters == pytest.approx(learnt, rel=0.02)
    assert sum(sum(part.macs.values()) for part in inspection.parts) == inspection.macs
    assert {"backbone stem", "scale_3", "fpm_scale_1", "head depth"} <= {
        part.name for part in inspection.parts
    }


def test_the_page_says_what_a_user_asks_first(exported, capsys):
    assert main(["inspect", str(exported.path)]) == 0
    page = capsys.readouterr().out
    for word in (
        "UNTRAINED",
        "GMAC",
        "wall, floor",
        "focal length",
        "label_agreement",
    ):
        assert word in page


def test_weights_outside_the_file_are_refused(exported, tmp_path, capsys):
    """A path in a model file must not make anyone read elsewhere on the disk."""
    model = onnx.load(exported.path)
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    path = tmp_path / "outside.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"\.\./\.\./etc/passwd"):
        inspect_model(path)
    assert main(["inspect", str(path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=r"x\.onnx"):
        inspect_model(path)
