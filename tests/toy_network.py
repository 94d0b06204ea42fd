"""A network with concatenations and residual connections, strided ones too, and the same network written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.graph.operators import Add, Concatenate, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgewidth.graph.space import ChannelConfig

SIZE, CHANNELS, FIXED, OUTPUTS = 12, 3, 3, 4
NORM_EPSILON = 1e-3


def toy_space(choices: Sequence[int] = (2, 5, 8)) -> SearchSpace:
    """Four variables; ``join`` has the segments b, 3 and c, and ``twice`` has d two times."""
    nodes = (
        Node(name="stem", operator=Conv(width="a", kernel=3, stride=2, activation="relu6"), inputs=(INPUT,)),
        Node(name="left", operator=Conv(width="b", activation="relu6"), inputs=("stem",)),
        Node(name="fixed", operator=Conv(width=FIXED), inputs=("stem",)),
        Node(name="right", operator=Conv(width="c", kernel=3, activation="relu6"), inputs=("stem",)),
        Node(name="join", operator=Concatenate(), inputs=("left", "fixed", "right")),
        Node(name="spread", operator=Depthwise(kernel=3, activation="relu6"), inputs=("join",)),
        Node(name="main", operator=Conv(width="d", kernel=3, stride=2, activation="relu6"), inputs=("spread",)),
        Node(name="second", operator=Conv(width="d", kernel=3), inputs=("main",)),
        Node(name="shortcut", operator=Conv(width="d", stride=2), inputs=("join",)),
        Node(name="strided", operator=Add(activation="relu6"), inputs=("second", "shortcut")),
        Node(name="stay", operator=Conv(width="d", kernel=3), inputs=("strided",)),
        Node(name="same", operator=Add(), inputs=("stay", "strided")),
        Node(name="twice", operator=Concatenate(activation="relu6"), inputs=("same", "main")),
        Node(name="pool", operator=GlobalAveragePool(), inputs=("twice",)),
        Node(name="logits", operator=Dense(width=OUTPUTS), inputs=("pool",)),
    )
    network = NetworkSpec(family="toy", resolution=SIZE, in_channels=CHANNELS, nodes=nodes)
    variables = tuple(WidthVariable(name=name, base=5, choices=tuple(choices)) for name in "abcd")
    return SearchSpace(network=network, variables=variables)


def kept_channels(config: ChannelConfig, widest: int) -> dict[str, tuple[list[int], list[int]]]:
    """Which outputs and inputs of the widest kernels a configuration uses, written out by hand."""
    a, b, c, d = (list(range(width)) for width in config)
    fixed = list(range(FIXED))
    join = [*b, *(widest + i for i in fixed), *(widest + FIXED + i for i in c)]
    return {
        "stem": (a, list(range(CHANNELS))),
        "left": (b, a),
        "fixed": (fixed, a),
        "right": (c, a),
        "spread": (join, [0]),
        "main": (d, join),
        "second": (d, d),
        "shortcut": (d, join),
        "stay": (d, d),
        "logits": (list(range(OUTPUTS)), [*d, *(widest + i for i in d)]),
    }


def cut_by_hand(tensors: Mapping[str, Tensor], config: ChannelConfig, widest: int) -> dict[str, Tensor]:
    """Of tensors ``layer.kernel``, ``layer.scale`` … at the widest, what a configuration uses."""
    found = {}
    for name, (outs, ins) in kept_channels(config, widest).items():
        for key, tensor in tensors.items():
            if key.startswith(f"{name}."):
                found[key] = tensor[outs][:, ins] if tensor.ndim > 1 else tensor[outs]
    return found


class HandWritten(nn.Module):
    """The toy network in torch's own modules, with weights ``layer.kernel``, ``.bias``, or ``.scale`` and ``.shift``.

    With a scale, batch normalisation follows a kernel without a bias.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.steps, self.convs = nn.ModuleDict(), dict[str, nn.Conv2d]()
        strides = {"stem": 2, "main": 2, "shortcut": 2}
        for name in ("stem", "left", "fixed", "right", "spread", "main", "second", "shortcut", "stay"):
            kernel = weights[f"{name}.kernel"]
            groups = len(kernel) if name == "spread" else 1
            # SAME at an even size: at stride 2 a 3×3 kernel needs one more pixel, at the end.
            pads = (0, 1, 0, 1) if name in strides else (1, 1, 1, 1)
            padding = nn.ZeroPad2d(pads if kernel.shape[2] == 3 else 0)
            conv = nn.Conv2d(
                groups * kernel.shape[1], len(kernel), kernel.shape[2], strides.get(name, 1), groups=groups
            )
            conv.weight.data = kernel.clone()
            after: nn.Module = nn.Identity()
            if f"{name}.scale" in weights:
                conv.bias = None
                after = nn.BatchNorm2d(len(kernel), eps=NORM_EPSILON, momentum=None)
                after.weight.data, after.bias.data = (weights[f"{name}.{key}"].clone() for key in ("scale", "shift"))
            else:
                assert conv.bias is not None
                conv.bias.data = weights[f"{name}.bias"].clone()
            self.convs[name] = conv
            self.steps[name] = nn.Sequential(padding, conv, after)
        self.logits = nn.Linear(weights["logits.kernel"].shape[1], OUTPUTS)
        self.logits.weight.data = weights["logits.kernel"].clone()
        self.logits.bias.data = weights["logits.shift" if "logits.shift" in weights else "logits.bias"].clone()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalised images (n, channels, height, width)."""
        step: Callable[[str, Tensor], Tensor] = lambda name, value: self.steps[name](value)  # noqa: E731 - short
        relu6 = functional.relu6
        stem = relu6(step("stem", x))
        join = torch.cat([relu6(step("left", stem)), step("fixed", stem), relu6(step("right", stem))], 1)
        main = relu6(step("main", relu6(step("spread", join))))
        strided = relu6(step("second", main) + step("shortcut", join))
        twice = relu6(torch.cat([step("stay", strided) + strided, main], 1))
        found: Tensor = self.logits(twice.mean((2, 3)))
        return found
