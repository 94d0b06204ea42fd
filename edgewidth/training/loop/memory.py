"""What the command line says where a GPU's memory is not enough, in training as in anything else on it."""

from __future__ import annotations

import sys

from edgewidth.errors import TrainingError

_FULL = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def as_full_gpu(error: Exception) -> TrainingError | None:
    """What to tell of ``error`` if it is torch's of a GPU that is full; None: it is another one."""
    torch = sys.modules.get("torch")  # where nobody has loaded it, nothing of it was raised
    # Its own allocator has a class for that; the driver and the libraries below it only say it.
    says_so = isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)
    if torch is None or not (isinstance(error, torch.OutOfMemoryError) or says_so):
        return None
    return TrainingError(
        "The GPU has too little free memory for this.",
        remedy="End what else uses it, give a lower `resolution`, or compute without it: "
        "CUDA_VISIBLE_DEVICES= edgewidth …",
    )
