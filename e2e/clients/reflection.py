"""grpcurl and buf, which learn every message by reflection: one built on grpc-go, the other on an HTTP client of its own."""

import base64
import json
import subprocess

import numpy as np

import checks

TIMEOUT = 60  # Seconds; of any one call, a model's load included.
SERVICE = "inference.GRPCInferenceService"
# gRPC's numbers.
NOT_FOUND, INVALID_ARGUMENT, UNIMPLEMENTED = 5, 3, 12
NAMES = {NOT_FOUND: ("NotFound", "not_found"), INVALID_ARGUMENT: ("InvalidArgument", "invalid_argument")}
NAMES[UNIMPLEMENTED] = ("Unimplemented", "unimplemented")


class Refused(Exception):
    """A call that ended with a gRPC status."""

    def __init__(self, code, text):
        super().__init__(text)
        self.status = lambda: code


def run_tool(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def answer_of(done, code, text):
    """The messages that were printed; a failure carries the code that the exit code stands for."""
    if done.returncode != 0:
        raise Refused(code, text)
    return json.loads(done.stdout)


class Grpcurl:
    """Exit code: 64 and the gRPC code."""

    name = "grpcurl"

    def __init__(self, address):
        self.address = address

    def plain(self, *arguments):
        return run_tool("grpcurl", "-plaintext", *arguments)

    def services(self):
        done = self.plain(self.address, "list")
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    def methods(self, service):
        done = self.plain(self.address, "list", service)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    def call(self, method, message, *headers):
        given = [word for header in headers for word in ("-H", header)]
        done = self.plain("-format-error", *given, "-d", json.dumps(message), self.address, method)
        # The status as JSON, details included.
        code = done.returncode - 64
        if done.returncode != 0:
            status = json.loads(done.stderr)
            assert status["code"] == code, (done.returncode, status)
            raise Refused(code, status["message"])
        return json.loads(done.stdout)


class Buf:
    """Exit code: eight times the gRPC code."""

    name = "buf"

    def __init__(self, address, *options):
        self.url = f"http://{address}"
        self.options = ("--protocol", "grpc", "--http2-prior-knowledge", *options)

    def plain(self, *arguments):
        return run_tool("buf", "curl", *self.options, *arguments)

    def services(self):
        done = self.plain("--list-services", self.url)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    def methods(self, service):
        done = self.plain("--list-methods", self.url)
        assert done.returncode == 0, done.stderr
        found = {line.replace("/", ".") for line in done.stdout.split()}
        return {method for method in found if method.startswith(f"{service}.")}

    def call(self, method, message, *headers):
        given = [word for header in headers for word in ("-H", header)]
        done = self.plain(*given, "-d", json.dumps(message), f"{self.url}/{method}")
        if done.returncode != 0:
            code, rest = divmod(done.returncode, 8)
            status = json.loads(done.stderr)
            assert rest == 0 and status["code"] == NAMES[code][1], (done.returncode, status)
            raise Refused(code, status["message"])
        return json.loads(done.stdout)


def infer_request(sample, rows, **fields):
    tensor = {"name": sample.input, "datatype": "FP32", "shape": list(rows.shape)}
    tensor["contents"] = {"fp32_contents": rows.reshape(-1).tolist()}
    return {"model_name": sample.model, "model_version": sample.version, "id": "a-1", "inputs": [tensor], **fields}


def strings(raw):
    found = []
    while raw:
        length = int.from_bytes(raw[:4], "little")
        found.append(raw[4 : 4 + length])
        raw = raw[4 + length :]
    return found


def arrays(answer):
    found = {}
    for output, text in zip(answer["outputs"], answer["rawOutputContents"], strict=True):
        raw = base64.b64decode(text)
        dtype = checks.TYPES[output["datatype"]]
        values = np.array(strings(raw), object) if dtype is object else np.frombuffer(raw, dtype)
        found[output["name"]] = values.reshape([int(extent) for extent in output["shape"]])
    return found


def check_reflection(run, tool):
    with run.check(f"{tool.name} lists the services, and none that is not served"):
        expected = {SERVICE, "mmesh.ModelMesh", "stowage.v1.Mesh", "grpc.health.v1.Health"}
        reflection = {"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
        assert tool.services() == expected | reflection, tool.services()
    with run.check(f"{tool.name} lists methods"):
        methods = tool.methods(SERVICE)
        wanted = {"ModelInfer", "ModelStreamInfer", "ModelConfig", "ModelStatistics", "RepositoryIndex"}
        assert {f"{SERVICE}.{name}" for name in wanted} <= methods, methods


def check_calls(run, tool, samples):
    for sample in samples:
        with run.check(f"{tool.name}: {sample.model} {sample.version}".rstrip() + " answers"):
            answer = tool.call(f"{SERVICE}/ModelInfer", infer_request(sample, sample.rows))
            assert answer["id"] == "a-1", answer
            checks.same(arrays(answer), sample.expected)
    iris = next(sample for sample in samples if sample.model == "iris")
    with run.check(f"{tool.name}: a header names the model"):
        message = infer_request(iris, iris.rows, model_name="")
        answer = tool.call(f"{SERVICE}/ModelInfer", message, "mm-vmodel-id: iris")
        checks.same(arrays(answer), iris.expected)
    with run.check(f"{tool.name}: the server is live and ready"):
        assert tool.call(f"{SERVICE}/ServerLive", {}) == {"live": True}
        assert tool.call(f"{SERVICE}/ServerReady", {}) == {"ready": True}
    with run.check(f"{tool.name}: the index has every model"):
        index = {model["name"] for model in tool.call(f"{SERVICE}/RepositoryIndex", {})["models"]}
        assert {sample.model for sample in samples} <= index, index
    with run.check(f"{tool.name}: the configuration is that of the graph"):
        config = tool.call(f"{SERVICE}/ModelConfig", {"name": "iris"})["config"]
        # A router that passes messages on unread leaves the id by which the runtime knows the model.
        assert config["name"].startswith("iris") and config["backend"] == "onnxruntime", config
        assert config["input"] == [{"name": "features", "dataType": "TYPE_FP32", "dims": ["-1", "4"]}], config
        assert [o["dataType"] for o in config["output"]] == ["TYPE_STRING", "TYPE_FP32"], config
    with run.check(f"{tool.name}: the statistics count"):

        def count():
            (stats,) = tool.call(f"{SERVICE}/ModelStatistics", {"name": "iris"})["modelStats"]
            return int(stats["inferenceCount"]), int(stats["executionCount"])

        before = count()
        tool.call(f"{SERVICE}/ModelInfer", infer_request(iris, iris.rows))
        assert count() == (before[0] + len(iris.rows), before[1] + 1), (before, count())
    with run.check(f"{tool.name}: ModelMesh's status of a vmodel"):
        status = tool.call("mmesh.ModelMesh/getVModelStatus", {"vModelId": "iris"})
        assert status["status"] == "DEFINED", status
        assert status["activeModelStatus"]["status"] == "LOADED", status
    with run.check(f"{tool.name}: ModelMesh's status of a model that nobody registered"):
        # NOT_FOUND is the zero of its enum, so the message is empty.
        assert tool.call("mmesh.ModelMesh/getModelStatus", {"modelId": "no-such-model"}) == {}
    with run.check(f"{tool.name}: the list of models"):
        models = tool.call("stowage.v1.Mesh/ListModels", {})["models"]
        assert len(models) >= len(samples), models


def check_errors(run, tool, iris):
    def refused(code, *words):
        return checks.refused(Refused, code, *words)

    with run.check(f"{tool.name}: unknown model"), refused(NOT_FOUND, "model not found"):
        tool.call(f"{SERVICE}/ModelInfer", infer_request(iris, iris.rows, model_name="no-such-model"))
    with run.check(f"{tool.name}: unknown version"), refused(NOT_FOUND):
        tool.call(f"{SERVICE}/ModelInfer", infer_request(iris, iris.rows, model_version="77"))
    with run.check(f"{tool.name}: wrong shape"), refused(INVALID_ARGUMENT, "features", "[-1, 4]", "[1, 5]"):
        tool.call(f"{SERVICE}/ModelInfer", infer_request(iris, np.ones((1, 5), np.float32)))
    with run.check(f"{tool.name}: wrong datatype"), refused(INVALID_ARGUMENT, "features", "INT64", "FP32"):
        message = infer_request(iris, iris.rows)
        message["inputs"][0].update(datatype="INT64", contents={"int64_contents": [1] * iris.rows.size})
        tool.call(f"{SERVICE}/ModelInfer", message)
    with run.check(f"{tool.name}: a vmodel that does not exist"), refused(NOT_FOUND):
        request = {"vModelId": "no-such-vmodel", "targetModelId": "no-such-model", "updateOnly": True}
        tool.call("mmesh.ModelMesh/setVModel", request)
    with run.check(f"{tool.name}: a field that is not there never leaves the tool"):
        done = tool.plain("-d", '{"no_such_field": 1}', *target(tool))
        assert done.returncode != 0 and "no_such_field" in done.stderr, done


def target(tool):
    method = f"{SERVICE}/ModelInfer"
    return [f"{tool.url}/{method}"] if isinstance(tool, Buf) else [tool.address, method]


def main():
    arguments = checks.arguments(__doc__)
    run = checks.Checks()
    samples = list(checks.samples())
    iris = next(sample for sample in samples if sample.model == "iris")
    grpcurl, buf = Grpcurl(arguments.address), Buf(arguments.address)
    for tool in (grpcurl, buf):
        check_reflection(run, tool)
        check_calls(run, tool, samples)
        check_errors(run, tool, iris)
    with run.check("grpcurl describes a method"):
        done = grpcurl.plain(arguments.address, "describe", f"{SERVICE}.ModelInfer")
        wanted = "rpc ModelInfer ( .inference.ModelInferRequest ) returns ( .inference.ModelInferResponse );"
        assert wanted in done.stdout, done
    for version in ("grpc-v1", "grpc-v1alpha"):
        old = Buf(arguments.address, "--reflect-protocol", version)
        with run.check(f"buf reflects by {version}"):
            assert SERVICE in old.services()
            answer = old.call(f"{SERVICE}/ModelInfer", infer_request(iris, iris.rows))
            checks.same(arrays(answer), iris.expected)
    run.exit()


if __name__ == "__main__":
    main()
