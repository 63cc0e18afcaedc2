"""Trains the example models and writes models, sample requests and expected answers.

    $(scripts/venv.sh examples/requirements.txt)/bin/python examples/make_models.py          # rewrite
    $(scripts/venv.sh examples/requirements.txt)/bin/python examples/make_models.py --check  # compare only

A re-run with the pinned requirements gives the same bytes: seeds are fixed and linear algebra runs on one thread.
Everything is learned from data sets that ship with scikit-learn; expected answers come from onnxruntime.
"""

import os

# One thread and one kernel family: sums in another order give other last bits. Must be set before numpy is imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE="Haswell")

import argparse
import filecmp
import json
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn import datasets
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent
SEED = 7
OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
V2_DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64", "tensor(string)": "BYTES"}
TABLE_BEGIN, TABLE_END = "<!-- table: written by make_models.py -->", "<!-- end of table -->"


def convert(model, name, width, zipmap=False, renames=None):
    """A scikit-learn model as ONNX with one input, `features`, of any number of rows."""
    options = None if zipmap is None else {"zipmap": zipmap}
    proto = to_onnx(
        model,
        initial_types=[("features", FloatTensorType([None, width]))],
        name=name,
        options=options,
        target_opset=OPSETS,
    )
    rename(proto.graph, renames or {})
    return proto


def rename(graph, names):
    for node in graph.node:
        for fields in (node.input, node.output):
            fields[:] = [names.get(field, field) for field in fields]
    for output in graph.output:
        output.name = names.get(output.name, output.name)


def finish(proto, text):
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version = "stowage examples", "1"
    proto.doc_string = text
    # The converter takes these from sets, in an order that differs from run to run.
    opsets = sorted(proto.opset_import, key=lambda opset: opset.domain)
    del proto.opset_import[:]
    proto.opset_import.extend(opsets)
    onnx.checker.check_model(proto)
    return proto


def split(data, target):
    return train_test_split(data, target, test_size=0.25, random_state=SEED, stratify=target)


def rows_of_each_class(target, classes):
    """Index of the first held-out row of each class."""
    return [int(np.flatnonzero(target == c)[0]) for c in classes]


def iris():
    bunch = datasets.load_iris()
    target = bunch.target_names[bunch.target]
    x_train, x_test, y_train, y_test = split(bunch.data, target)
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=SEED)).fit(x_train, y_train)
    proto = convert(model, "iris", 4, renames={"label": "species"})
    return {
        "name": "iris",
        "files": {"iris.onnx": finish(proto, "Species of an iris flower from its four measurements.")},
        "what": "species of a flower; scaler + logistic regression",
        "sample": x_test[rows_of_each_class(y_test, bunch.target_names)],
        "test": (x_test, y_test),
    }


def wine():
    bunch = datasets.load_wine()
    x_train, x_test, y_train, y_test = split(bunch.data, bunch.target)
    model = RandomForestClassifier(n_estimators=40, max_depth=6, random_state=SEED).fit(x_train, y_train)
    # ZipMap as skl2onnx adds it by default: the answer's probabilities are a list of maps in the graph.
    proto = convert(model, "wine", 13, zipmap=True)
    return {
        "name": "wine",
        "files": {"wine/model.onnx": finish(proto, "Cultivar of a wine from its chemical analysis.")},
        "what": "cultivar of a wine; random forest of 40 trees, converted with ZipMap",
        "sample": x_test[rows_of_each_class(y_test, range(3))],
        "test": (x_test, y_test),
    }


def breast_cancer():
    bunch = datasets.load_breast_cancer()
    x_train, x_test, y_train, y_test = split(bunch.data, bunch.target)
    linear = make_pipeline(StandardScaler(), LogisticRegression(random_state=SEED)).fit(x_train, y_train)
    network = make_pipeline(
        StandardScaler(), MLPClassifier(hidden_layer_sizes=(16,), alpha=1.0, max_iter=600, random_state=SEED)
    ).fit(x_train, y_train)
    text = "Malignant (0) or benign (1) from the measurements of cell nuclei."
    return {
        "name": "breast-cancer",
        "files": {
            "breast-cancer/1/model.onnx": finish(convert(linear, "breast-cancer-1", 30), text),
            "breast-cancer/2/model.onnx": finish(convert(network, "breast-cancer-2", 30), text),
        },
        "what": [
            "tumor malignant or benign; scaler + logistic regression",
            "tumor malignant or benign; scaler + small neural network",
        ],
        "sample": x_test[rows_of_each_class(y_test, [0, 1])],
        "test": (x_test, y_test),
    }


