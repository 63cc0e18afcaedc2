"""Trains and converts every estimator and pipeline of the table in docs/onnx.md, and writes what ONNX Runtime answers.

    python train.py FOLDER

Each model gets FOLDER/NAME.onnx and FOLDER/NAME.json: a list of requests, each with its inputs and outputs in V2's JSON
form, first a single row, then a batch. FOLDER/index.json lists them in order, with what the table shows;
FOLDER/operators.json has the operators of the standard.

Everything is seeded; an estimator whose answers hang on the last bit of a float has data that keeps them apart.
"""

import json
import os
import pathlib
import sys
import warnings

# The matrices are tiny: threads of the linear algebra library would only wait for each other.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import lightgbm
import numpy as np
import onnx
import onnxruntime as ort
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.feature_extraction import text
from sklearn import (
    calibration,
    cluster,
    compose,
    cross_decomposition,
    datasets,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    svm,
    tree,
)

warnings.filterwarnings("ignore")

make_attribute = helper.make_attribute


def plain_attribute(key, value, *args, **kwargs):
    """The converter of HistGradientBoosting leaves truth values in lists of integers, which onnx refuses."""
    if isinstance(value, list):
        value = [int(v) if isinstance(v, (bool, np.bool_, np.integer)) else v for v in value]
    return make_attribute(key, value, *args, **kwargs)


helper.make_attribute = plain_attribute
CLASSIFIER = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
for name, kind, convert in (("XGB", xgboost.XGBClassifier, convert_xgboost), ("Lgbm", lightgbm.LGBMClassifier, convert_lightgbm)):
    update_registered_converter(kind, f"{name}Classifier", calculate_linear_classifier_output_shapes, convert, options=CLASSIFIER)
for name, kind, convert in (("XGB", xgboost.XGBRegressor, convert_xgboost), ("Lgbm", lightgbm.LGBMRegressor, convert_lightgbm)):
    update_registered_converter(kind, f"{name}Regressor", calculate_linear_regressor_output_shapes, convert,
                                options={"split": None} if name == "Lgbm" else {})

ROWS = 7
DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}
TYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}
KINDS = {"FP32": FloatTensorType, "FP64": DoubleTensorType, "INT64": Int64TensorType, "BYTES": StringTensorType}


def flat(array):
    array = np.asarray(array)
    if array.dtype.kind == "f":
        # NaN and the infinities have no JSON form.
        return [float(v) if np.isfinite(v) else str(v) for v in array.ravel().tolist()]
    return [v if isinstance(v, (str, bool)) else int(v) for v in array.ravel().tolist()]


def tensor(name, datatype, array):
    array = np.asarray(array)
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": flat(array)}


def answer(session, feeds):
    inputs = [tensor(info.name, DATATYPES[info.type], feeds[info.name]) for info in session.get_inputs()]
    outputs = []
    for info, array in zip(session.get_outputs(), session.run(None, feeds)):
        if info.type.startswith("seq(tensor"):
            # A list of tensors has no form in V2: the engine leaves the output out.
            continue
        if info.type.startswith("seq(map"):
            # ZipMap's list of maps, as the matrix it was made from.
            matrix = np.array([list(row.values()) for row in array], dtype=np.float32)
            outputs.append(tensor(info.name, "FP32", matrix))
        else:
            outputs.append(tensor(info.name, DATATYPES[info.type], array))
    return {"inputs": inputs, "outputs": outputs}


