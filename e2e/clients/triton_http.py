"""tritonclient over REST, tensors as JSON and as binary, against a server of the example models."""

import itertools

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

import checks
import reference

TIMEOUT = 60.0  # Seconds; of any one call, a model's load included.


def infer_input(name, rows, binary, datatype="FP32"):
    tensor = triton.InferInput(name, list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def arrays(result):
    return {output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]}


def check_server(run, client):
    with run.check("server is live and ready"):
        assert client.is_server_live()
        assert client.is_server_ready()
    with run.check("server metadata"):
        metadata = client.get_server_metadata()
        assert metadata["name"] and metadata["version"], metadata
        extensions = {"binary_tensor_data", "model_configuration", "statistics"}
        assert extensions <= set(metadata["extensions"]), metadata


def statistics(client, model):
    (stats,) = client.get_inference_statistics(model.name, model.version)["model_stats"]
    return stats["inference_count"], stats["inference_stats"]["success"]["count"]


def check_model(run, client, model):
    shape = [-1, *model.rows.shape[1:]]
    title = f"{model.name} {model.version}".strip()
    with run.check(f"{title} is ready"):
        assert client.is_model_ready(model.name, model.version)
    with run.check(f"{title} metadata"):
        metadata = client.get_model_metadata(model.name, model.version)
        assert metadata["name"].startswith(model.name), metadata
        assert metadata["inputs"] == [{"name": model.input, "datatype": "FP32", "shape": shape}], metadata["inputs"]
        want = [(name, reference.DATATYPES[a.dtype]) for name, a in model.reference(model.rows).items()]
        assert [(o["name"], o["datatype"]) for o in metadata["outputs"]] == want, metadata["outputs"]
    with run.check(f"{title} configuration"):
        config = client.get_model_config(model.name, model.version)
        assert config["max_batch_size"] == 0 and config["backend"] == "onnxruntime", config
        assert config["input"] == [{"name": model.input, "data_type": "TYPE_FP32", "dims": shape}], config["input"]
    with run.check(f"{title} statistics count answered requests"):
        before = statistics(client, model)
        client.infer(model.name, [infer_input(model.input, model.rows, True)], model.version)
        assert statistics(client, model) == (before[0] + len(model.rows), before[1] + 1), before
    kinds = {True: "binary", False: "JSON"}
    for size, (binary_in, binary_out) in zip((1, 2, 16, 5), itertools.product(kinds, kinds)):
        rows = model.batch(size)
        with run.check(f"{title} answers {size} rows, {kinds[binary_in]} in, {kinds[binary_out]} out"):
            outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in model.outputs]
            inputs = [infer_input(model.input, rows, binary_in)]
            result = client.infer(model.name, inputs, model.version, outputs=outputs, request_id="a-1")
            checks.same(arrays(result), model.reference(rows))
            assert result.get_response()["id"] == "a-1", result.get_response()
    with run.check(f"{title} answers without a list of outputs"):
        result = client.infer(model.name, [infer_input(model.input, model.rows, False)], model.version)
        checks.same(arrays(result), model.reference(model.rows))
    for binary in kinds:
        with run.check(f"{title} answers compressed with gzip, {kinds[binary]}"):
            result = client.infer(
                model.name,
                [infer_input(model.input, model.rows, binary)],
                model.version,
                outputs=[triton.InferRequestedOutput(name, binary_data=binary) for name in model.outputs],
                request_compression_algorithm="gzip",
                response_compression_algorithm="gzip",
            )
            checks.same(arrays(result), model.reference(model.rows))


def check_errors(run, client, iris):
    def refused(status, *words):
        return checks.refused(InferenceServerException, str(status), *words)

    for binary in (True, False):
        kind = "binary" if binary else "JSON"

        def infer(rows, name="features", model="iris", datatype="FP32", **options):
            return client.infer(model, [infer_input(name, rows, binary, datatype)], **options)

        with run.check(f"unknown model, {kind}"), refused(404, "not found"):
            infer(iris.rows, model="no-such-model")
        with run.check(f"unknown version, {kind}"), refused(404):
            infer(iris.rows, model_version="77")
        with run.check(f"wrong input name, {kind}"), refused(400, "measurements", "features"):
            infer(iris.rows, name="measurements")
        with run.check(f"wrong number of columns, {kind}"), refused(400, "features", "5", "4"):
            infer(np.ones((1, 5), np.float32))
        with run.check(f"wrong datatype, {kind}"), refused(400, "features", "INT64", "FP32"):
            infer(np.ones((1, 4), np.int64), datatype="INT64")
        with run.check(f"unknown output, {kind}"), refused(400, "nonsense"):
            infer(iris.rows, outputs=[triton.InferRequestedOutput("nonsense", binary_data=binary)])
    with run.check("metadata of an unknown model"), refused(404):
        client.get_model_metadata("no-such-model")
    with run.check("an unknown model is not ready"):
        assert not client.is_model_ready("no-such-model")
    with run.check("answers after all that"):
        result = client.infer("iris", [infer_input("features", iris.rows, True)])
        checks.same(arrays(result), iris.reference(iris.rows))


def check_repository(run, client, iris):
    with run.check("repository index"):
        index = {model["name"] for model in client.get_model_repository_index()}
        assert set(reference.MODELS) <= index, index
    with run.check("unload, load, ask"):
        client.unload_model("iris")
        client.load_model("iris")
        result = client.infer("iris", [infer_input("features", iris.rows, True)])
        checks.same(arrays(result), iris.reference(iris.rows))


def main():
    arguments = checks.arguments(__doc__)
    run = checks.Checks()
    models = list(reference.load_models())
    iris = next(model for model in models if model.name == "iris")
    with triton.InferenceServerClient(
        arguments.address, connection_timeout=TIMEOUT, network_timeout=TIMEOUT
    ) as client:
        check_server(run, client)
        for model in models:
            check_model(run, client, model)
        check_errors(run, client, iris)
        check_repository(run, client, iris)
    run.exit()


if __name__ == "__main__":
    main()
