# SPDX-License-Identifier: Apache-2.0
"""A tiny ONNX graph that keeps the model contract, for tests of everything that runs models.

It has every trait of an exported network that a backend could stumble over (uint8 in and out
through casts, a dynamic batch, argmax, unit normals) and takes a millisecond to run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mtinet_ros.model_card import METADATA_KEY, ModelCard
from mtinet_ros.model_contract import TASK_OUTPUTS

HEIGHT, WIDTH, CLASSES, CHANNELS = 32, 64, 5, 8


def tiny_card(precision: str = "fp32", max_batch: int = 4, name: str = "tiny") -> ModelCard:
    return ModelCard(
        name=name,
        tasks=("semseg", "normals", "depth"),
        input_size=(HEIGHT, WIDTH),
        class_names=tuple(f"class {i}" for i in range(CLASSES)),
        palette=tuple((40 * i, 255 - 40 * i, 7 * i) for i in range(CLASSES)),
        depth_range=(0.1, 10.0),
        focal_length=50.0,
        precision=precision,
        max_batch=max_batch,
        untrained=True,
    )


class _Graph:
    """Collects nodes and weights; every `add` returns the name of the new tensor."""

    def __init__(self, float_type: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.float_type = float_type
        self.random = np.random.default_rng(7)

    def constant(self, array: NDArray[np.generic], exact: bool = False) -> str:
        name = f"constant_{len(self.weights)}"
        if not exact and self.float_type == TensorProto.FLOAT16:
            array = array.astype(np.float16)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def quantized(self, tensor: str, scale: NDArray[np.float32], axis: int = 1) -> str:
        """Explicit symmetric int8 Q/DQ, the form TensorRT takes."""
        scales = self.constant(scale, exact=True)
        zeros = self.constant(np.zeros(scale.shape, np.int8), exact=True)
        code = self.add("QuantizeLinear", tensor, scales, zeros, axis=axis)
        return self.add("DequantizeLinear", code, scales, zeros, axis=axis)

    def convolution(self, x: str, out: int, inp: int, size: int, quantized: bool) -> str:
        kernel = self.random.normal(0.0, 0.3, (out, inp, size, size)).astype(np.float32)
        weight = self.constant(kernel)
        if quantized:
            x = self.quantized(x, np.array(0.05, np.float32))
            weight = self.quantized(
                weight, (np.abs(kernel).max(axis=(1, 2, 3)) / 127).astype(np.float32), axis=0
            )
        bias = self.constant(self.random.normal(0.0, 0.1, out).astype(np.float32))
        return self.add("Conv", x, weight, bias, pads=[size // 2] * 4)


def write_tiny_model(
    path: Path,
    card: ModelCard | None = None,
    outputs: tuple[str, ...] = ("labels", "depth", "normals"),
    labels_type: int = TensorProto.UINT8,
    depth_rank: int = 3,
    card_json: str | None = None,
) -> Path:
    """Write the graph; the options after `outputs` break the contract in one way each.

    Args:
        path: File to write.
        card: Its card; its precision decides how the graph computes.
        outputs: Which outputs it has.
        labels_type: ONNX element type of `labels`.
        depth_rank: 3 as the contract says, or 4 to leave the channel axis in.
        card_json: Text to store in place of the card's own; empty: no card at all.
    """
    if card is None:
        tasks = tuple(task for task in tiny_card().tasks if TASK_OUTPUTS[task] in outputs)
        confidence = {"temperature": 1.0} if "confidence" in outputs else {}
        card = replace(tiny_card(), tasks=tasks, confidence=confidence)
    half = card.precision == "fp16"
    int8 = card.precision == "int8"
    graph = _Graph(TensorProto.FLOAT16 if half else TensorProto.FLOAT)

    x = graph.add("Cast", "image", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Sub", x, graph.constant(np.full((1, 3, 1, 1), 115.0, np.float32), exact=True))
    x = graph.add("Div", x, graph.constant(np.full((1, 3, 1, 1), 60.0, np.float32), exact=True))
    if half:
        x = graph.add("Cast", x, to=TensorProto.FLOAT16)
    x = graph.add("Relu", graph.convolution(x, CHANNELS, 3, 3, int8))
    heads = {
        "labels": graph.convolution(x, CLASSES, CHANNELS, 1, int8),
        "depth": graph.convolution(x, 1, CHANNELS, 3, int8),
        "normals": graph.convolution(x, 3, CHANNELS, 3, int8),
    }
    if half:
        heads = {name: graph.add("Cast", y, to=TensorProto.FLOAT) for name, y in heads.items()}
    if "labels" in outputs:
        y = graph.add("ArgMax", heads["labels"], axis=1, keepdims=0)
        if labels_type == TensorProto.UINT8:
            y = graph.add("Cast", y, to=TensorProto.FLOAT)
        graph.add("Cast", y, to=labels_type, output="labels")
    if "confidence" in outputs:
        y = graph.add(
            "ReduceMax", graph.add("Softmax", heads["labels"], axis=1), axes=[1], keepdims=0
        )
        y = graph.add("Mul", y, graph.constant(np.array(255.0, np.float32), exact=True))
        graph.add("Cast", graph.add("Round", y), to=TensorProto.UINT8, output="confidence")
    if "depth" in outputs:
        y = graph.add("Exp", graph.add("Tanh", heads["depth"]))
        if depth_rank == 3:
            axis = graph.constant(np.array([1], np.int64), exact=True)
            graph.add("Squeeze", y, axis, output="depth")
        else:
            graph.add("Identity", y, output="depth")
    if "normals" in outputs:
        y = graph.add("Transpose", heads["normals"], perm=[0, 2, 3, 1])
        length = graph.add("ReduceL2", y, axes=[3], keepdims=1)
        tiny = graph.constant(np.array(1e-6, np.float32), exact=True)
        graph.add("Div", y, graph.add("Max", length, tiny), output="normals")

    shapes: dict[str, tuple[int, list[object]]] = {
        "labels": (labels_type, ["N", HEIGHT, WIDTH]),
        "confidence": (TensorProto.UINT8, ["N", HEIGHT, WIDTH]),
        "depth": (TensorProto.FLOAT, ["N", *[1] * (depth_rank - 3), HEIGHT, WIDTH]),
        "normals": (TensorProto.FLOAT, ["N", HEIGHT, WIDTH, 3]),
    }
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tiny",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3])],
            [helper.make_tensor_value_info(name, *shapes[name]) for name in outputs],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    text = card.to_json() if card_json is None else card_json
    if text:
        helper.set_model_props(model, {METADATA_KEY: text})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def random_images(batch: int, seed: int = 1) -> NDArray[np.uint8]:
    """uint8 [N,H,W,3]: smooth colours with noise, so that labels form regions and borders."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [
        128 + 100 * np.sin(x / random.uniform(3, 20) + y / random.uniform(3, 20))
        for _ in range(3 * batch)
    ]
    smooth = np.stack(waves).reshape(batch, 3, HEIGHT, WIDTH).transpose(0, 2, 3, 1)
    noisy = smooth + random.normal(0, 12, smooth.shape)
    return np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8))