class Table:
    """What was made, in the order of the table."""

    def __init__(self, folder):
        self.folder = folder
        self.index = []
        self.group = ""

    def save(self, title, model, feeds, kind):
        """Writes one model and the answers to the first row and to all rows of `feeds`."""
        name = f"{len(self.index):03}"
        data = model.SerializeToString()
        (self.folder / f"{name}.onnx").write_bytes(data)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        first = {key: array[:1] for key, array in feeds.items()}
        requests = [answer(session, first), answer(session, feeds)]
        (self.folder / f"{name}.json").write_text(json.dumps(requests) + "\n")
        operators = sorted({f"{node.domain or 'ai.onnx'}:{node.op_type}" for node in nodes(model.graph)})
        opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        entry = {"name": name, "group": self.group, "title": title, "inputs": kind, "operators": operators,
                 "opsets": opsets}
        self.index.append(entry)

    def fit(self, estimator, x, y=None, kind="FP32", title=None, options=None, zipmap=False, opset=None, rows=ROWS):
        """Trains on a matrix, converts, saves."""
        x = np.asarray(x).astype(TYPES[kind])
        estimator.fit(x, y)
        last = estimator[-1] if isinstance(estimator, pipeline.Pipeline) else estimator
        if options is None and hasattr(last, "predict_proba") and not zipmap:
            options = {id(estimator): {"zipmap": False}}
        initial = [("x", KINDS[kind]([None, x.shape[1]]))]
        model = convert_sklearn(estimator, initial_types=initial, options=options, target_opset=opset)
        # Rows from all classes.
        step = max(1, len(x) // rows)
        self.save(title or name_of(estimator), model, {"x": x[::step][:rows]}, kind)

    def columns(self, estimator, frame, y, columns, title, kind, options=None):
        """Trains on named columns of several types; each is an input of its own."""
        matrix = np.empty((len(y), len(columns)), dtype=object)
        for position, (column, _) in enumerate(columns):
            matrix[:, position] = frame[column]
        estimator.fit(matrix, y)
        initial = [(column, KINDS[datatype]([None, 1])) for column, datatype in columns]
        options = options or {id(estimator): {"zipmap": False}}
        model = convert_sklearn(estimator, initial_types=initial, options=options)
        feeds = {}
        for column, datatype in columns:
            values = np.array(frame[column][:ROWS], dtype=TYPES.get(datatype, object))
            feeds[column] = values.reshape(-1, 1)
        self.save(title, model, feeds, kind)

    def strings(self, estimator, x, y=None, title=None, ask=None, options=None):
        """Trains on a matrix of strings."""
        x = np.asarray(x, dtype=object)
        estimator.fit(x, y)
        model = convert_sklearn(estimator, initial_types=[("x", StringTensorType([None, x.shape[1]]))], options=options)
        self.save(title or name_of(estimator), model, {"x": x[:ROWS] if ask is None else ask}, "BYTES")

    def graph(self, title, made, inputs, outputs, feeds, opsets, initializers=(), functions=(), sparse=(), kind="FP32"):
        """A graph made by hand: what the converter does not emit."""
        graph = helper.make_graph(made, "graph", inputs, outputs, list(initializers), sparse_initializer=list(sparse))
        opsets = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)
        self.save(title, model, feeds, kind)


def nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


def name_of(estimator):
    if isinstance(estimator, pipeline.Pipeline):
        return ", ".join(name_of(step) for _, step in estimator.steps)
    return type(estimator).__name__


