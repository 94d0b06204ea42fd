"""What verbs print: one JSON document with ``--json``, else a text that has the document's important numbers."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from json_schema import problems
from pydantic import TypeAdapter

from edgewidth.cli.main import exit_code
from edgewidth.cli.verbs import VERBS
from edgewidth.devices.check import DeviceCheck
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.progress import times_text
from edgewidth.records.artifact import Artifacts
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.network import NetworkSummary
from edgewidth.records.report import Report
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport
from edgewidth.stages.fleet import ProfileOutcome
from edgewidth.stages.folder import RunFolder
from edgewidth.training.recipes import RECIPES, Phase, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgewidth.documents import Document

TINY = Recipe("tiny", Phase(images=600, passes=0), Phase(images=600, passes=0), evaluations=12)
NETWORK = "--resolution 32 --min-width 0.1 --max-width 0.3 --levels 3"
COMMANDS = {
    "run": f"run --device fake --recipe quick --target-error 20% {NETWORK} --out {{run}}",
    "devices list": "devices list",
    "devices check": "devices check fake",
    "init": "init --device fake --force --out {init}.toml",
    "network": "network mobilenet_v1",
    "profile": f"profile --device fake --target-error 20% {NETWORK} --out {{profile}}",
    "table show": "table show {run}/table.json",
    "table fit": "table fit {profile}",
    "train": f"train --recipe quick {NETWORK} --out {{train}}",
    "search": "search --table {run}/table.json --losses {run}/losses.json --force --out {search}",
    "finetune": f"finetune --config {{run}}/search.json --recipe quick --force {NETWORK} --out {{finetune}}",
    "export": "export --weights {run}/weights.safetensors --force --out {export}",
    "validate": "validate {run}/model_int8.tflite --device fake --budget 9s",
    "report": "report {run}",
}
"""Every verb, in an order in which each finds what it needs; each may be called again."""


SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report-schema.json").read_text(encoding="utf-8"))


class Said(NamedTuple):
    """How a verb ended, and what it wrote where."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


class Spoken(NamedTuple):
    """Every verb with ``--json`` and without, and the folder of the run."""

    as_json: dict[str, Said]
    as_text: dict[str, Said]
    run: RunFolder


def say(arguments: list[str]) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = exit_code(arguments)
    assert "Traceback" not in err.getvalue()
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    """On the fake device, with trainings of a second; the files of the run are taken for what export would make."""
    path = tmp_path_factory.mktemp("spoken")
    folders = {name: path / name for name in ("run", "profile", "train", "search", "finetune", "export", "init")}
    made = RunFolder(folders["run"])
    spoken = Spoken({}, {}, made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "quick", TINY)
        # What other tests validated on this device meanwhile would make the second interval another.
        patch.setattr("edgewidth.stages.validate.recall", lambda _: {})
        for name, command in COMMANDS.items():
            arguments = [word.format(**folders) for word in command.split()]
            if name == "train":  # the supernet of the run is of the same options
                shutil.copytree(folders["run"], folders["train"])
            if name == "export":  # converting takes long, and the run has done it
                patch.setattr("edgewidth.stages.export.export", lambda *_, **__: Artifacts.read(made.artifacts))
            spoken.as_json[name] = say([*arguments, "--json"])
            spoken.as_text[name] = say(arguments)
        yield spoken


def test_every_verb_is_here() -> None:
    assert {name.split()[0] for name in COMMANDS} == set(VERBS)


@pytest.mark.parametrize("name", COMMANDS)
def test_both_ways_end_alike(spoken: Spoken, name: str) -> None:
    """With 0, unless a run's file is over its budget by its own report."""
    expected = int(name == "run" and spoken.as_json[name].document["verdict"] != "within budget")
    assert spoken.as_json[name].code == spoken.as_text[name].code == expected, spoken.as_text[name].err


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("run", Report),
        ("network", NetworkSummary),
        ("table show", LatencyTable),
        ("table fit", LatencyTable),
        ("train", UnaryLosses),
        ("search", SearchResult),
        ("export", Artifacts),
        ("validate", ValidationReport),
        ("report", Report),
    ],
)
def test_a_document_is_printed_as_its_file_holds_it(
    spoken: Spoken, name: str, kind: type[Document], tmp_path: Path
) -> None:
    path = tmp_path / "document.json"
    path.write_text(spoken.as_json[name].out)
    assert kind.read(path).to_json() == spoken.as_json[name].out
    head = {"schema": kind.schema_name, "schema_version": kind.schema_version}
    assert head.items() <= spoken.as_json[name].document.items()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("devices list", list[DeviceProfile]),
        ("devices check", DeviceCheck),
        ("init", DeviceProfile),
        ("profile", list[ProfileOutcome]),
    ],
)
def test_what_is_no_file_is_printed_as_its_record(spoken: Spoken, name: str, kind: type) -> None:
    records: Any = TypeAdapter(kind).validate_json(spoken.as_json[name].out)
    assert TypeAdapter(kind).dump_python(records, mode="json", exclude_none=name in {"devices list", "init"}) == (
        spoken.as_json[name].document
    )


