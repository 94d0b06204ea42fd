"""Training that begins with trained weights: what it begins with, that it goes on, and what is chosen of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import RESOLUTION, KillAfter, Killed, small_data, small_recipe, small_space, supernet_files
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.capture.capture import capture
from edgewidth.data.augmentation import Augmentation
from edgewidth.graph.families.ranges import WidthRanges, space_around
from edgewidth.graph.normalised import with_batch_norm
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.provenance import Digest, file_digest
from edgewidth.records.training import FINAL_START, START
from edgewidth.records.training import RECIPE as RECIPE_NAME
from edgewidth.records.weights_file import network_facts, supernet_provenance
from edgewidth.stages.finetune import finetune
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.train import train
from edgewidth.streams import Purpose, stream
from edgewidth.training.evaluation import Evaluator
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.pretrained import save_brought, trained_network
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.networks.weights import load_plain, load_supernet, save_plain, save_supernet
from edgewidth.training.ordinary import finish
from edgewidth.training.recipes import Phase
from edgewidth.training.start import adapted_network
from edgewidth.training.train import _sample, train_supernet

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.data.pixels import Inputs
    from edgewidth.training.networks.plain import PlainNetwork as Plain

SPACE, DATA, RECIPE = small_space(), small_data(), small_recipe(passes=2)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained the ordinary way, at widths that the space does not have."""
    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    variables = tuple(v.model_copy(update={"choices": (v.base + 2,)}) for v in SPACE.variables)
    space = SearchSpace(network=SPACE.network, variables=variables)
    folder = RunFolder(path.parent)
    network = finetune(space, space.largest, DATA, RECIPE, folder, supernet=None)
    save_plain(network, path)
    return path


@pytest.fixture(scope="module")
def trained(own: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("trained"))
    train(SPACE, DATA, RECIPE, folder, weights=own)
    return folder


def accuracy(network: Plain) -> float:
    return DATA.task.score(network_outputs(network, DATA.search.images), DATA.search.targets)


def test_the_given_network_is_trained_ordered_and_kept(own: Path, trained: RunFolder) -> None:
    """At its own widths; what the supernet was trained with is told."""
    network = load_plain(trained.trained)
    assert network.widths == load_plain(own).widths
    assert accuracy(network) >= accuracy(load_plain(own)) - 5
    kernel = load_file(own)["layers.stem.kernel"]
    assert not torch.equal(network.state_dict()["layers.stem.kernel"], kernel)
    provenance = supernet_provenance(trained.supernet)
    assert provenance.inputs[START] == file_digest(own)
    assert provenance.options[RECIPE_NAME] == repr(RECIPE.trained.before_choice)
    assert not list(trained.checkpoints.glob("adapt-*"))
    [line, *_] = trained.trained_log.read_text().splitlines()
    assert json.loads(line)["loss"] < DATA.task.chance_loss


def test_a_killed_training_goes_on_as_if_it_had_not_been(own: Path, trained: RunFolder, tmp_path: Path) -> None:
    """In the given network's own training, and in the supernet's after it."""
    for steps in (5, 11):
        folder = RunFolder(tmp_path / str(steps))
        with pytest.raises(Killed):
            train_supernet(
                SPACE, DATA, RECIPE, seed=0, weights=own, progress=KillAfter(steps), **supernet_files(folder)
            )
        assert not folder.supernet.exists()
        train_supernet(SPACE, DATA, RECIPE, seed=0, weights=own, **supernet_files(folder))
        whole, broken = load_supernet(trained.supernet).state_dict(), load_supernet(folder.supernet).state_dict()
        assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_a_supernet_is_taken_as_it_is(own: Path, tmp_path: Path) -> None:
    """Its first channels are its most important ones, and no network of one width is trained first."""
    del own
    save_supernet(Supernet(SPACE, seed=1), tmp_path / "other.safetensors")
    folder = RunFolder(tmp_path)
    train_supernet(SPACE, DATA, RECIPE, seed=0, weights=tmp_path / "other.safetensors", **supernet_files(folder))
    assert folder.supernet.exists()
    assert not folder.trained.exists()


def test_widths_are_wide_at_first() -> None:
    """Half of the published ones at least; then all that the space has."""
    rng = stream(0, Purpose.WIDTHS)
    early = {_sample(SPACE, rng, RECIPE.trained, 0.4) for _ in range(100)}
    late = {_sample(SPACE, rng, RECIPE.trained, 0.6) for _ in range(200)}
    assert early == {ChannelConfig((a, b)) for a in (4, 8, 12) for b in (8, 12, 16)}
    assert late == {ChannelConfig((a, b)) for a in (4, 8, 12) for b in (4, 8, 12, 16)}


def test_weights_without_a_head_begin_one_anew(own: Path, tmp_path: Path) -> None:
    """As a network that was captured for other classes comes."""
    tensors = {name: tensor for name, tensor in load_file(own).items() if not name.startswith("layers.logits")}
    save_file(tensors, tmp_path / "headless.safetensors")
    said = KillAfter()
    folder = RunFolder(tmp_path)
    weights = tmp_path / "headless.safetensors"
    train_supernet(SPACE, DATA, RECIPE, seed=0, weights=weights, progress=said, **supernet_files(folder))
    assert any("but for logits" in text for text in said.said)
    assert Evaluator(load_supernet(folder.supernet), DATA).loss(SPACE.largest) < 0.8 * DATA.task.chance_loss