def info(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


IRIS = datasets.load_iris()
WINE = datasets.load_wine()
NAMES = np.array(IRIS.target_names)[IRIS.target]
DIABETES = datasets.load_diabetes()
X, Y = DIABETES.data[:200] * 10, DIABETES.target[:200] / 100
TWO = datasets.make_classification(160, 4, n_informative=3, n_redundant=0, random_state=0)
PAIR = datasets.make_regression(160, 4, n_targets=2, random_state=0)
COUNTS = np.random.default_rng(0).poisson(3, size=(120, 5))
COUNTED = (COUNTS[:, 0] > COUNTS[:, 1]).astype(np.int64) + (COUNTS[:, 2] > 4)
HOLES = IRIS.data.copy()
HOLES[::7, 1] = np.nan
HOLES[3::11, 3] = np.nan
MANY = np.stack([IRIS.target, IRIS.target == 1, IRIS.data[:, 0] > 5.8], axis=1).astype(np.int64)
ONE = {"random_state": 0}
# The newest that the converters of these libraries know.
ML3 = {"": 21, "ai.onnx.ml": 3}


def linear(t):
    t.group = "Linear models"
    m = linear_model
    t.fit(m.LinearRegression(), X, Y)
    t.fit(m.LinearRegression(), X, Y, kind="FP64", title="LinearRegression")
    t.fit(m.LinearRegression(), COUNTS, COUNTS.sum(axis=1), kind="INT64", title="LinearRegression")
    t.fit(m.LinearRegression(), *PAIR, title="LinearRegression, two targets")
    for estimator in (m.Ridge(), m.RidgeCV(), m.Lasso(0.1), m.LassoCV(cv=3), m.ElasticNet(0.1), m.Lars(), m.LassoLars(0.1),
                      m.OrthogonalMatchingPursuit(), m.BayesianRidge(), m.ARDRegression(), m.HuberRegressor(),
                      m.TheilSenRegressor(**ONE, max_subpopulation=100), m.RANSACRegressor(**ONE), m.SGDRegressor(**ONE),
                      m.QuantileRegressor(alpha=0.01), m.PoissonRegressor(), m.GammaRegressor(), m.TweedieRegressor(power=1.5)):
        t.fit(estimator, X, Y)
    t.fit(m.MultiTaskLasso(0.1), *PAIR)
    t.fit(m.LogisticRegression(max_iter=500), IRIS.data, IRIS.target, zipmap=True, title="LogisticRegression, ZipMap")
    t.fit(m.LogisticRegression(max_iter=500), IRIS.data, NAMES, title="LogisticRegression, string labels")
    t.fit(m.LogisticRegression(max_iter=500), IRIS.data, IRIS.target, kind="FP64")
    t.fit(m.LogisticRegression(), *TWO, title="LogisticRegression, two classes")
    t.fit(m.LogisticRegressionCV(cv=3, max_iter=500), *TWO)
    t.fit(m.SGDClassifier(**ONE), *TWO)
    t.fit(m.SGDClassifier(**ONE, loss="log_loss"), IRIS.data, IRIS.target, title="SGDClassifier, log loss")
    t.fit(m.Perceptron(**ONE), IRIS.data, IRIS.target)
    t.fit(m.RidgeClassifier(), IRIS.data, IRIS.target)
    t.fit(m.RidgeClassifierCV(), *TWO)
    t.fit(m.SGDOneClassSVM(**ONE), IRIS.data)
    t.fit(discriminant_analysis.LinearDiscriminantAnalysis(), IRIS.data, IRIS.target)
    t.fit(discriminant_analysis.QuadraticDiscriminantAnalysis(), IRIS.data, IRIS.target)
    t.fit(cross_decomposition.PLSRegression(2), *PAIR)
    t.fit(neural_network.MLPClassifier((6,), max_iter=200, **ONE), IRIS.data, IRIS.target)
    t.fit(neural_network.MLPClassifier((6, 4), activation="tanh", max_iter=200, **ONE), *TWO, kind="FP64",
          title="MLPClassifier, two layers")
    t.fit(neural_network.MLPRegressor(hidden_layer_sizes=(6,), activation="logistic", max_iter=200, **ONE), X, Y)


def trees(t):
    t.group = "Trees and ensembles"
    e = ensemble
    t.fit(tree.DecisionTreeClassifier(max_depth=4, **ONE), IRIS.data, IRIS.target)
    t.fit(tree.DecisionTreeClassifier(max_depth=4, **ONE), IRIS.data, NAMES, title="DecisionTreeClassifier, string labels")
    t.fit(tree.DecisionTreeClassifier(max_depth=4, **ONE), IRIS.data, MANY[:, 1:], title="DecisionTreeClassifier, several outputs")
    t.fit(tree.DecisionTreeRegressor(max_depth=5, **ONE), X, Y)
    t.fit(tree.ExtraTreeClassifier(max_depth=4, **ONE), IRIS.data, IRIS.target)
    t.fit(tree.ExtraTreeRegressor(max_depth=4, **ONE), X, Y)
    t.fit(e.RandomForestClassifier(20, max_depth=6, **ONE), IRIS.data, IRIS.target)
    t.fit(e.RandomForestClassifier(20, max_depth=6, **ONE), WINE.data, WINE.target, kind="FP64")
    t.fit(e.RandomForestClassifier(20, max_depth=6, **ONE), COUNTS, COUNTED, kind="INT64")
    t.fit(e.RandomForestClassifier(10, max_depth=4, **ONE), IRIS.data, MANY, title="RandomForestClassifier, several outputs")
    t.fit(e.RandomForestRegressor(20, max_depth=6, **ONE), X, Y)
    t.fit(e.RandomForestRegressor(20, max_depth=6, **ONE), *PAIR, title="RandomForestRegressor, two targets")
    t.fit(e.ExtraTreesClassifier(20, max_depth=6, **ONE), IRIS.data, IRIS.target)
    t.fit(e.ExtraTreesRegressor(20, max_depth=6, **ONE), X, Y)
    t.fit(e.GradientBoostingClassifier(n_estimators=10, max_depth=2, **ONE), IRIS.data, IRIS.target)
    t.fit(e.GradientBoostingClassifier(n_estimators=10, max_depth=2, **ONE), *TWO,
          title="GradientBoostingClassifier, two classes")
    t.fit(e.GradientBoostingRegressor(n_estimators=10, max_depth=2, **ONE), X, Y)
    t.fit(e.HistGradientBoostingClassifier(max_iter=8, **ONE), HOLES, IRIS.target,
          title="HistGradientBoostingClassifier, missing values")
    t.fit(e.HistGradientBoostingClassifier(max_iter=8, **ONE), *TWO, title="HistGradientBoostingClassifier, two classes")
    t.fit(e.HistGradientBoostingRegressor(max_iter=8, **ONE), HOLES, IRIS.data[:, 0],
          title="HistGradientBoostingRegressor, missing values")
    t.fit(e.AdaBoostClassifier(n_estimators=4, **ONE), IRIS.data, IRIS.target)
    t.fit(e.AdaBoostRegressor(n_estimators=4, **ONE), X, Y)
    t.fit(e.BaggingClassifier(n_estimators=4, **ONE), IRIS.data, IRIS.target)
    t.fit(e.BaggingClassifier(linear_model.LogisticRegression(max_iter=300), n_estimators=3, max_features=0.6, **ONE), IRIS.data,
          IRIS.target, title="BaggingClassifier, LogisticRegression")
    t.fit(e.BaggingRegressor(n_estimators=4, **ONE), X, Y)
    t.fit(e.IsolationForest(n_estimators=4, max_samples=32, **ONE), IRIS.data, opset=ML3)
    t.fit(e.VotingClassifier([("a", linear_model.LogisticRegression(max_iter=300)), ("b", naive_bayes.GaussianNB())],
                             voting="soft", flatten_transform=False), IRIS.data, IRIS.target, title="VotingClassifier, soft")
    t.fit(e.VotingClassifier([("a", linear_model.LogisticRegression(max_iter=300)), ("b", naive_bayes.GaussianNB()),
                              ("c", tree.DecisionTreeClassifier(max_depth=2, **ONE))], flatten_transform=False), IRIS.data, IRIS.target,
          title="VotingClassifier, hard", options={})
    t.fit(e.VotingRegressor([("a", linear_model.LinearRegression()), ("b", tree.DecisionTreeRegressor(max_depth=3))]), X, Y)
    t.fit(e.StackingClassifier([("a", linear_model.LogisticRegression(max_iter=300)),
                                ("b", tree.DecisionTreeClassifier(max_depth=3, **ONE))]), IRIS.data, IRIS.target)
    t.fit(e.StackingRegressor([("a", linear_model.LinearRegression()), ("b", tree.DecisionTreeRegressor(max_depth=3))]), X, Y)
    t.fit(xgboost.XGBClassifier(n_estimators=8, max_depth=3, **ONE), HOLES, IRIS.target, title="XGBClassifier, missing values", opset=ML3)
    t.fit(xgboost.XGBClassifier(n_estimators=8, max_depth=3, **ONE), *TWO, title="XGBClassifier, two classes", opset=ML3)
    t.fit(xgboost.XGBRegressor(n_estimators=8, max_depth=3, **ONE), X, Y, opset=ML3)
    t.fit(lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6, verbose=-1, **ONE), IRIS.data, IRIS.target, opset=ML3)
    t.fit(lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6, verbose=-1, **ONE), *TWO, title="LGBMClassifier, two classes", opset=ML3)
    t.fit(lightgbm.LGBMRegressor(n_estimators=8, num_leaves=6, verbose=-1, **ONE), X, Y, opset=ML3)
    t.fit(e.RandomTreesEmbedding(4, max_depth=3, sparse_output=False, **ONE), X)


