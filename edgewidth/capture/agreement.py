"""Whether a network as it was captured computes what its program does, on random images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from edgewidth.errors import InputError
from edgewidth.training.networks.inference import fold_tensors, run_folded
from edgewidth.training.networks.layers import LayerTensors
from edgewidth.training.networks.supernet import Moments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewidth.capture.program import Program
    from edgewidth.graph.spec import NetworkSpec

TOLERANCE = 1e-3
"""Of the spread of the outputs. A wrong layer changes far more, and the order of sums far less in most networks."""
ROUNDING = 1e-5
"""Of the largest output: what float32 loses where all outputs are nearly the same."""
SHAKEN = 1e-5
"""By so much pixels are changed to see what a network makes of next to nothing, whose pixels are about 1."""
CHAOS = 10
"""So many times what comes of that is still no sign of another network."""


@torch.no_grad()
def check_agreement(
    program: Program,
    image: Sequence[int],
    network: NetworkSpec,
    widths: Mapping[str, int],
    weights: Mapping[str, Tensor],
) -> None:
    """Compare what both give for the same random images; a program that cannot tell well is taken as it is.

    One tells little that computes in half precision, gives no finite numbers for such images, or cannot run here, since
    it was exported on another device.

    Args:
        program: What was captured.
        image: The shape of its batch, (n, channels, height, width).
        network: As it was captured, with its own outputs.
        widths: Of its width variables in the program.
        weights: See ``Captured``.

    Raises:
        InputError: They differ. Nothing that is known leads there; it guards against what is not.
    """
    images, noise = torch.randn(2, *image, generator=torch.Generator().manual_seed(0))
    expected = None if _is_coarse(program) else _outputs_of(program, images)
    if expected is None or not expected.isfinite().all():
        return
    found = run_folded(network, widths, fold_tensors(*_tensors(network, weights)), images)
    error, spread = (found - expected).abs().max(), expected.max() - expected.min()
    if error <= TOLERANCE * spread + ROUNDING * expected.abs().max():
        return
    # A deep network of random weights may make much of the last digits, which depend on the order of sums.
    shaken = _outputs_of(program, images + SHAKEN * noise)
    if shaken is None or error <= CHAOS * (shaken - expected).abs().max():
        return
    raise InputError(
        f"{program.name} was captured as another network: of random images it makes outputs that are up to "
        f"{error:.3g} away from the module's, which lie between {expected.min():.3g} and {expected.max():.3g}.",
        remedy="This is a defect of edgewidth; please report it with the network, or as much of it as shows it.",
    )


def _outputs_of(program: Program, images: Tensor) -> Tensor | None:
    """What the program itself gives; None: it cannot run here."""
    given: list[Any] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            is_input = node.name == program.input
            given.append(images.to(node.meta["val"].dtype) if is_input else program.tensors.get(node.name))
    try:
        outputs: tuple[Tensor] = fx.Interpreter(fx.GraphModule({}, program.graph)).run(*given)
    except Exception:  # noqa: BLE001 - operators raise what they like
        return None
    return outputs[0].float()


def _is_coarse(program: Program) -> bool:
    """Whether it computes something with fewer digits than float32 has."""
    made = (node.meta.get("val") for node in program.graph.nodes)
    return any(isinstance(one, Tensor) and one.dtype in {torch.float16, torch.bfloat16} for one in made)


def _tensors(network: NetworkSpec, weights: Mapping[str, Tensor]) -> tuple[dict[str, LayerTensors], dict[str, Moments]]:
    """The weights of every layer, and its statistics where it has any."""
    tensors, moments = {}, {}
    for layer in network.layers:
        if layer.kernel:
            kernel, shift, scale = (weights.get(f"layers.{layer.name}.{key}") for key in ("kernel", "shift", "scale"))
            tensors[layer.name] = LayerTensors(kernel, shift, scale, getattr(layer.operator, "epsilon", 0.0))
        if layer.operator.normalised:
            mean, variance = (weights[f"statistics.{layer.name}.{key}"] for key in ("mean", "variance"))
            moments[layer.name] = Moments(mean, variance)
    return tensors, moments
