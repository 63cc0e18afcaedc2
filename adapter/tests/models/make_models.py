"""Makes the tiny models in this folder and what ONNX Runtime answers for them.

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.31.1 numpy
    python make_models.py

Each model gets NAME.onnx and NAME.json: inputs as they are sent, outputs as they must come back.
"""

import json
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, load_wine, make_classification, make_regression
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.cluster import KMeans
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(float16)": "FP16",
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
    "tensor(int16)": "INT16",
    "tensor(int8)": "INT8",
    "tensor(uint8)": "UINT8",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}


def flat(array):
    array = np.asarray(array)
    if array.dtype.kind == "f":
        # NaN and the infinities have no JSON form.
        return [float(v) if np.isfinite(v) else str(v) for v in array.ravel().tolist()]
    return [v if isinstance(v, (str, bool)) else int(v) for v in array.ravel().tolist()]


def tensor(name, datatype, array):
    array = np.asarray(array)
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": flat(array)}


def matrix(maps):
    """ZipMap's list of maps as the matrix it was made from."""
    return np.array([list(row.values()) for row in maps], dtype=np.float32)


def save(name, model, feeds):
    data = model.SerializeToString()
    (HERE / f"{name}.onnx").write_bytes(data)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    answers = session.run(None, feeds)
    outputs = []
    for info, answer in zip(session.get_outputs(), answers):
        if isinstance(answer, list):
            outputs.append(tensor(info.name, "FP32", matrix(answer)))
        else:
            outputs.append(tensor(info.name, DATATYPES[info.type], answer))
    inputs = [tensor(info.name, DATATYPES[info.type], feeds[info.name]) for info in session.get_inputs()]
    (HERE / f"{name}.json").write_text(json.dumps({"inputs": inputs, "outputs": outputs}) + "\n")
    print(f"{name:32} {len(data):8}", sorted({f"{n.domain}:{n.op_type}" for n in model.graph.node}))


