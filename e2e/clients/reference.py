"""The example models, what onnxruntime answers for any rows, and the rows."""

import dataclasses
import json

import numpy as np
import onnxruntime

from checks import EXAMPLES

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
