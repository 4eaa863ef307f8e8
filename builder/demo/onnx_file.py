"""Writes the tagger's network as ONNX, node by node, with fp16 weights that are widened when it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from torch import Tensor, nn

if TYPE_CHECKING:
    from builder.demo.train_tagger import Tagger

OPSET, FORMAT = 17, 9
INPUT, OUTPUT = "input", "predictions"


class Graph:
    """Nodes in order, and the numbers they use."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.numbers: list[TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        """Append a node; returns the name of what it gives."""
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        """Store numbers; returns their name."""
        name = f"numbers_{len(self.numbers)}"
        self.numbers.append(numpy_helper.from_array(value, name))
        return name

    def layer(self, kind: str, state: str, layer: nn.Conv2d | nn.Linear, **attributes: object) -> str:
        """Append a layer with its weight and bias, stored as fp16."""
        weights = [self._weight(value) for value in (layer.weight, layer.bias)]
        return self.add(kind, state, *weights, **attributes)

    def cut(self, state: str, begin: int, end: int) -> str:
        """Append a slice of the second dimension."""
        return self.add("Slice", state, *(self.constant(np.array([value])) for value in (begin, end, 1)))

    def shaped(self, state: str, *shape: int) -> str:
        """Append a change of shape; 0 keeps a dimension."""
        return self.add("Reshape", state, self.constant(np.array(shape)))

    def _weight(self, value: Tensor) -> str:
        return self.add("Cast", self.constant(value.detach().half().numpy()), to=TensorProto.FLOAT)


def tagger_bytes(network: Tagger, side: int, ratings: int) -> bytes:
    """The file's content. side: of the pictures; ratings: how many rows come before the shapes."""
    graph = Graph()
    state = graph.add("Transpose", INPUT, perm=[0, 3, 1, 2])
    state = graph.add("Div", state, graph.constant(np.float32([127.5])))
    state = graph.add("Sub", state, graph.constant(np.float32([1.0])))
    state = graph.add("Relu", graph.layer("Conv", state, network.patches, strides=[*network.patches.stride]))
    for layer in network.around:
        state = graph.add("Relu", graph.layer("Conv", state, layer, pads=[1, 1, 1, 1]))
    mean = graph.add("Flatten", graph.add("GlobalAveragePool", state))
    rest = graph.add("Sigmoid", graph.layer("Gemm", mean, network.ground, transB=1))
    grounds = network.ground.out_features
    parts = graph.cut(rest, 0, ratings), _shapes(graph, state, network), graph.cut(rest, ratings, grounds)
    graph.add("Concat", *parts, output=OUTPUT, axis=1)
    rows = grounds + network.colours.out_channels * (network.kinds.out_channels - 1)
    return _model(graph, side, rows).SerializeToString()


def _shapes(graph: Graph, state: str, network: Tagger) -> str:
    """How sure the surest field is of each colour and kind: [n, colours * kinds]."""
    colours, kinds = network.colours.out_channels, network.kinds.out_channels - 1
    coloured = graph.add("Softmax", graph.layer("Conv", state, network.colours), axis=1)
    known = graph.add("Softmax", graph.layer("Conv", state, network.kinds), axis=1)
    known = graph.shaped(graph.cut(known, 1, kinds + 1), 0, 1, kinds, -1)
    sure = graph.add("Mul", graph.shaped(coloured, 0, colours, 1, -1), known)
    return graph.add("Flatten", graph.add("ReduceMax", sure, axes=[3], keepdims=0))


def _model(graph: Graph, side: int, rows: int) -> ModelProto:
    taken = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", side, side, 3])
    given = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", rows])
    made = helper.make_graph(graph.nodes, "tagger", [taken], [given], graph.numbers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT)
    checker.check_model(model)
    return model