def kernels(t):
    t.group = "Support vectors, neighbors, Gaussian processes"
    s, n, g = svm, neighbors, gaussian_process
    t.fit(s.SVC(**ONE), IRIS.data, IRIS.target)
    t.fit(s.SVC(probability=True, **ONE), IRIS.data, IRIS.target, title="SVC, probabilities")
    t.fit(s.SVC(kernel="linear", probability=True, **ONE), *TWO, title="SVC, linear, two classes")
    t.fit(s.SVC(kernel="poly", **ONE), IRIS.data, NAMES, title="SVC, polynomial, string labels")
    t.fit(s.SVC(kernel="sigmoid", **ONE), *TWO, title="SVC, sigmoid, two classes")
    t.fit(s.NuSVC(nu=0.2, probability=True, **ONE), IRIS.data, IRIS.target)
    t.fit(s.LinearSVC(**ONE), IRIS.data, IRIS.target)
    t.fit(s.LinearSVC(**ONE), *TWO, title="LinearSVC, two classes")
    t.fit(s.SVR(), X, Y)
    t.fit(s.SVR(kernel="linear"), X, Y, title="SVR, linear")
    t.fit(s.NuSVR(), X, Y)
    t.fit(s.LinearSVR(**ONE, max_iter=5000), X, Y)
    t.fit(s.OneClassSVM(nu=0.2), IRIS.data)
    t.fit(n.KNeighborsClassifier(3), IRIS.data, IRIS.target)
    t.fit(n.KNeighborsClassifier(3, weights="distance"), IRIS.data + 0.01, IRIS.target, title="KNeighborsClassifier, distance")
    t.fit(n.KNeighborsClassifier(3, metric="manhattan"), IRIS.data, NAMES, title="KNeighborsClassifier, Manhattan")
    t.fit(n.KNeighborsClassifier(3), IRIS.data, IRIS.target, kind="FP64")
    t.fit(n.KNeighborsClassifier(3), IRIS.data, IRIS.target, title="KNeighborsClassifier, optimized CDist",
          options={n.KNeighborsClassifier: {"optim": "cdist", "zipmap": False}})
    t.fit(n.KNeighborsRegressor(3), X, Y)
    t.fit(n.KNeighborsRegressor(3, weights="distance"), *PAIR, title="KNeighborsRegressor, distance, two targets")
    t.fit(n.KNeighborsRegressor(3), X, Y, title="KNeighborsRegressor, optimized CDist",
          options={n.KNeighborsRegressor: {"optim": "cdist"}})
    t.fit(n.NearestNeighbors(n_neighbors=3, radius=None), X)
    t.fit(n.KNeighborsTransformer(n_neighbors=3), X)
    t.fit(n.NeighborhoodComponentsAnalysis(2, max_iter=20, **ONE), IRIS.data, IRIS.target)
    t.fit(n.LocalOutlierFactor(novelty=True, n_neighbors=5), IRIS.data)
    k = g.kernels
    t.fit(g.GaussianProcessRegressor(alpha=0.1, optimizer=None), X[:40], Y[:40])
    t.fit(g.GaussianProcessRegressor(k.RBF(2.0), alpha=0.1, optimizer=None), X[:40], Y[:40], kind="FP64",
          title="GaussianProcessRegressor, RBF")
    t.fit(g.GaussianProcessRegressor(k.ConstantKernel(2.0) * k.RationalQuadratic() + k.DotProduct(), alpha=0.5, optimizer=None), X[:40],
          Y[:40], kind="FP64", title="GaussianProcessRegressor, sum of kernels")
    t.fit(g.GaussianProcessRegressor(k.ExpSineSquared(2.0, 3.0), alpha=2.0, optimizer=None), X[:40], Y[:40], kind="FP64",
          title="GaussianProcessRegressor, ExpSineSquared")