def test_a_finetuned_network_is_printed(spoken: Spoken) -> None:
    found = spoken.as_json["finetune"].document
    assert set(found) == {"config", "metric", "accuracy_percent", "weights"}
    assert found["config"] == json.loads(spoken.run.search.read_text())["chosen"]["config"]
    assert 0 <= found["accuracy_percent"] <= 100
    assert Path(found["weights"]).is_file()


@pytest.mark.parametrize("name", ["run", "report"])
def test_a_report_keeps_the_published_schema(spoken: Spoken, name: str) -> None:
    report = spoken.as_json[name].document
    assert problems(report, SCHEMA) == []
    assert problems(report | {"verdict": "fine"}, SCHEMA)
    assert problems(report | {"more": 1}, SCHEMA)
    assert problems(report | {"measured": report["measured"] | {"value_ms": "fast"}}, SCHEMA)


def ms(value: float) -> str:
    return f"{value:.4g} ms"


def of_artifacts(artifacts: list[dict[str, Any]]) -> Iterator[str]:
    for one in artifacts:
        yield from (one["file"], f"{one['size_bytes'] / 1e6:.2f} MB")
        yield from (f"{one['accuracy_percent']:.2f} %", f"{one['agreement_percent']:.2f} %")


def of_report(report: dict[str, Any]) -> Iterator[str]:
    yield from (report["verdict"].capitalize(), report["summary"], report["device"]["setting"]["hardware"])
    measured = report["measured"]
    yield from (ms(report["predicted"]["value_ms"]), ms(measured["value_ms"]))
    yield f"{measured['low_ms']:.4g} to {measured['high_ms']:.4g}"
    for row in report["widths"]:
        yield from (row["variable"], str(row["chosen"]), str(row["uniform_full"]))
    for row in report["candidates"]:
        yield from (row["method"], ms(row["predicted_ms"]), f"{row['macs'] / 1e6:.1f} M")
    yield from of_artifacts(report["artifacts"])
    for warning in report["warnings"]:
        yield from (warning["message"], *re.split("`.*?`", warning["remedy"]))


def of_network(network: dict[str, Any]) -> Iterator[str]:
    yield from (f"{network['macs'] / 1e6:.1f} M MACs", f"{network['parameters'] / 1e6:.2f} M parameters")
    yield f"{network['configurations']:.3g} configurations"
    for variable in network["variables"]:
        yield from (variable["variable"], f"{variable['choices'][0]} to {variable['choices'][-1]}")
    for layer in network["layers"]:
        yield from (layer["layer"], layer["operator"], layer["fixed"] or "")


def of_quality(quality: dict[str, Any]) -> Iterator[str]:
    yield f"{quality['fitted']} networks fitted; on {quality['held_out']} held out the error is"
    yield from (f"{quality['mape_percent']:.2f} %", f"worst {quality['worst_percent']:.2f} %", quality["verdict"])


def of_table(table: dict[str, Any]) -> Iterator[str]:
    yield from (table["setting"]["device"], table["setting"]["hardware"], table["statistic"], ms(table["offset_ms"]))
    yield from of_quality(table["quality"])
    for entry in table["entries"]:
        yield from (entry["layer"], ms(entry["values_ms"][0][0]), ms(entry["values_ms"][-1][-1]))


def of_profile(outcomes: list[dict[str, Any]]) -> Iterator[str]:
    for outcome in outcomes:
        yield from (outcome["device"], outcome["table"], ms(outcome["uniform_ms"]), ms(outcome["smallest_ms"]))
        yield from of_quality(outcome["quality"])