def sklearn_model(name, estimator, x, y, rows=5, options=None, x_type=np.float32, zipmap=False, **kwargs):
    x = x.astype(x_type)
    estimator.fit(x, y)
    if options is None and hasattr(estimator, "predict_proba") and not zipmap:
        options = {id(estimator): {"zipmap": False}}
    model = to_onnx(estimator, x[:1], options=options, **kwargs)
    save(name, model, {model.graph.input[0].name: x[:: max(1, len(x) // rows)][:rows]})


def node_model(name, nodes, inputs, outputs, feeds, ml=3, opset=17, initializers=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    save(name, model, feeds)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


iris = load_iris()
wine = load_wine()
iris_names = np.array(iris.target_names)[iris.target]
two = make_classification(120, 4, n_informative=3, n_redundant=0, random_state=0)
many = make_regression(120, 4, n_targets=1, random_state=0)
pair = make_regression(120, 4, n_targets=2, random_state=0)

# --- Classifiers
sklearn_model("logistic_zipmap", LogisticRegression(max_iter=500), iris.data, iris.target, zipmap=True)
sklearn_model("logistic_strings", LogisticRegression(max_iter=500), iris.data, iris_names)
sklearn_model("logistic_binary", LogisticRegression(), *two)
sklearn_model("sgd_binary", SGDClassifier(random_state=0), *two)
sklearn_model("linear_svc", LinearSVC(random_state=0), iris.data, iris.target)
sklearn_model("tree", DecisionTreeClassifier(max_depth=3, random_state=0), iris.data, iris.target)
sklearn_model("tree_strings", DecisionTreeClassifier(max_depth=3, random_state=0), iris.data, iris_names)
sklearn_model("forest", RandomForestClassifier(5, max_depth=3, random_state=0), iris.data, iris.target)
sklearn_model("forest_binary", RandomForestClassifier(5, max_depth=3, random_state=0), *two, rows=12)
sklearn_model("forest_double", RandomForestClassifier(4, max_depth=3, random_state=0), iris.data, iris.target,
              x_type=np.float64)
sklearn_model("boosting", GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0),
              iris.data, iris.target)
sklearn_model("boosting_binary", GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0),
              *two, rows=12)
sklearn_model("ada", AdaBoostClassifier(n_estimators=3, random_state=0), iris.data, iris.target)
sklearn_model("svc", SVC(probability=True, random_state=0), iris.data, iris.target)
sklearn_model("svc_binary", SVC(probability=True, random_state=0, kernel="poly"), *two, rows=12)
sklearn_model("svc_votes", SVC(random_state=0), iris.data, iris.target)
sklearn_model("svc_binary_votes", SVC(random_state=0, kernel="sigmoid"), *two, rows=12)
sklearn_model("naive_bayes", GaussianNB(), iris.data, iris.target)
sklearn_model("mlp", MLPClassifier((6,), max_iter=300, random_state=0), iris.data, iris.target)
sklearn_model("neighbors", KNeighborsClassifier(3), iris.data[::6], iris.target[::6])

# --- Regressors
sklearn_model("linear", LinearRegression(), *many)
sklearn_model("linear_two", LinearRegression(), *pair)
sklearn_model("tree_regressor", DecisionTreeRegressor(max_depth=3), *many)
sklearn_model("forest_regressor", RandomForestRegressor(5, max_depth=3, random_state=0), *many)
sklearn_model("forest_regressor_two", ExtraTreesRegressor(5, max_depth=3, random_state=0), *pair)
sklearn_model("boosting_regressor", GradientBoostingRegressor(n_estimators=4, max_depth=2, random_state=0), *many)
sklearn_model("svr", SVR(), many[0][:30], many[1][:30])
sklearn_model("one_class", OneClassSVM(nu=0.2), iris.data[::3], None)
sklearn_model("isolation_forest", IsolationForest(n_estimators=3, max_samples=16, random_state=0), iris.data, None,
              target_opset={"": 18, "ai.onnx.ml": 3})
sklearn_model("kmeans", KMeans(3, n_init=1, random_state=0), iris.data, None)

# --- Pipelines
sklearn_model("scaled", make_pipeline(StandardScaler(), LogisticRegression()), wine.data, wine.target, zipmap=True)
holes = iris.data.copy()
holes[::7, 1] = np.nan
sklearn_model("imputed", make_pipeline(SimpleImputer(), MinMaxScaler(), DecisionTreeClassifier(max_depth=2)),
              holes, iris.target, zipmap=True)
for norm in ("l1", "l2", "max"):
    sklearn_model(f"normalizer_{norm}", Normalizer(norm), iris.data - 3, None)
sklearn_model("binarizer", Binarizer(threshold=3.0), iris.data, None)
sklearn_model("robust_pca", make_pipeline(RobustScaler(), PCA(2)), iris.data, None)
sklearn_model("polynomial", make_pipeline(MaxAbsScaler(), PolynomialFeatures(2), LinearRegression()), *many)

colors = np.array([["red", "small"], ["blue", "large"], ["green", "small"], ["red", "large"]] * 5)
sizes = np.arange(20, dtype=np.float32).reshape(-1, 1)
encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(colors)
model = to_onnx(encoder, initial_types=[("words", StringTensorType([None, 2]))])
save("one_hot_strings", model, {"words": np.array([["red", "small"], ["pink", "large"]], dtype=object)})
encoder = OrdinalEncoder().fit(colors)
model = to_onnx(encoder, initial_types=[("words", StringTensorType([None, 2]))])
save("ordinal_strings", model, {"words": colors[:3].astype(object)})
encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(np.array([[1], [5], [7]]))
model = to_onnx(encoder, initial_types=[("numbers", Int64TensorType([None, 1]))])
save("one_hot_ints", model, {"numbers": np.array([[5], [6]], dtype=np.int64)})

import pandas  # noqa: E402

frame = pandas.DataFrame({"color": colors[:, 0], "size": colors[:, 1], "weight": sizes[:, 0]})
mixed = make_pipeline(
    ColumnTransformer([
        ("words", OneHotEncoder(handle_unknown="ignore"), ["color", "size"]),
        ("numbers", StandardScaler(), ["weight"]),
    ]),
    LogisticRegression(),
).fit(frame, colors[:, 1])
types = [("color", StringTensorType([None, 1])), ("size", StringTensorType([None, 1])),
         ("weight", FloatTensorType([None, 1]))]
model = to_onnx(mixed, initial_types=types)
save("mixed_columns", model, {
    "color": colors[:3, :1].astype(object),
    "size": colors[:3, 1:].astype(object),
    "weight": sizes[:3],
})

# --- Operators that the converter emits seldom
F, I, S = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
node_model("label_encoder",
           [helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["a", "b"],
                             values_int64s=[10, 20], default_int64=-7)],
           [value("x", S, ["n", 2])], [value("y", I, ["n", 2])],
           {"x": np.array([["a", "z"], ["b", "a"]], dtype=object)})
node_model("label_decoder",
           [helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_int64s=[1, 2],
                             values_strings=["one", "two"])],
           [value("x", I, ["n"])], [value("y", S, ["n"])], {"x": np.array([2, 3, 1])})
node_model("label_floats",
           [helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml",
                             keys_floats=[1.5, float("nan")], values_floats=[0.25, 9.0], default_float=-1.0)],
           [value("x", F, ["n"])], [value("y", F, ["n"])],
           {"x": np.array([1.5, 2.0, np.nan], dtype=np.float32)})
