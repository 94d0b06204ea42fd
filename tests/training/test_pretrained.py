"""Weights of one's own arrive where they should, and training from them begins where they left off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import small_data, small_recipe, small_space, supernet_files

from edgewidth.errors import FileError, InputError, MismatchError
from edgewidth.graph.space import ChannelConfig
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.ledger import remove
from edgewidth.stages.train import train
from edgewidth.training.finetune import finetune_network
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.pretrained import start_from
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.networks.weights import load_supernet, read_tensors, save_plain, save_supernet
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.graph.space import SearchSpace

SPACE = small_space()


def wider_space(*, num_classes: int = 3) -> SearchSpace:
    space = small_space(num_classes=num_classes)
    choices = {"a": (4, 20), "b": (8, 24)}
    variables = tuple(v.model_copy(update={"choices": choices[v.name]}) for v in space.variables)
    return space.model_copy(update={"variables": variables})


def corner(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What two tensors have in common, of the first."""
    return tensor[tuple(slice(0, min(pair)) for pair in zip(tensor.shape, like.shape, strict=True))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("trained"))
    train_supernet(SPACE, small_data(), small_recipe(), seed=0, **supernet_files(folder))
    return folder


def test_a_supernet_of_the_same_space_arrives_whole(trained: RunFolder) -> None:
    network = Supernet(SPACE, seed=9)
    assert start_from(network, trained.supernet) == []
    own, whole = network.state_dict(), load_supernet(trained.supernet).state_dict()
    assert all(torch.equal(own[name], whole[name]) for name in whole)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("here", "there"), [(SPACE, wider_space()), (wider_space(), SPACE)])
def test_of_other_widths_the_first_channels_arrive(
    tmp_path: Path, here: SearchSpace, there: SearchSpace, *, plain: bool
) -> None:
    """From wider and narrower files, of supernets and plain networks; what the file lacks stays random.

    But the channels that it has read those that it lacks with zeros.
    """
    path = tmp_path / "own.safetensors"
    if plain:
        save_plain(PlainNetwork(there, there.largest, seed=1), path)
    else:
        save_supernet(Supernet(there, seed=1), path)
    before, given = Supernet(here, seed=2).state_dict(), load_file(path)
    network = Supernet(here, seed=2)
    assert start_from(network, path) == []
    for name, tensor in network.state_dict().items():
        assert torch.equal(corner(tensor, given[name]), corner(given[name], tensor))
        outside = torch.ones_like(tensor, dtype=torch.bool)
        corner(outside, given[name]).fill_(value=False)
        has_row = torch.zeros_like(tensor, dtype=torch.bool)
        has_row[: len(given[name])] = True
        assert torch.equal(tensor[outside], torch.where(has_row, 0, before[name])[outside])


def test_a_head_of_other_classes_starts_anew(tmp_path: Path) -> None:
    """Only the head."""
    path = tmp_path / "own.safetensors"
    save_supernet(Supernet(wider_space(num_classes=5), seed=1), path)
    network, before = Supernet(SPACE, seed=2), Supernet(SPACE, seed=2).state_dict()
    assert start_from(network, path) == ["logits"]
    after, given = network.state_dict(), load_file(path)
    for name, tensor in after.items():
        expected = before[name] if name.startswith("layers.logits") else corner(given[name], tensor)
        assert torch.equal(tensor, expected)


def test_any_safetensors_with_these_names_is_read(tmp_path: Path) -> None:
    """Another program's, in half precision, without a header."""
    path = tmp_path / "own.safetensors"
    source = {name: tensor.half().contiguous() for name, tensor in Supernet(SPACE, seed=1).state_dict().items()}
    save_file(source, path)
    network = PlainNetwork(SPACE, ChannelConfig((8, 12)), seed=2)
    start_from(network, path)
    own = dict(network.named_parameters())
    assert all(torch.equal(own[name], corner(source[name], own[name]).float()) for name in own)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.stem.kernel": None}, r"there is no layers\.stem\.kernel, of shape any \(here 12\) × 1 × 3 × 3"),
        ({"layers.stem.kernel": (12, 3, 3, 3)}, "has shape 12 × 3 × 3 × 3, and should have any .* × 1 × 3 × 3"),
        ({"layers.spatial.kernel": (16, 1, 5, 5)}, "has shape 16 × 1 × 5 × 5, and should have any .* × 1 × 3 × 3"),
        ({"layers.spatial.kernel": (16, 16, 3, 3)}, "layers.spatial.kernel has shape 16 × 16 × 3 × 3"),
        ({"layers.inner.scale": (16, 1)}, "has shape 16 × 1, and should have any"),
        ({"layers.another.kernel": (3, 3)}, r"layers\.another\.kernel is no tensor of this network"),
        ({"layers.inner.scale": float("nan")}, "layers.inner.scale holds other values than finite"),
        ({"layers.inner.scale": torch.float8_e4m3fn}, "layers.inner.scale holds other values than finite"),
        ({"layers.inner.scale": torch.int32}, "layers.inner.scale holds other values than finite"),
        ({"layers.inner.scale": (3,)}, r"inner\.scale has 3 of the channels of which layers\.inner\.kernel has 16"),
        ({"layers.outer.kernel": (12, 7, 1, 1)}, r"outer\.kernel has 7 of the channels of which .*ner\.kernel has 16"),
        ({"layers.logits.shift": (5,)}, r"logits\.shift has 5 of the channels of which layers\.logits\.kernel has 3"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, tuple[int, ...] | torch.dtype | float | None], message: str
) -> None:
    """Which tensor, what it has and what it should have."""
    tensors = {name: tensor.contiguous() for name, tensor in Supernet(SPACE).state_dict().items()}
    for name, value in change.items():
        tensor = tensors.pop(name, None)
        if isinstance(value, torch.dtype):
            assert tensor is not None
            tensors[name] = tensor.to(value)
        elif value is not None:
            tensors[name] = torch.zeros(value) if isinstance(value, tuple) else torch.full((16,), value)
    save_file(tensors, tmp_path / "own.safetensors")
    with pytest.raises(FileError, match=message) as error:
        start_from(Supernet(SPACE), tmp_path / "own.safetensors")
    assert error.value.remedy


