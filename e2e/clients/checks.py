"""What the client programs share: the example models, what onnxruntime answers, and one line per check."""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys

import numpy as np
import onnxruntime

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
TOLERANCE = 1e-5
DATATYPES = {np.dtype(np.float32): "FP32", np.dtype(np.int64): "INT64", np.dtype(object): "BYTES"}
# Of each model: the file that is served by its bare name.
MODELS = {
    "iris": "iris.onnx",
    "wine": "wine/model.onnx",
    "breast-cancer": "breast-cancer/2/model.onnx",
    "diabetes": "diabetes.onnx",
    "digits": "digits/model.onnx",
    "digits-cnn": "digits-cnn/model.onnx",
}


@dataclasses.dataclass
class Model:
    """One served model, its reference, and rows to ask it."""

    name: str
    version: str
    input: str
    rows: np.ndarray
    session: onnxruntime.InferenceSession

    @property
    def outputs(self):
        return [output.name for output in self.session.get_outputs()]

    def batch(self, size):
        """`size` rows: the sample's, then the same a little larger each time around."""
        rounds = -(-size // len(self.rows))
        return np.concatenate([self.rows * np.float32(1 + 0.01 * k) for k in range(rounds)])[:size]

    def reference(self, rows):
        """onnxruntime's answer by output name. A list of maps (ZipMap) is compared as the matrix it stands for."""
        answers = {}
        for name, value in zip(self.outputs, self.session.run(None, {self.input: rows})):
            if isinstance(value, list):
                value = np.array([[row[key] for key in sorted(row)] for row in value], np.float32)
            answers[name] = value
        return answers


def load_models():
    """Every example model, and the version that is not served by the bare name."""
    files = [(name, "", file) for name, file in MODELS.items()]
    files.append(("breast-cancer", "1", "breast-cancer/1/model.onnx"))
    for name, version, file in files:
        sample = json.loads((EXAMPLES / "requests" / f"{name}.json").read_text())["inputs"][0]
        rows = np.array(sample["data"], np.float32).reshape(sample["shape"])
        session = onnxruntime.InferenceSession(EXAMPLES / "models" / file, providers=["CPUExecutionProvider"])
        yield Model(name, version, sample["name"], rows, session)


class Checks:
    """Counts and prints; a check that fails does not stop the ones after it."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    @contextlib.contextmanager
    def check(self, title):
        try:
            yield
        except Exception as err:  # noqa: BLE001 - whatever went wrong belongs to this check
            self.failed += 1
            print(f"FAILED  {title}: {type(err).__name__}: {err}", flush=True)
        else:
            self.passed += 1
            print(f"ok      {title}", flush=True)

    def exit(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def same(got, want):
    """Equal labels, numbers within the tolerance, and nothing missing."""
    assert set(got) == set(want), f"outputs {sorted(got)}, expected {sorted(want)}"
    for name, expected in want.items():
        value = got[name]
        assert value is not None, f"{name}: no data"
        assert value.shape == expected.shape, f"{name}: shape {value.shape}, expected {expected.shape}"
        if expected.dtype == object:
            texts = [v.decode() if isinstance(v, bytes) else v for v in value.reshape(-1)]
            assert texts == list(expected.reshape(-1)), f"{name}: {texts}, expected {list(expected.reshape(-1))}"
        elif expected.dtype.kind == "f":
            assert value.dtype == expected.dtype, f"{name}: {value.dtype}, expected {expected.dtype}"
            # Relative for values above 1, such as a regressor's.
            error = np.max(np.abs(value - expected) / np.maximum(1, np.abs(expected)))
            assert error <= TOLERANCE, f"{name}: off by {error}"
        else:
            assert value.dtype == expected.dtype, f"{name}: {value.dtype}, expected {expected.dtype}"
            assert (value == expected).all(), f"{name}: {value}, expected {expected}"


@contextlib.contextmanager
def refused(exception, status, *words):
    """The block must raise `exception` with this status and a message that holds the words."""
    try:
        yield
    except exception as err:
        assert err.status() == status, f"status {err.status()}, expected {status}: {err}"
        for word in words:
            assert word in str(err), f"no {word!r} in: {err}"
    else:
        raise AssertionError(f"was answered, expected {status}")


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("address", help="host:port of the server")
    return parser.parse_args()