def bayes(t):
    t.group = "Naive Bayes, mixtures, clusters"
    b = naive_bayes
    t.fit(b.GaussianNB(), IRIS.data, IRIS.target)
    t.fit(b.GaussianNB(), IRIS.data, NAMES, kind="FP64", title="GaussianNB, string labels")
    t.fit(b.MultinomialNB(), COUNTS, COUNTED)
    t.fit(b.MultinomialNB(), COUNTS, COUNTED, kind="INT64")
    t.fit(b.BernoulliNB(binarize=2.5), COUNTS, COUNTED)
    t.fit(b.ComplementNB(), COUNTS, COUNTED)
    t.fit(b.CategoricalNB(min_categories=16), COUNTS, COUNTED, kind="INT64")
    t.fit(mixture.GaussianMixture(2, **ONE), IRIS.data, options={})
    t.fit(mixture.GaussianMixture(2, covariance_type="diag", **ONE), IRIS.data, title="GaussianMixture, diagonal", options={})
    t.fit(mixture.BayesianGaussianMixture(n_components=2, **ONE), IRIS.data, options={})
    t.fit(cluster.KMeans(3, n_init=1, **ONE), IRIS.data)
    t.fit(cluster.MiniBatchKMeans(3, n_init=1, **ONE), IRIS.data)


