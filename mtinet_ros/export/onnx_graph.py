# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs: traced from a PyTorch module, with a card, written to one file."""

from __future__ import annotations

import copy
import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxslim
import torch
from numpy.typing import NDArray
from torch.jit._trace import TracerWarning

from mtinet_ros.errors import ExportError, ModelError
from mtinet_ros.export.deploy_network import DeployNetwork
from mtinet_ros.export.graph_parts import remove_unused
from mtinet_ros.model_card import METADATA_KEY, ModelCard, read_model_card
from mtinet_ros.model_contract import INPUT_NAME
from mtinet_ros.onnx_file import parse_onnx
from mtinet_ros.output_files import file_errors, make_folder, replace_file

OPSET = 17


def trace(network: DeployNetwork, input_size: tuple[int, int]) -> onnx.ModelProto:
    """Trace a network to ONNX: N dynamic, H and W fixed, BatchNorm folded, unused parts gone.

    Args:
        network: The network in evaluation mode, on the CPU.
        input_size: (height, width), multiples of 32.
    """
    # Two images, so that nothing in the trace can take the batch for a constant 1.
    example = torch.zeros((2, *input_size, 3), dtype=torch.uint8)
    names = network.output_names
    buffer: Any = io.BytesIO()  # the exporter writes to files too, its annotation forgot
    with warnings.catch_warnings(), torch.no_grad():
        # The TorchScript exporter is deprecated, yet the only one that folds BatchNorm while N is
        # dynamic; and the network's own check of its input size is meant to vanish in the trace.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        # Slices with a step stay in the graph, which is as it should be.
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            network,
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=list(names),
            dynamic_axes={name: {0: "N"} for name in (INPUT_NAME, *names)},
        )
    model: onnx.ModelProto = onnxslim.slim(onnx.load_from_string(buffer.getvalue()))
    _fix_shapes(model)
    return model


def _fix_shapes(model: onnx.ModelProto) -> None:
    """Give every Reshape a constant shape: only the batch is dynamic, which 0 copies.

    The tracer computes shapes in the graph instead; TensorRT would do so at every run.
    """
    initializers = {tensor.name for tensor in model.graph.initializer}
    reshapes = [
        node
        for node in model.graph.node
        if node.op_type == "Reshape" and node.input[1] not in initializers
    ]
    if not reshapes:  # as without feature propagation
        return
    one, two = (_evaluate(model, [node.input[1] for node in reshapes], n) for n in (1, 2))
    for node, shape, of_two in zip(reshapes, one, two, strict=True):
        name = f"{node.name}_shape"
        constant = np.where(shape == of_two, shape, 0)
        model.graph.initializer.append(onnx.numpy_helper.from_array(constant, name))
        node.input[1] = name
    remove_unused(model.graph)


def _evaluate(model: onnx.ModelProto, names: list[str], batch: int) -> list[NDArray[np.int64]]:
    """Values of integer tensors inside the graph, for a batch of that size."""
    probe = copy.deepcopy(model)
    del probe.graph.output[:]
    for name in names:
        probe.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None)
        )
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    _, *size = session.get_inputs()[0].shape
    values: list[NDArray[np.int64]] = session.run(
        names, {INPUT_NAME: np.zeros((batch, *size), np.uint8)}
    )
    return values


def attach_card(model: onnx.ModelProto, card: ModelCard) -> ModelCard:
    """Put the card into the graph's metadata, replacing one that is there.

    Returns:
        The card as written, with the fingerprint of the graph.
    """
    model.producer_name = "mtinet_ros"
    fingerprint = parse_onnx(model.SerializeToString(), card.name).fingerprint
    card = replace(card, fingerprint=fingerprint)
    put_card(model, card)
    return card


def measurable_card(path: Path) -> ModelCard:
    """The card of a model file that figures may be put into.

    Raises:
        ModelError: The file has no card, or another tool has changed its graph.
    """
    card = read_model_card(path)
    if card.modified:
        raise ModelError(
            f"the graph of {path} is another one than was exported; export it again, then measure"
        )
    return card


def rewritable_card(path: Path) -> ModelCard:
    """`measurable_card` of a file that can be replaced; to be called before the work.

    Raises:
        ModelError: See `measurable_card`.
        ConfigurationError: Its folder cannot be written to.
    """
    card = measurable_card(path)
    make_folder(path.parent)
    return card


def rewrite_card(path: Path, card: ModelCard) -> None:
    """Put another card into a model file whose graph stays as it is.

    The card keeps the fingerprint that it has: one without gets none, since nobody knows whether
    the graph is still the one that its figures are of.

    Raises:
        ExportError: It cannot be written.
    """
    model = onnx.load(path)
    put_card(model, card)
    write_model(model, path)


def put_card(model: onnx.ModelProto, card: ModelCard) -> None:
    """Write a card into a graph's metadata; what others wrote beside it stays."""
    others = {prop.key: prop.value for prop in model.metadata_props}
    onnx.helper.set_model_props(model, {**others, METADATA_KEY: card.to_json()})


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph with its weights; see `write_output`."""
    write_output(model.SerializeToString(), path)


def write_output(content: bytes, path: Path) -> None:
    """Write aside, then rename: at `path` there is a whole file or the one from before.

    Raises:
        ExportError: The folder cannot be written, or the disk is full.
    """
    advice = "nothing was changed there: free space or choose a folder that can be written to"
    with file_errors(f"write {path}", ExportError, advice):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content, flush=True)