def diabetes():
    bunch = datasets.load_diabetes(scaled=False)
    x_train, x_test, y_train, y_test = train_test_split(bunch.data, bunch.target, test_size=0.25, random_state=SEED)
    model = GradientBoostingRegressor(
        n_estimators=100, max_depth=3, learning_rate=0.05, subsample=0.7, random_state=SEED
    ).fit(x_train, y_train)
    proto = convert(model, "diabetes", 10, zipmap=None, renames={"variable": "progression"})
    return {
        "name": "diabetes",
        "files": {"diabetes.onnx": finish(proto, "Progression of diabetes within a year, from ten measurements.")},
        "what": "progression of the disease after a year; gradient boosting, 100 trees",
        "sample": x_test[:4],
        "test": (x_test, y_test),
    }


def digits():
    bunch = datasets.load_digits()
    x_train, x_test, y_train, y_test = split(bunch.data, bunch.target)
    model = make_pipeline(
        StandardScaler(), MLPClassifier(hidden_layer_sizes=(96, 48), alpha=0.1, max_iter=400, random_state=SEED)
    ).fit(x_train, y_train)
    return {
        "name": "digits",
        "files": {"digits/model.onnx": finish(convert(model, "digits", 64), "Handwritten digit.")},
        "external_data": "weights.bin",
        "what": "handwritten digit, 8 x 8 gray values as one row; neural network, weights in a file of their own",
        "sample": x_test[rows_of_each_class(y_test, [3, 8])],
        "test": (x_test, y_test),
    }


def digits_cnn():
    bunch = datasets.load_digits()
    images = (bunch.images / 16.0)[:, np.newaxis].astype(np.float32)
    x_train, x_test, y_train, y_test = split(images, bunch.target)
    weights = train_cnn(x_train, y_train)
    return {
        "name": "digits-cnn",
        "files": {"digits-cnn/model.onnx": finish(cnn_graph(weights), "Handwritten digit, from its image.")},
        "what": "handwritten digit, 8 x 8 image with values from 0 to 1; convolutional network",
        "sample": x_test[rows_of_each_class(y_test, [0, 7])],
        "test": (x_test, y_test),
    }