def meta(t):
    t.group = "Estimators of estimators"
    lr = linear_model.LogisticRegression(max_iter=300)
    t.fit(calibration.CalibratedClassifierCV(svm.LinearSVC(**ONE), cv=3), IRIS.data, IRIS.target, title="CalibratedClassifierCV, sigmoid")
    t.fit(calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), method="isotonic", cv=3), *TWO,
          title="CalibratedClassifierCV, isotonic")
    t.fit(multiclass.OneVsRestClassifier(lr), IRIS.data, IRIS.target)
    t.fit(multiclass.OneVsRestClassifier(lr), IRIS.data, MANY[:, 1:], title="OneVsRestClassifier, multilabel")
    t.fit(multiclass.OneVsOneClassifier(lr), IRIS.data, IRIS.target, options={})
    t.fit(multioutput.MultiOutputClassifier(lr), IRIS.data, MANY)
    t.fit(multioutput.MultiOutputRegressor(svm.LinearSVR(**ONE)), *PAIR)
    t.fit(pipeline.make_pipeline(preprocessing.StandardScaler(), lr), WINE.data, WINE.target)
    t.fit(pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(3), lr), WINE.data, WINE.target, kind="FP64")
    t.fit(pipeline.make_pipeline(impute.SimpleImputer(), ensemble.RandomForestClassifier(5, max_depth=3, **ONE)), HOLES, IRIS.target)
    union = pipeline.FeatureUnion([("a", preprocessing.StandardScaler()), ("b", decomposition.PCA(2))])
    t.fit(pipeline.Pipeline([("features", union), ("model", linear_model.Ridge())]), X, Y, title="FeatureUnion, Ridge")
    select = feature_selection
    t.fit(pipeline.make_pipeline(select.SelectKBest(k=2), lr), IRIS.data, IRIS.target)
    t.fit(select.VarianceThreshold(0.5), IRIS.data)
    for choose in (select.SelectFdr(), select.SelectFpr(), select.SelectFwe(), select.SelectPercentile(percentile=50),
                   select.GenericUnivariateSelect(mode="k_best", param=2)):
        t.fit(choose, IRIS.data, IRIS.target)
    t.fit(select.RFECV(lr, cv=3), IRIS.data, IRIS.target, options={})
    t.fit(model_selection.GridSearchCV(lr, {"C": [0.1, 1.0]}, cv=3), IRIS.data, IRIS.target)
    t.fit(model_selection.TunedThresholdClassifierCV(linear_model.LogisticRegression(), cv=3, **ONE), *TWO)
    t.fit(select.RFE(lr, n_features_to_select=2), IRIS.data, IRIS.target, options={})
    t.fit(select.SelectFromModel(tree.DecisionTreeClassifier(max_depth=3, **ONE)), IRIS.data, IRIS.target)


def numbers(t):
    t.group = "Transformers of numbers"
    p = preprocessing
    t.fit(p.StandardScaler(), X)
    t.fit(p.StandardScaler(), X, kind="FP64")
    t.fit(p.StandardScaler(), COUNTS, kind="INT64")
    t.fit(p.MinMaxScaler(clip=True), X)
    t.fit(p.MaxAbsScaler(), X)
    t.fit(p.RobustScaler(), X, kind="FP64")
    for norm in ("l1", "l2", "max"):
        t.fit(p.Normalizer(norm), X, title=f"Normalizer, {norm}")
    t.fit(p.Binarizer(threshold=0.1), X)
    t.fit(p.KBinsDiscretizer(3, encode="ordinal"), X, title="KBinsDiscretizer, ordinal")
    t.fit(p.KBinsDiscretizer(3, encode="onehot-dense"), X, title="KBinsDiscretizer, one-hot")
    t.fit(p.PolynomialFeatures(2), X)
    t.fit(p.PolynomialFeatures(3, interaction_only=True), X[:, :4], title="PolynomialFeatures, interactions")
    t.fit(p.FunctionTransformer(), X)
    t.fit(p.KernelCenterer(), X[:8] @ X[:8].T)
    t.fit(text.TfidfTransformer(), COUNTS)
    t.fit(p.PowerTransformer(), X)
    t.fit(p.PowerTransformer("box-cox"), np.exp(X), title="PowerTransformer, Box-Cox")
    t.fit(p.QuantileTransformer(n_quantiles=20, **ONE), X)
    t.fit(impute.SimpleImputer(), HOLES)
    t.fit(impute.SimpleImputer(strategy="median"), HOLES, title="SimpleImputer, median")
    t.fit(impute.KNNImputer(n_neighbors=2), HOLES)
    d = decomposition
    t.fit(d.PCA(2), IRIS.data)
    t.fit(d.PCA(2, whiten=True), IRIS.data, kind="FP64", title="PCA, whitened")
    t.fit(d.IncrementalPCA(2), IRIS.data)
    t.fit(d.TruncatedSVD(2, **ONE), IRIS.data)
    t.fit(d.KernelPCA(2, kernel="rbf"), IRIS.data[::5])
    t.fit(random_projection.GaussianRandomProjection(2, **ONE), IRIS.data)


