"""What the client programs share: the samples with their answers, and one line per check."""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys

import numpy as np

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
TOLERANCE = 1e-5
TYPES = {"FP32": np.float32, "INT64": np.int64, "BYTES": object}


@dataclasses.dataclass
class Sample:
    """A request of `examples/requests`, and what onnxruntime answered when it was made."""

    model: str
    version: str
    input: str
    rows: np.ndarray
    expected: dict


def array(tensor):
    """A V2 tensor in JSON as an array."""
    return np.array(tensor["data"], TYPES[tensor["datatype"]]).reshape(tensor["shape"])


def samples():
    """The sample of every example model, and that of the version which is not served by the bare name."""
    files = sorted((EXAMPLES / "requests").glob("*.expected.json"))
    assert len(files) == 7, files
    for file in files:
        model, _, version = file.name.removesuffix(".expected.json").partition(".v")
        sent = json.loads((file.parent / f"{model}.json").read_text())["inputs"][0]
        outputs = json.loads(file.read_text())["outputs"]
        expected = {output["name"]: array(output) for output in outputs}
        yield Sample(model, version, sent["name"], array(sent), expected)


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


def arguments(description, *names):
    """Arguments of the program: `address` unless others are named."""
    parser = argparse.ArgumentParser(description=description)
    for name in names or ("address",):
        parser.add_argument(name)
    return parser.parse_args()
