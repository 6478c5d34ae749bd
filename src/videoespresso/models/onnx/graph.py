"""One ONNX graph, fed with what it lists: names, types and shapes are its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from videoespresso.errors import ModelError

Array = NDArray[Any]

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class Slot:
    """An input: its numpy type, and its shape with None where the graph leaves it open."""

    dtype: Any
    shape: tuple[int | None, ...]

    def cast(self, value: Array) -> Array:
        """The value in the type and the number of axes that the graph wants."""
        array = np.asarray(value)
        while array.ndim < len(self.shape):
            array = array[None]
        return np.ascontiguousarray(array, self.dtype)

    def empty(self) -> Array:
        """A cache with nothing in it: one row, and no place along every other open axis."""
        open_axes = (0 if axis else 1 for axis in range(len(self.shape)))
        shape = [o if d is None else d for d, o in zip(self.shape, open_axes, strict=True)]
        return np.zeros(shape, self.dtype)


class Graph:
    """An ONNX Runtime session on the CPU. inputs: by name; outputs: names in the graph's order.

    threads: of one operator. Raises ModelError when the file or its external data cannot be loaded.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            self.inputs = {i.name: self._slot(i) for i in self._session.get_inputs()}
            self.outputs = [o.name for o in self._session.get_outputs()]
        except ModelError:
            raise
        except Exception as error:  # ONNX Runtime's own kinds have no common base
            raise self._error("cannot be loaded", error) from error

    def _slot(self, listed: Any) -> Slot:
        if listed.type not in _TYPES:
            raise self._error(f"takes {listed.name} as {listed.type}, which is not known here")
        open_or_fixed = (d if isinstance(d, int) else None for d in listed.shape)
        return Slot(_TYPES[listed.type], tuple(open_or_fixed))

    def _error(self, what: str, error: Exception | None = None) -> ModelError:
        why = f": {str(error).strip().splitlines()[0][:300]}" if error and str(error) else ""
        return ModelError(
            f"{self.path.name} {what}{why}",
            hint=f"Check {self.path} (whole? its .onnx_data beside it?), or fetch it anew: "
            "`videoespresso models pull laptop`.",
        )

    def run(self, given: Mapping[str, Array]) -> list[Array]:
        """All outputs. Of what is given the graph gets what it lists, in its own types."""
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise self._error(f"wants {', '.join(missing)}, which this kind of model does not give")
        try:
            outputs: list[Array] = self._session.run(
                None, {name: slot.cast(given[name]) for name, slot in self.inputs.items()}
            )
        except Exception as error:  # as above
            raise self._error("failed", error) from error
        return outputs