def words(t):
    t.group = "Transformers of words and columns"
    p = preprocessing
    colors = np.array([["red", "small"], ["blue", "large"], ["green", "small"], ["red", "large"]] * 10, dtype=object)
    unknown = np.array([["red", "small"], ["pink", "large"]], dtype=object)
    t.strings(p.OneHotEncoder(handle_unknown="ignore"), colors, ask=unknown)
    t.strings(p.OneHotEncoder(drop="first"), colors, title="OneHotEncoder, first dropped")
    t.fit(p.OneHotEncoder(handle_unknown="ignore"), COUNTS, kind="INT64")
    t.fit(p.OneHotEncoder(handle_unknown="ignore"), COUNTS, kind="FP32")
    t.strings(p.OrdinalEncoder(), colors)
    t.strings(p.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), colors, ask=unknown,
              title="OrdinalEncoder, unknown values")
    t.fit(p.OrdinalEncoder(), COUNTS, kind="INT64")
    t.strings(p.TargetEncoder(**ONE), colors, np.arange(40) % 7 / 2.0)
    t.strings(impute.SimpleImputer(missing_values="", strategy="most_frequent"), np.where(colors == "blue", "", colors),
              title="SimpleImputer, strings")
    label = p.LabelEncoder().fit(colors[:, 0])
    t.save("LabelEncoder", convert_sklearn(label, initial_types=[("x", StringTensorType([None]))]), {"x": colors[:5, 0]}, "BYTES")
    label = p.LabelEncoder().fit(COUNTS[:, 0])
    t.save("LabelEncoder", convert_sklearn(label, initial_types=[("x", Int64TensorType([None]))]), {"x": COUNTS[:5, 0]}, "INT64")
    binarizer = p.LabelBinarizer().fit(COUNTS[:, 0])
    t.save("LabelBinarizer", convert_sklearn(binarizer, initial_types=[("x", Int64TensorType([None, 1]))]),
           {"x": COUNTS[:5, :1]}, "INT64")
    frame = {"color": colors[:, 0], "size": colors[:, 1], "weight": np.arange(40) / 4, "count": np.arange(40) % 5}
    label = (np.arange(40) % 5 > 2).astype(np.int64)
    types = [("color", "BYTES"), ("size", "BYTES"), ("weight", "FP32"), ("count", "INT64")]

    def mixed(model):
        return pipeline.make_pipeline(
            compose.ColumnTransformer([
                ("words", p.OneHotEncoder(handle_unknown="ignore"), [0, 1]),
                ("numbers", p.StandardScaler(), [2]),
                ("counts", p.MinMaxScaler(), [3]),
            ]), model)

    title = "ColumnTransformer, {}"
    for model in (linear_model.LogisticRegression(), ensemble.RandomForestClassifier(6, max_depth=3, **ONE),
                  ensemble.GradientBoostingClassifier(n_estimators=5, **ONE)):
        t.columns(mixed(model), frame, label, types, title.format(name_of(model)), "mixed")
    model = linear_model.Ridge()
    t.columns(mixed(model), frame, frame["weight"] + label, types, title.format(name_of(model)), "mixed", options={"": {}})
    ordinal = pipeline.make_pipeline(compose.ColumnTransformer([("words", p.OrdinalEncoder(), [0, 1])], remainder="passthrough"),
                                     tree.DecisionTreeClassifier(max_depth=3, **ONE))
    t.columns(ordinal, frame, label, types[:3], "ColumnTransformer, OrdinalEncoder, passthrough", "mixed")


def opsets(t):
    t.group = "Other operator sets"
    for opset, ml in ((9, 1), (11, 1), (13, 2), (15, 3), (18, 3), (21, 3)):
        target = {"": opset, "ai.onnx.ml": ml}
        title = f"opset {opset}, ai.onnx.ml {ml}"
        t.fit(pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()), WINE.data, WINE.target,
              opset=target, title=f"StandardScaler, LogisticRegression, {title}")
        t.fit(ensemble.RandomForestClassifier(5, max_depth=3, **ONE), IRIS.data, NAMES, opset=target,
              title=f"RandomForestClassifier, {title}")


def tree_ensemble(kind, **changed):
    """A `TreeEnsemble`: one tree that asks whether the first feature is 1 or 3, one with a missing value."""
    numbers = {"FP32": np.float32, "FP64": np.float64}[kind]

    def constant(name, values):
        return {name: numpy_helper.from_array(np.array(values, dtype=numbers), name)}

    modes = numpy_helper.from_array(np.array([0, 6, 1], dtype=np.uint8), "nodes_modes")
    attributes = dict(
        nodes_featureids=[0, 0, 1], nodes_truenodeids=[0, 1, 3], nodes_falsenodeids=[1, 2, 4], nodes_trueleafs=[1, 1, 1],
        nodes_falseleafs=[0, 1, 1], nodes_modes=modes, nodes_missing_value_tracks_true=[0, 0, 1], tree_roots=[0, 2],
        leaf_targetids=[0, 1, 0, 1, 0], n_targets=2, **constant("nodes_splits", [0.5, 0, 0.1]),
        **constant("membership_values", [1, 3, np.nan]), **constant("leaf_weights", [1.5, 2.25, -3, 0.5, 0.125]))
    return helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **{**attributes, **changed})


