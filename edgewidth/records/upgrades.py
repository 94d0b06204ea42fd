"""How documents of older versions become those of this one, where several hold the same old record."""

from __future__ import annotations

from typing import Any


def name_visits(*contents: dict[str, Any] | None) -> None:
    """Rename ``blocks``, as visits were called in version 1, in estimates and in what lists visits."""
    for content in contents:
        if content is not None:
            content["visits"] = content.pop("blocks")


def name_splits(data: dict[str, Any]) -> None:
    """Call the splits of the images as they are called now, in content that has ``DataFacts``."""
    data["holdout"], data["test"] = data.pop("judge"), data.pop("validation")


def name_accuracies(content: dict[str, Any]) -> None:
    """Call accuracies what they are whatever the task, in content that has ``artifacts``."""
    content["reference_accuracy_percent"] = content.pop("reference_top1_percent")
    for artifact in content["artifacts"]:
        artifact["metric"] = "top-1"
        for part in ("", "_low", "_high"):
            if f"top1{part}_percent" in artifact:
                artifact[f"accuracy{part}_percent"] = artifact.pop(f"top1{part}_percent")


def name_engine(content: dict[str, Any], version: str) -> None:
    """Make an ``Engine`` of ``runtime``, which was the launcher too where that was ``benchmark_model``.

    That ONNX Runtime was launched by its native program shows in the ``version``: that of a program is a digest.
    """
    name = content.pop("runtime")
    launcher = "onnxruntime_perf_test" if version.startswith("sha256:") else "python"
    content["engine"] = {
        "runtime": "litert" if name == "benchmark_model" else name,
        "accelerator": "cpu",
        "launcher": name if name == "benchmark_model" else launcher,
    }