def patches(x):
    """3 x 3 neighborhoods of every pixel, zeros around the border: [n, c, h, w] to [n, h, w, c * 9]."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    n, c, h, w = x.shape
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1, 4, 5)).reshape(n, h, w, c * 9)


def convolve(x, kernel, bias):
    columns = patches(x)
    out = columns @ kernel.reshape(len(kernel), -1).T + bias
    return out.transpose(0, 3, 1, 2), columns


def convolve_back(grad, columns, kernel, shape):
    """Gradients of kernel, bias and input, given the gradient of the output."""
    flat = grad.transpose(0, 2, 3, 1)
    g_kernel = np.tensordot(flat, columns, ([0, 1, 2], [0, 1, 2])).reshape(kernel.shape)
    turned = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    g_input, _ = convolve(grad, turned, 0.0)
    return g_kernel, flat.sum((0, 1, 2)), g_input.reshape(shape)


def pool(x):
    """2 x 2 maximum, and which element it was."""
    n, c, h, w = x.shape
    cells = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
    best = cells.argmax(-1)
    return np.take_along_axis(cells, best[..., np.newaxis], -1)[..., 0], best


def pool_back(grad, best):
    n, c, h, w = grad.shape
    cells = np.zeros((n, c, h, w, 4), np.float32)
    np.put_along_axis(cells, best[..., np.newaxis], grad[..., np.newaxis], -1)
    return cells.reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h * 2, w * 2)


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def gradients(w, x, y):
    """Cross-entropy gradients of conv, pool, conv, pool, linear."""
    a1, columns1 = convolve(x, w["conv1.weight"], w["conv1.bias"])
    p1, best1 = pool(np.maximum(a1, 0))
    a2, columns2 = convolve(p1, w["conv2.weight"], w["conv2.bias"])
    p2, best2 = pool(np.maximum(a2, 0))
    flat = p2.reshape(len(x), -1)
    grad = softmax(flat @ w["linear.weight"] + w["linear.bias"])
    grad[np.arange(len(y)), y] -= 1
    grad /= len(y)
    out = {"linear.weight": flat.T @ grad, "linear.bias": grad.sum(0)}
    back = pool_back((grad @ w["linear.weight"].T).reshape(p2.shape), best2) * (a2 > 0)
    out["conv2.weight"], out["conv2.bias"], back = convolve_back(back, columns2, w["conv2.weight"], p1.shape)
    back = pool_back(back, best1) * (a1 > 0)
    out["conv1.weight"], out["conv1.bias"], _ = convolve_back(back, columns1, w["conv1.weight"], x.shape)
    return out


def train_cnn(x, y, epochs=30, batch=32, rate=3e-3):
    """Adam on mini-batches, in plain numpy: the network is too small to ask for a framework."""
    rng = np.random.default_rng(SEED)

    def normal(*shape, fan_in):
        return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)

    w = {
        "conv1.weight": normal(8, 1, 3, 3, fan_in=9),
        "conv1.bias": np.zeros(8, np.float32),
        "conv2.weight": normal(16, 8, 3, 3, fan_in=72),
        "conv2.bias": np.zeros(16, np.float32),
        "linear.weight": normal(64, 10, fan_in=64),
        "linear.bias": np.zeros(10, np.float32),
    }
    mean = {k: np.zeros_like(v) for k, v in w.items()}
    square = {k: np.zeros_like(v) for k, v in w.items()}
    step = 0
    for epoch in range(epochs):
        now = rate * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            pick = order[start : start + batch]
            step += 1
            for k, g in gradients(w, x[pick], y[pick]).items():
                mean[k] = 0.9 * mean[k] + 0.1 * g
                square[k] = 0.999 * square[k] + 0.001 * g * g
                scale = np.sqrt(square[k] / (1 - 0.999**step)) + 1e-8
                w[k] -= (now * mean[k] / (1 - 0.9**step) / scale).astype(np.float32)
    return w


def cnn_graph(w):
    node = helper.make_node
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
    pooling = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], "conv1", **conv),
        node("Relu", ["c1"], ["r1"], "relu1"),
        node("MaxPool", ["r1"], ["p1"], "pool1", **pooling),
        node("Conv", ["p1", "conv2.weight", "conv2.bias"], ["c2"], "conv2", **conv),
        node("Relu", ["c2"], ["r2"], "relu2"),
        node("MaxPool", ["r2"], ["p2"], "pool2", **pooling),
        node("Flatten", ["p2"], ["flat"], "flatten", axis=1),
        node("Gemm", ["flat", "linear.weight", "linear.bias"], ["logits"], "linear"),
        node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
        node("ArgMax", ["logits"], ["digit"], "argmax", axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits-cnn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [
            helper.make_tensor_value_info("digit", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
        ],
        [numpy_helper.from_array(value, key) for key, value in w.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])])


def save(out, example):
    for name, proto in example["files"].items():
        path = out / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = example.get("external_data")
        if data:
            (path.parent / data).unlink(missing_ok=True)
            for tensor in proto.graph.initializer:  # Only raw tensors can move out of the file.
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
            onnx.save_model(proto, path, save_as_external_data=True, location=data, size_threshold=1024)
            (path.parent / data).chmod(0o644)
        else:
            onnx.save_model(proto, path)


def run(path, features):
    """Answers of onnxruntime as plain arrays, and the session for its names and types."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: features.astype(np.float32)})
    arrays = []
    for value in values:
        if isinstance(value, list):  # ZipMap: a map per row, keys in ascending order.
            value = np.array([[row[k] for k in sorted(row)] for row in value], np.float32)
        arrays.append(value)
    return session, arrays


def datatype(onnx_type):
    return V2_DATATYPES.get(onnx_type, "FP32")  # A sequence of maps to floats is served as one float tensor.


def plain(array):
    """JSON-ready numbers: the shortest text that gives the same float32, and no `.0` that says nothing."""
    if isinstance(array, str):
        return str(array)
    if array.ndim > 0:
        return [plain(element) for element in array]
    number = float(str(array))
    return int(number) if number.is_integer() else number