def by_hand(t):
    t.group = "Graphs made by hand"
    F, D, I, S = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
    rows = np.array([[0, 0], [1, 1], [2, 0.1], [3, np.nan], [np.nan, 5]])
    for title, attributes in (("", {}), (", average", {"aggregate_function": 0}), (", minimum", {"aggregate_function": 2}),
                              (", maximum", {"aggregate_function": 3}), (", post_transform 1", {"post_transform": 1}),
                              (", post_transform 2", {"post_transform": 2})):
        t.graph(f"TreeEnsemble{title}", [tree_ensemble("FP32", **attributes)], [info("x", F, ["n", 2])], [info("y", F, ["n", 2])],
                {"x": rows.astype(np.float32)}, {"": 21, "ai.onnx.ml": 5})
    t.graph("TreeEnsemble", [tree_ensemble("FP64")], [info("x", D, ["n", 2])], [info("y", D, ["n", 2])], {"x": rows},
            {"": 21, "ai.onnx.ml": 5}, kind="FP64")
    words = np.array(["b", "z", "a"], dtype=object)
    encode = helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", classes_strings=["a", "b", "a"], default_int64=-5)
    t.graph("LabelEncoder, first version", [encode], [info("x", S, ["n"])], [info("y", I, ["n"])], {"x": words},
            {"": 13, "ai.onnx.ml": 1}, kind="BYTES")
    decode = helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", classes_strings=["a", "b"])
    t.graph("LabelEncoder, first version", [decode], [info("x", I, ["n"])], [info("y", S, ["n"])], {"x": np.array([1, 0, 2, -1])},
            {"": 13, "ai.onnx.ml": 1}, kind="INT64")
    mapper = helper.make_node("CategoryMapper", ["x"], ["y"], domain="ai.onnx.ml", cats_strings=["a", "b"], cats_int64s=[7, 9],
                              default_int64=-1, default_string="none")
    t.graph("CategoryMapper", [mapper], [info("x", S, ["n"])], [info("y", I, ["n"])], {"x": words}, {"": 17, "ai.onnx.ml": 1},
            kind="BYTES")
    t.graph("CategoryMapper", [mapper], [info("x", I, ["n"])], [info("y", S, ["n"])], {"x": np.array([9, 8, 7])},
            {"": 17, "ai.onnx.ml": 1}, kind="INT64")
    values = numpy_helper.from_array(np.array([2.5, -1.0], dtype=np.float32), "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1, 3], dtype=np.int64), "i"), [2, 3])
    plain = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
    t.graph("Sparse initializer", [helper.make_node("MatMul", ["x", "w"], ["y"])], [info("x", F, ["n", 2])],
            [info("y", F, ["n", 3])], {"x": plain}, {"": 17}, sparse=[sparse])
    opset = [helper.make_opsetid("", 17)]
    scaled = helper.make_function(
        "own", "Scaled", ["a"], ["b"],
        [helper.make_node("Constant", [], ["c"]), helper.make_node("Mul", ["a", "c"], ["b"])], opset, ["factor"])
    reference = scaled.node[0].attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "value_float", "factor", 1
    twice = helper.make_function(
        "own", "Both", ["a"], ["b", "c"],
        [helper.make_node("Scaled", ["a"], ["b"], domain="own", factor=2.0),
         helper.make_node("Scaled", ["b"], ["c"], domain="own", factor=-3.0)], [*opset, helper.make_opsetid("own", 1)])
    t.graph("Model-local functions", [helper.make_node("Both", ["x"], ["y", "z"], domain="own")], [info("x", F, ["n", 2])],
            [info("y", F, ["n", 2]), info("z", F, ["n", 2])], {"x": plain}, {"": 17, "own": 1}, functions=[scaled, twice])


def standard_operators():
    """Operators of the standard, without those of the default domain that are deprecated."""
    domains = {"": "ai.onnx", "ai.onnx.ml": "ai.onnx.ml"}
    names = {domain: set() for domain in domains.values()}
    for schema in onnx.defs.get_all_schemas():
        # The older operators of trees are deprecated, and what every converter emits.
        if schema.domain in domains and (schema.domain == "ai.onnx.ml" or not schema.deprecated):
            names[domains[schema.domain]].add(schema.name)
    return {domain: sorted(operators) for domain, operators in names.items()}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(folder)
    for part in (linear, trees, kernels, bayes, meta, numbers, words, opsets, by_hand):
        part(table)
    (folder / "operators.json").write_text(json.dumps(standard_operators()) + "\n")
    (folder / "index.json").write_text(json.dumps(table.index, indent=1) + "\n")


if __name__ == "__main__":
    main()