def of_losses(losses: dict[str, Any]) -> Iterator[str]:
    yield f"{len(losses['fitted'])} configurations fitted"
    for held in losses["held_out"]:
        yield from (f"{held['quality']['spearman']:.3f}", f"{held['quality']['r2']:.3f}")
    for one in losses["variables"]:
        yield from (one["variable"], f"{one['values'][0]:+.4f} ± {one['standard_errors'][0]:.4f}")


def of_search(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['budget']['latency_ms']:.4g} ms"
    yield f"{result['certificate']['gap']:.2g}"
    for choice in (result["chosen"], *result["baselines"].values()):
        yield from (ms(choice["predicted_ms"]), f"{choice['predicted_loss']:.4f}")
        yield choice["config"]


def of_validation(validation: dict[str, Any]) -> Iterator[str]:
    latency, budget = validation["estimate"], validation["budget"]
    yield from (validation["file"], ms(latency["value_ms"]), f"{latency['low_ms']:.4g} to {latency['high_ms']:.4g}")
    yield f"Within the budget of {ms(budget['latency_ms'])}"
    yield f"{100 * latency['value_ms'] / budget['latency_ms']:.1f} %"


NUMBERS: dict[str, Callable[[Any], Iterable[str]]] = {
    "run": of_report,
    "network": of_network,
    "devices list": lambda found: (one["name"] for one in found),
    "devices check": lambda check: (text for item in check["items"] for text in (item["name"], item["finding"])),
    "init": lambda profile: (profile["description"], f"{profile['name']}.toml", "devices check"),
    "profile": of_profile,
    "table show": of_table,
    "table fit": of_table,
    "train": of_losses,
    "search": of_search,
    "finetune": lambda found: (found["config"], f"{found['accuracy_percent']:.2f} %", found["weights"]),
    "export": lambda found: of_artifacts(found["artifacts"]),
    "validate": of_validation,
    "report": of_report,
}
"""What of its document a verb's text has, as it is written there."""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_text_has_the_numbers_of_the_document(spoken: Spoken, name: str) -> None:
    """Its warnings are on standard error, all else on standard output."""
    found = spoken.as_json[name].document
    expected = list(NUMBERS[name](found))
    text = " ".join((spoken.as_text[name].out + spoken.as_text[name].err).split())
    assert len(expected) > 2
    assert [one for one in expected if " ".join(one.split()) not in text] == []
    assert "`" not in text  # options stand in the place of parameters


def test_of_several_devices_one_that_fails_is_told(tmp_path: Path) -> None:
    """The other one's table is made even so, and the exit code is that of the failure."""
    broken = tmp_path / "broken.toml"
    broken.write_text('name = "broken"\ntransport = "local"\npython = "/no/such/python"\n')
    arguments = ["profile", "--device=fake", "--target-error=20%", f"--device={broken}", *NETWORK.split()]
    said = say([*arguments, "--json", "--out", str(tmp_path / "out")])
    works, fails = said.document
    assert (works["exit_code"], fails["exit_code"], said.code) == (0, 3, 3)
    assert "/no/such/python" in fails["error"]
    assert Path(works["table"]).is_file()


def test_a_run_says_what_it_will_do_and_what_comes_next(spoken: Spoken) -> None:
    """The plan has the recipe's own numbers; the command that it ends with is one."""
    from edgewidth.cli import validate

    said = spoken.as_json["run"].err.splitlines()
    plan = [line for line in said if re.match(r"  \d\. ", line)]
    assert [line[2] for line in plan] == list("12345")
    assert "fake" in plan[0]
    times = [re.search(r"(\d+) times ([\d,]+) images", line) for line in plan]
    counts = [(int(found[1]), int(found[2].replace(",", ""))) for found in times if found]
    assert [epochs * images for epochs, images in counts] == pytest.approx([600, 600], rel=1)
    assert len({images for _, images in counts}) == 1
    seconds = spoken.as_json["run"].document["seconds"]
    assert {"profile", "train", "search", "finetune", "export", "validate"} <= seconds.keys()
    assert f"Where the time went: {times_text(seconds)}." in said
    program, verb, *words = shlex.split(spoken.as_text["run"].out.splitlines()[-1])
    assert (program, verb) == ("edgewidth", "validate")
    given = validate.command.make_context(verb, words).params
    assert given["device"] == "fake"
    assert Path(given["model"]).parent == spoken.run.path