def test_weights_that_torch_saved_are_told_how_to_convert(tmp_path: Path) -> None:
    """What is there no more is told alike."""
    torch.save(Supernet(SPACE).state_dict(), tmp_path / "own.pt")
    for name in ("own.pt", "nowhere.safetensors"):
        with pytest.raises(FileError, match="could not be read as safetensors") as error:
            start_from(Supernet(SPACE), tmp_path / name)
        assert "safetensors.torch.save_file" in (error.value.remedy or "")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "its schema is None"),
        ([1], "its schema is None"),
        ({"schema": "edgewidth/weights"}, "its schema is 'edgewidth/weights'"),
        ({"schema": "edgewidth/supernet"}, "does not describe its search space"),
        ({"schema": "edgewidth/supernet", "space": [1]}, "does not describe its search space"),
        ({"schema": "edgewidth/supernet", "space": "{}"}, "does not describe its search space: network"),
    ],
)
def test_a_header_of_another_program_is_no_supernet(tmp_path: Path, header: object, message: str) -> None:
    """As weights to begin with the same file does: its header says nothing of them."""
    path = tmp_path / "own.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in Supernet(SPACE, seed=1).state_dict().items()}
    save_file(tensors, path, None if header is None else {"edgewidth": json.dumps(header)})
    with pytest.raises(FileError, match=message) as error:
        load_supernet(path, SPACE)
    assert "edgewidth train" in (error.value.remedy or "")
    assert start_from(Supernet(SPACE), path) == []


@pytest.mark.parametrize("spoilt", [None, torch.zeros(3), torch.zeros(16, dtype=torch.float8_e5m2)])
def test_a_supernet_that_was_changed_is_refused(tmp_path: Path, spoilt: torch.Tensor | None) -> None:
    path, name = tmp_path / "own.safetensors", "layers.inner.scale"
    save_supernet(Supernet(SPACE), path)
    tensors, header = load_file(path) | {name: spoilt}, read_tensors(path)[1]
    left = {key: tensor for key, tensor in tensors.items() if tensor is not None}
    save_file(left, path, {"edgewidth": json.dumps(header)})
    with pytest.raises(FileError, match=f"{name} is missing, or has another shape or type") as error:
        load_supernet(path, SPACE)
    assert error.value.remedy


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_supernet_that_diverged_is_refused(tmp_path: Path, value: float) -> None:
    """In a loop of one's own nobody need have looked; its losses would be no numbers."""
    supernet = Supernet(SPACE)
    with torch.no_grad():
        supernet.get_parameter("layers.inner.scale")[3] = value
    save_supernet(supernet, tmp_path / "own")
    with pytest.raises(FileError, match=r"layers\.inner\.scale holds other values than finite numbers") as error:
        load_supernet(tmp_path / "own", SPACE)
    assert "did not diverge" in (error.value.remedy or "")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_supernet_of_other_precision_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    """From a loop of one's own that trains in it."""
    supernet = Supernet(SPACE, seed=1).to(dtype)
    save_supernet(supernet, tmp_path / "own")
    for name, tensor in load_supernet(tmp_path / "own", SPACE).state_dict().items():
        assert torch.equal(tensor, supernet.state_dict()[name].float())


def test_training_begins_where_the_weights_left_off(trained: RunFolder, tmp_path: Path) -> None:
    """The first epoch's loss is far below that from random weights, for a supernet and for one network."""
    scratch, warm = RunFolder(tmp_path / "scratch"), RunFolder(tmp_path / "warm")
    losses = {}
    for folder, weights in ((scratch, None), (warm, trained.supernet)):
        space = wider_space() if weights else SPACE
        train_supernet(space, small_data(), small_recipe(), seed=1, weights=weights, **supernet_files(folder))
        finetune_network(
            SPACE,
            ChannelConfig((8, 12)),
            small_data(),
            small_recipe(),
            supernet=None,
            weights=weights,
            weights_out=folder.weights,
            log=folder.finetune_log,
            checkpoints=folder.checkpoints,
            seed=1,
        )
        logs = (folder.training_log, folder.finetune_log)
        losses[folder] = [json.loads(log.read_text().splitlines()[0])["loss"] for log in logs]
    assert all(a < 0.7 * b for a, b in zip(losses[warm], losses[scratch], strict=True))


def test_a_supernet_that_began_otherwise_is_not_taken_for_this_one(trained: RunFolder, tmp_path: Path) -> None:
    """It is for these weights if it began with them."""
    folder, data, recipe = RunFolder(tmp_path), small_data(), small_recipe()
    losses = train(SPACE, data, recipe, folder, weights=trained.supernet)
    assert train(SPACE, data, recipe, folder, weights=trained.supernet) == losses
    with pytest.raises(MismatchError, match="otherwise; weights to begin with: not the same"):
        train(SPACE, data, recipe, folder, weights=folder.supernet)


def test_what_is_needed_is_not_removed(tmp_path: Path) -> None:
    """Nor is anything else then."""
    for name in ("old", "needed"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="which is needed"):
        remove(tmp_path / "old", tmp_path / "needed", needed=[tmp_path / "x" / ".." / "needed"])
    assert (tmp_path / "old").exists()