node_model("label_tensors",
           [helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml",
                             keys_tensor=numpy_helper.from_array(np.array([3, 4], dtype=np.int64)),
                             values_tensor=numpy_helper.from_array(np.array([0.5, 1.5], dtype=np.float32)),
                             default_tensor=numpy_helper.from_array(np.array([-1.0], dtype=np.float32)))],
           [value("x", I, ["n"])], [value("y", F, ["n"])], {"x": np.array([4, 9, 3])}, ml=4)
node_model("features",
           [helper.make_node("FeatureVectorizer", ["a", "b"], ["y"], domain="ai.onnx.ml", inputdimensions=[2, 1])],
           [value("a", F, ["n", 2]), value("b", F, ["n", 1])], [value("y", F, ["n", 3])],
           {"a": np.ones((2, 2), dtype=np.float32), "b": np.zeros((2, 1), dtype=np.float32)})
node_model("extractor",
           [helper.make_node("ArrayFeatureExtractor", ["x", "i"], ["y"], domain="ai.onnx.ml")],
           [value("x", S, ["n", 3])], [value("y", S, ["n", 2])],
           {"x": np.array([["a", "b", "c"], ["d", "e", "f"]], dtype=object)},
           initializers=[numpy_helper.from_array(np.array([2, 0]), "i")])
node_model("imputer_ints",
           [helper.make_node("Imputer", ["x"], ["y"], domain="ai.onnx.ml", imputed_value_int64s=[4, 5],
                             replaced_value_int64=-1)],
           [value("x", I, ["n", 2])], [value("y", I, ["n", 2])], {"x": np.array([[-1, -1], [7, 8]])})
for post in ("NONE", "LOGISTIC", "SOFTMAX"):
    node_model(f"linear_single_{post.lower()}",
               [helper.make_node("LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
                                 coefficients=[0.5, -1.0], intercepts=[0.1], classlabels_ints=[3, 8],
                                 post_transform=post)],
               [value("x", F, ["n", 2])], [value("label", I, ["n"]), value("scores", F, ["n", 2])],
               {"x": np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)})
STUMPS = dict(
    nodes_treeids=[0, 0, 0, 1, 1, 1], nodes_nodeids=[0, 1, 2, 0, 1, 2], nodes_featureids=[0, 0, 0, 1, 0, 0],
    nodes_values=[0.5, 0, 0, -0.5, 0, 0], nodes_modes=["BRANCH_LT", "LEAF", "LEAF", "BRANCH_GTE", "LEAF", "LEAF"],
    nodes_truenodeids=[1, 0, 0, 1, 0, 0], nodes_falsenodeids=[2, 0, 0, 2, 0, 0],
    nodes_hitrates=[1.0] * 6, nodes_missing_value_tracks_true=[1, 0, 0, 0, 0, 0])
STUMP_ROWS = {"x": np.array([[0, 0], [1, 1], [0.5, -1], [np.nan, np.nan]], dtype=np.float32)}
for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
    node_model(f"stumps_{aggregate.lower()}",
               [helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=2,
                                 target_treeids=[0, 0, 0, 1, 1], target_nodeids=[1, 2, 2, 1, 2],
                                 target_ids=[0, 0, 1, 1, 0], target_weights=[1.0, 2.0, 3.0, 4.0, -5.0],
                                 base_values=[0.5, 0.25], aggregate_function=aggregate, **STUMPS)],
               [value("x", F, ["n", 2])], [value("y", F, ["n", 2])], STUMP_ROWS)