def dump(value, indent=""):
    """JSON with one row of innermost numbers per line."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        body = ",\n".join(f"{inner}{json.dumps(k)}: {dump(v, inner)}" for k, v in value.items())
        return f"{{\n{body}\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], (list, dict)):
        body = ",\n".join(inner + dump(v, inner) for v in value)
        return f"[\n{body}\n{indent}]"
    return json.dumps(value)


def write_requests(out, example):
    requests = out / "requests"
    requests.mkdir(parents=True, exist_ok=True)
    sample = example["sample"].astype(np.float32)
    files = list(example["files"])
    for number, file in enumerate(files, 1):
        session, answers = run(out / "models" / file, sample)
        last = number == len(files)
        request = {
            "id": f"{example['name']}-sample",
            "inputs": [
                {
                    "name": session.get_inputs()[0].name,
                    "shape": list(sample.shape),
                    "datatype": "FP32",
                    "data": plain(sample),
                }
            ],
        }
        expected = {
            "id": request["id"],
            "outputs": [
                {
                    "name": output.name,
                    "datatype": datatype(output.type),
                    "shape": list(answer.shape),
                    "data": plain(answer.reshape(-1)),
                }
                for output, answer in zip(session.get_outputs(), answers)
            ],
        }
        stem = example["name"] if last else f"{example['name']}.v{number}"
        (requests / f"{stem}.expected.json").write_text(dump(expected) + "\n")
        if last:
            (requests / f"{stem}.json").write_text(dump(request) + "\n")


def score(answers, target):
    if np.issubdtype(target.dtype, np.floating):
        error = mean_absolute_error(target, answers[0].reshape(-1))
        return f"R2 {r2_score(target, answers[0].reshape(-1)):.2f}, mean error {error:.0f}"
    return f"{100 * accuracy_score(target, answers[0]):.1f} %"


def table_lines(out, example):
    for number, file in enumerate(example["files"], 1):
        session, answers = run(out / "models" / file, example["test"][0])
        describe = lambda t: f"`{t.name}` {datatype(t.type)}"
        inputs = ", ".join(f"{describe(t)} {[-1, *t.shape[1:]]}" for t in session.get_inputs())
        outputs = ", ".join(
            f"{describe(t)} {[-1, *a.shape[1:]]}" for t, a in zip(session.get_outputs(), answers)
        )
        folder = (out / "models" / file).parent
        names = [file] + ([f"{folder.name}/{example['external_data']}"] if "external_data" in example else [])
        size = sum((out / "models" / name).stat().st_size for name in names)
        title = f"`{example['name']}`" + (f" version {number}" if len(example["files"]) > 1 else "")
        accuracy = score(answers, example["test"][1])
        shown = ", ".join(f"`{name}`" for name in names)
        what = example["what"][number - 1] if isinstance(example["what"], list) else example["what"]
        yield f"| {title} | {what} | {shown} | {inputs} | {outputs} | {accuracy} | {size / 1000:.0f} kB |"


def write_readme(out, examples):
    path = HERE / "README.md"
    head, _, rest = path.read_text().partition(TABLE_BEGIN)
    _, _, tail = rest.partition(TABLE_END)
    lines = ["| model | what it tells | files | input | outputs | held-out score | size |", "|---|---|---|---|---|---|---|"]
    for example in examples:
        lines += table_lines(out, example)
    (out / "README.md").write_text(head + "\n".join([TABLE_BEGIN, *lines, TABLE_END]) + tail)


def differing(left, right):
    """Relative paths of files that are only on one side or differ."""
    names = lambda root: {p.relative_to(root) for d in ("models", "requests") for p in (root / d).rglob("*") if p.is_file()}
    for name in sorted(names(left) | names(right) | {pathlib.Path("README.md")}):
        a, b = left / name, right / name
        if not (a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)):
            yield str(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    arguments = parser.parse_args()
    examples = [make() for make in (iris, wine, breast_cancer, diabetes, digits, digits_cnn)]
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) if arguments.check else HERE
        for example in examples:
            save(out, example)
            write_requests(out, example)
        write_readme(out, examples)
        if arguments.check:
            changed = list(differing(HERE, out))
            for name in changed:
                print(f"would change: {name}")
            return 1 if changed else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
