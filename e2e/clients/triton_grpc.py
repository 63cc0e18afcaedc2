"""tritonclient over gRPC, unary and streaming, against a server of the example models."""

import queue

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

import checks
import reference

TIMEOUT = 60  # Seconds; of any one call, a model's load included.


def infer_input(name, rows, datatype="FP32"):
    tensor = triton.InferInput(name, list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows)
    return tensor


def arrays(result):
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def ask(client, model, rows, **options):
    return client.infer(
        model.name, [infer_input(model.input, rows)], model.version, client_timeout=TIMEOUT, **options
    )


def stream(client, requests):
    """Sends (model, rows) pairs on one stream; returns what came back, in the order sent: arrays or an exception."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    try:
        for number, (model, rows) in enumerate(requests):
            inputs = [infer_input(model.input, rows)]
            client.async_stream_infer(model.name, inputs, model.version, request_id=str(number))
        received = []
        for _ in requests:
            result, error = answers.get(timeout=TIMEOUT)
            received.append(error or result)
            if error and error.status() is not None:
                break  # The call's own end, after which nothing comes.
    finally:
        client.stop_stream()
    return received


def check_server(run, client):
    with run.check("server is live and ready"):
        assert client.is_server_live(client_timeout=TIMEOUT)
        assert client.is_server_ready(client_timeout=TIMEOUT)
    with run.check("server metadata"):
        metadata = client.get_server_metadata(client_timeout=TIMEOUT)
        assert metadata.name and metadata.version, metadata
        assert {"model_configuration", "statistics"} <= set(metadata.extensions), metadata.extensions


def statistics(client, model):
    answer = client.get_inference_statistics(model.name, model.version, client_timeout=TIMEOUT)
    (stats,) = answer.model_stats
    return stats.inference_count, stats.inference_stats.success.count


def check_model(run, client, model):
    title = f"{model.name} {model.version}".strip()
    with run.check(f"{title} is ready"):
        assert client.is_model_ready(model.name, model.version, client_timeout=TIMEOUT)
    with run.check(f"{title} metadata"):
        metadata = client.get_model_metadata(model.name, model.version, client_timeout=TIMEOUT)
        assert metadata.name.startswith(model.name), metadata.name  # The id behind the name, over gRPC.
        assert [(i.name, i.datatype) for i in metadata.inputs] == [(model.input, "FP32")], metadata.inputs
        assert list(metadata.inputs[0].shape) == [-1, *model.rows.shape[1:]], metadata.inputs[0].shape
        want = [(name, reference.DATATYPES[a.dtype]) for name, a in model.reference(model.rows).items()]
        assert [(o.name, o.datatype) for o in metadata.outputs] == want, metadata.outputs
    with run.check(f"{title} configuration"):
        config = client.get_model_config(model.name, model.version, client_timeout=TIMEOUT).config
        assert config.max_batch_size == 0 and config.backend == "onnxruntime", config
        assert [(i.name, i.data_type) for i in config.input] == [(model.input, model_config_pb2.TYPE_FP32)], config
        assert list(config.input[0].dims) == [-1, *model.rows.shape[1:]], config
        assert [o.name for o in config.output] == model.outputs, config
    with run.check(f"{title} statistics count answered requests"):
        before = statistics(client, model)
        ask(client, model, model.rows)
        assert statistics(client, model) == (before[0] + len(model.rows), before[1] + 1), before
    for size in (1, 2, 16):
        rows = model.batch(size)
        with run.check(f"{title} answers {size} rows"):
            checks.same(arrays(ask(client, model, rows)), model.reference(rows))
    with run.check(f"{title} answers with only the output that was asked for"):
        name = model.outputs[-1]
        result = ask(client, model, model.rows, outputs=[triton.InferRequestedOutput(name)], request_id="a-1")
        checks.same(arrays(result), {name: model.reference(model.rows)[name]})
        assert result.get_response().id == "a-1", result.get_response().id
    for algorithm in ("gzip", "deflate"):
        with run.check(f"{title} answers a request in {algorithm}, or says that it cannot"):
            try:
                result = ask(client, model, model.rows, compression_algorithm=algorithm)
            except InferenceServerException as err:
                assert algorithm == "deflate" and err.status() == "StatusCode.UNIMPLEMENTED", err
            else:
                checks.same(arrays(result), model.reference(model.rows))
    with run.check(f"{title} answers 20 messages of a stream in order"):
        requests = [(model, model.batch(1 + number % 4)) for number in range(20)]
        received = stream(client, requests)
        for number, (result, (_, rows)) in enumerate(zip(received, requests)):
            if isinstance(result, Exception):
                raise result
            assert result.get_response().id == str(number), result.get_response().id
            checks.same(arrays(result), model.reference(rows))
        assert len(received) == 20


def check_errors(run, client, iris, wine):
    def refused(status, *words):
        return checks.refused(InferenceServerException, f"StatusCode.{status}", *words)

    with run.check("unknown model"), refused("NOT_FOUND", "not found"):
        client.infer("no-such-model", [infer_input("features", iris.rows)], client_timeout=TIMEOUT)
    with run.check("unknown version"), refused("NOT_FOUND"):
        client.infer("iris", [infer_input("features", iris.rows)], "77", client_timeout=TIMEOUT)
    with run.check("metadata of an unknown model"), refused("NOT_FOUND"):
        client.get_model_metadata("no-such-model", client_timeout=TIMEOUT)
    with run.check("an unknown model is not ready"):
        try:
            assert not client.is_model_ready("no-such-model", client_timeout=TIMEOUT)
        except InferenceServerException as err:
            assert err.status() == "StatusCode.NOT_FOUND", err
    with run.check("wrong input name"), refused("INVALID_ARGUMENT", "measurements", "features"):
        client.infer("iris", [infer_input("measurements", iris.rows)], client_timeout=TIMEOUT)
    with run.check("wrong number of columns"), refused("INVALID_ARGUMENT", "features", "5", "4"):
        client.infer("iris", [infer_input("features", np.ones((1, 5), np.float32))], client_timeout=TIMEOUT)
    with run.check("wrong number of dimensions"), refused("INVALID_ARGUMENT", "features"):
        client.infer("iris", [infer_input("features", np.ones(4, np.float32))], client_timeout=TIMEOUT)
    with run.check("wrong datatype"), refused("INVALID_ARGUMENT", "features", "INT64", "FP32"):
        client.infer("iris", [infer_input("features", np.ones((1, 4), np.int64), "INT64")], client_timeout=TIMEOUT)
    with run.check("one input too many"), refused("INVALID_ARGUMENT", "extra"):
        inputs = [infer_input("features", iris.rows), infer_input("extra", iris.rows)]
        client.infer("iris", inputs, client_timeout=TIMEOUT)
    with run.check("no input"), refused("INVALID_ARGUMENT", "features"):
        client.infer("iris", [], client_timeout=TIMEOUT)
    with run.check("unknown output"), refused("INVALID_ARGUMENT", "nonsense"):
        outputs = [triton.InferRequestedOutput("nonsense")]
        client.infer("iris", [infer_input("features", iris.rows)], outputs=outputs, client_timeout=TIMEOUT)
    with run.check("a refused message of a stream does not end it"):
        received = stream(client, [(iris, np.ones((1, 5), np.float32)), (iris, iris.rows)])
        assert isinstance(received[0], Exception) and "features" in str(received[0]), received
        checks.same(arrays(received[1]), iris.reference(iris.rows))
    with run.check("a stream that changes to another model is refused"):
        received = stream(client, [(iris, iris.rows), (wine, wine.rows)])
        errors = [r for r in received if isinstance(r, Exception)]
        assert len(errors) == 1, received
        assert errors[0].status() in (None, "StatusCode.INVALID_ARGUMENT"), errors[0]
    with run.check("answers after all that"):
        checks.same(arrays(ask(client, iris, iris.rows)), iris.reference(iris.rows))


def check_repository(run, client, iris):
    with run.check("repository index"):
        index = {model.name for model in client.get_model_repository_index(client_timeout=TIMEOUT).models}
        assert set(reference.MODELS) <= index, index
    with run.check("unload, load, ask"):
        client.unload_model("iris", client_timeout=TIMEOUT)
        client.load_model("iris", client_timeout=TIMEOUT)
        checks.same(arrays(ask(client, iris, iris.rows)), iris.reference(iris.rows))


def main():
    arguments = checks.arguments(__doc__)
    run = checks.Checks()
    models = list(reference.load_models())
    by_name = {model.name: model for model in models}
    with triton.InferenceServerClient(arguments.address) as client:
        check_server(run, client)
        for model in models:
            check_model(run, client, model)
        check_errors(run, client, by_name["iris"], by_name["wine"])
        check_repository(run, client, by_name["iris"])
    run.exit()


if __name__ == "__main__":
    main()