for case, weights, post in (("mixed", [1.0, -2.0, 3.0, -0.5], "NONE"), ("mixed_logistic", [1.0, -2.0, 3.0, -0.5], "LOGISTIC"),
                            ("positive", [0.1, 0.4, 0.3, 0.2], "NONE"), ("positive_logistic", [0.1, 0.4, 0.3, 0.2], "LOGISTIC")):
    node_model(f"stumps_single_{case}",
               [helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
                                 classlabels_int64s=[4, 9], class_treeids=[0, 0, 1, 1], class_nodeids=[1, 2, 1, 2],
                                 class_ids=[0, 0, 0, 0], class_weights=weights, post_transform=post, **STUMPS)],
               [value("x", F, ["n", 2])], [value("label", I, ["n"]), value("scores", F, ["n", 2])], STUMP_ROWS)

for case, labels, ids, base, post in (
    ("one", [0, 1], [0, 0, 0, 0], [0.3], "NONE"),
    ("one_logistic", [0, 1], [0, 0, 0, 0], [0.3], "LOGISTIC"),
    ("three", [5, 6, 7], [0, 1, 2, 0], [0.1, 0.2, 0.3], "SOFTMAX"),
    ("three_logistic", [5, 6, 7], [0, 1, 2, 0], [0.1, 0.2, 0.3], "LOGISTIC"),
    ("three_zero", [5, 6, 7], [0, 1, 2, 0], [], "SOFTMAX_ZERO"),
):
    node_model(f"stumps_base_{case}",
               [helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
                                 classlabels_int64s=labels, class_treeids=[0, 0, 1, 1], class_nodeids=[1, 2, 1, 2],
                                 class_ids=ids, class_weights=[1.0, -2.0, 3.0, -0.5], post_transform=post,
                                 **({"base_values": base} if base else {}), **STUMPS)],
               [value("x", F, ["n", 2])], [value("label", I, ["n"]), value("scores", F, ["n", len(labels)])], STUMP_ROWS)

# --- Datatypes: each passes through an operator that every runtime has
for datatype, onnx_type, array in (
    ("fp16", TensorProto.FLOAT16, np.array([[1.5, -2.0]], dtype=np.float16)),
    ("fp64", TensorProto.DOUBLE, np.array([[1.5, -2.0]])),
    ("int8", TensorProto.INT8, np.array([[1, -2]], dtype=np.int8)),
    ("uint8", TensorProto.UINT8, np.array([[1, 255]], dtype=np.uint8)),
    ("int32", TensorProto.INT32, np.array([[1, -2]], dtype=np.int32)),
    ("bool", TensorProto.BOOL, np.array([[True, False]])),
    ("string", TensorProto.STRING, np.array([["a", "zażółć"]], dtype=object)),
):
    node_model(f"transpose_{datatype}", [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])],
               [value("x", onnx_type, ["n", 2])], [value("y", onnx_type, [2, "n"])], {"x": array})

# --- A small convolution, and external data
rng = np.random.default_rng(0)
w = rng.normal(size=(4, 1, 3, 3)).astype(np.float32)
d = rng.normal(size=(4 * 36, 3)).astype(np.float32)
node_model("conv",
           [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 0, 0]),
            helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("MatMul", ["f", "d"], ["l"]),
            helper.make_node("Softmax", ["l"], ["y"], axis=-1)],
           [value("x", F, ["batch size", 1, 7, 7])], [value("y", F, ["batch size", 3])],
           {"x": rng.normal(size=(2, 1, 7, 7)).astype(np.float32)},
           initializers=[numpy_helper.from_array(w, "w"), numpy_helper.from_array(d, "d")])
folder = HERE / "external"
folder.mkdir(exist_ok=True)
graph = helper.make_graph([helper.make_node("MatMul", ["x", "m"], ["y"])], "external", [value("x", F, ["n", 4])],
                          [value("y", F, ["n", 4])], [numpy_helper.from_array(np.eye(4, dtype=np.float32) * 2, "m")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)

# --- Models that must be refused
graph = helper.make_graph([helper.make_node("StringNormalizer", ["x"], ["y"], name="cleaner")], "refused",
                          [value("x", S, ["n"])], [value("y", S, ["m"])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
(HERE / "unsupported.onnx").write_bytes(model.SerializeToString())