class Unnormalised(nn.Sequential):
    """A network without batch normalisation, certain of its answers, for pixels normalised as torch's users do."""

    MEAN, STD = 0.3, 0.2

    def __init__(self) -> None:
        torch.manual_seed(0)
        convs = nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU()
        head = nn.Linear(12, 3)
        head.weight.data.mul_(20)
        super().__init__(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

    @torch.no_grad()
    def answers(self, images: Inputs) -> Tensor:
        """For pixels as they are stored."""
        found: Tensor = self((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - self.MEAN) / self.STD)
        return found


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> tuple[Unnormalised, SearchSpace, Path]:
    """That network, and its weights as they are kept in a run folder, with batch normalisation in the search space."""
    module, path = Unnormalised(), tmp_path_factory.mktemp("brought") / "given.safetensors"
    captured = capture(module, torch.zeros(2, 1, RESOLUTION, RESOLUTION))
    space = space_around(with_batch_norm(captured.network), captured.base_widths, WidthRanges(with_base=True))
    normalisation: dict[str, Any] = {"mean": (module.MEAN,), "std": (module.STD,)}
    save_brought(space, captured.weights, path, source=path, asked="", **normalisation)
    return module, space, path


STILL = Phase(images=0, passes=1, batch=len(DATA.train), learning_rate=1e-9, augmentation=Augmentation(shift=0.0))
"""One step on all images that changes next to nothing."""


def check_first_loss(module: Unnormalised, log: Path) -> None:
    """Training must begin with what the network that was given loses."""
    targets = torch.from_numpy(DATA.train.targets)
    expected = float(functional.cross_entropy(module.answers(DATA.train.images), targets))
    assert json.loads(log.read_text().splitlines()[0])["loss"] == pytest.approx(expected, rel=0.02)


def test_a_network_without_batch_normalisation_loses_nothing_when_its_training_begins(
    brought: tuple[Unnormalised, SearchSpace, Path], tmp_path: Path
) -> None:
    """It is put in for the supernet's sake, and must compute what the network did, in training and in inference."""
    module, space, path = brought
    _, given = trained_network(space, path, seed=0)
    assert given.folded == ("layer_0", "layer_2")
    phases = replace(RECIPE.trained, adapt=STILL)
    log, checkpoints = tmp_path / "log.jsonl", tmp_path / "checkpoints"
    network = adapted_network(space, DATA, phases, path, log=log, checkpoints=checkpoints, seed=0, progress=KillAfter())
    check_first_loss(module, log)
    expected = module.answers(DATA.test.images).numpy()
    np.testing.assert_allclose(network_outputs(network, DATA.test.images), expected, atol=0.02 * np.ptp(expected))


def test_nor_does_it_when_it_is_trained_at_one_width(
    brought: tuple[Unnormalised, SearchSpace, Path], tmp_path: Path
) -> None:
    """From the same file, without a supernet."""
    module, space, path = brought
    folder, own = RunFolder(tmp_path), ChannelConfig(variable.base for variable in space.variables)
    recipe = replace(RECIPE, trained=replace(RECIPE.trained, finetune=STILL))
    finetune(space, own, DATA, recipe, folder, supernet=None, weights=path)
    check_first_loss(module, folder.finetune_log)


class Preactivated(nn.Module):
    """A first convolution without a bias, which a residual connection reads beside the normalisation after it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8)
        self.conv, self.head = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        y = self.stem(x)
        found: Tensor = self.head((y + self.conv(functional.relu(self.norm(y)))).mean((2, 3)))
        return found


def test_pixels_of_other_normalisation_are_absorbed_where_the_first_layer_has_no_bias(tmp_path: Path) -> None:
    """It gets one."""
    torch.manual_seed(0)
    module, mean, std, path = Preactivated().eval(), 0.3, 0.2, tmp_path / "given.safetensors"
    captured = capture(module, torch.zeros(2, 1, RESOLUTION, RESOLUTION))
    space = space_around(with_batch_norm(captured.network), captured.base_widths, WidthRanges(with_base=True))
    save_brought(space, captured.weights, path, source=path, mean=(mean,), std=(std,), asked="")
    images = DATA.test.images
    with torch.no_grad():
        expected = module((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
    found = network_outputs(trained_network(space, path, seed=0)[0], images)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("better", ["supernet", "trained"])
def test_the_chosen_network_starts_from_the_better_one(trained: RunFolder, tmp_path: Path, better: str) -> None:
    """On the search images: of the supernet and the trained network, one is spoiled."""
    folder, config = RunFolder(tmp_path), ChannelConfig((8, 12))
    provenance = supernet_provenance(trained.supernet)
    supernet, network = load_supernet(trained.supernet), load_plain(trained.trained)
    for module in (network,) if better == "supernet" else (supernet,):
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name.endswith("outer.kernel") or name.startswith("layers.logits"):
                    parameter.copy_(torch.randn_like(parameter))
    save_supernet(supernet, folder.supernet, provenance=provenance)
    save_plain(network, folder.trained)
    said = KillAfter()
    still = replace(RECIPE.trained.finetune, learning_rate=1e-9)
    recipe = replace(RECIPE, trained=replace(RECIPE.trained, finetune=still))
    made = finetune(SPACE, config, DATA, recipe, folder, supernet=folder.supernet, progress=said)
    assert any("better there than the supernet" in text for text in said.said) == (better == "trained")
    start = PlainNetwork.from_supernet(supernet, config)
    if better == "trained":
        start = PlainNetwork(SPACE, config)
        for name, tensor in start.state_dict().items():
            given = network.state_dict()[name]
            with torch.no_grad():
                tensor.copy_(given[tuple(slice(n) for n in tensor.shape)])
    began_with = folder.supernet if better == "supernet" else folder.trained
    assert network_facts(folder.weights)[FINAL_START] == Digest(file_digest(began_with))
    finish(start, DATA, seed=0)
    np.testing.assert_allclose(
        network_outputs(made, DATA.search.images), network_outputs(start, DATA.search.images), rtol=1e-3, atol=1e-3
    )
