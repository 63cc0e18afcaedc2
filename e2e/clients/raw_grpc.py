"""grpcio alone: health, reflection, typed tensor contents, routing by metadata, and refusals by exact status."""

import grpc
import numpy as np
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, triton_to_np_dtype

import checks
import reference

TIMEOUT = 60  # Seconds; of any one call, a model's load included.
TYPED = {
    "FP32": ("fp32_contents", np.float32),
    "INT64": ("int64_contents", np.int64),
    "BYTES": ("bytes_contents", object),
}
SERVICE = "inference.GRPCInferenceService"


class Refused(Exception):
    """grpc.RpcError in the shape that `checks.refused` reads."""

    def __init__(self, error):
        super().__init__(error.details())
        self.code = error.code()

    def status(self):
        return self.code.name


def request(model, rows, **fields):
    """Tensors as typed contents: what tritonclient never sends."""
    fields = {"model_name": model.name, "model_version": model.version, **fields}
    message = service_pb2.ModelInferRequest(**fields)
    tensor = message.inputs.add(name=model.input, datatype="FP32", shape=rows.shape)
    tensor.contents.fp32_contents.extend(rows.reshape(-1).tolist())
    return message


def arrays(answer):
    """Outputs as arrays, whether the server put them into raw or typed contents."""
    out = {}
    for number, output in enumerate(answer.outputs):
        if answer.raw_output_contents:
            raw = answer.raw_output_contents[number]
            dtype = triton_to_np_dtype(output.datatype)
            values = deserialize_bytes_tensor(raw) if output.datatype == "BYTES" else np.frombuffer(raw, dtype)
        else:
            field, dtype = TYPED[output.datatype]
            values = np.array(getattr(output.contents, field), dtype)
        out[output.name] = values.reshape(output.shape)
    return out


def call(stub, message, *metadata):
    try:
        return stub.ModelInfer(message, timeout=TIMEOUT, metadata=metadata)
    except grpc.RpcError as err:
        raise Refused(err) from err


def check_standard_services(run, channel):
    with run.check("health of the server and of the inference service"):
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, (service, answer)
    with run.check("reflection lists the services and describes ModelInfer"):
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {SERVICE, "mmesh.ModelMesh", "grpc.health.v1.Health"} <= services, services
        method = DescriptorPool(database).FindServiceByName(SERVICE).FindMethodByName("ModelInfer")
        field = method.input_type.fields_by_name["model_name"]
        assert field.number == 1, field.number


def check_inference(run, stub, models):
    for model in models:
        title = f"{model.name} {model.version}".strip()
        with run.check(f"{title} answers typed contents"):
            answer = call(stub, request(model, model.rows, id="typed"))
            assert answer.id == "typed", answer.id
            checks.same(arrays(answer), model.reference(model.rows))
    iris, wine = models[0], models[1]
    with run.check("metadata alone names the model"):
        answer = call(stub, request(wine, wine.rows, model_name=""), ("mm-vmodel-id", "wine"))
        checks.same(arrays(answer), wine.reference(wine.rows))
    with run.check("the metadata's id wins over the message's"):
        answer = call(stub, request(iris, iris.rows, model_name="wine"), ("mm-vmodel-id", "iris"))
        checks.same(arrays(answer), iris.reference(iris.rows))


def check_errors(run, channel, stub, iris):
    def refused(status, *words):
        return checks.refused(Refused, status, *words)

    nameless = request(iris, iris.rows, model_name="")
    with run.check("no id anywhere"), refused("INVALID_ARGUMENT"):
        call(stub, nameless)
    with run.check("both kinds of id"), refused("INVALID_ARGUMENT"):
        call(stub, nameless, ("mm-model-id", "iris"), ("mm-vmodel-id", "iris"))
    with run.check("empty id"), refused("INVALID_ARGUMENT"):
        call(stub, nameless, ("mm-vmodel-id", ""))
    with run.check("unknown model by metadata"), refused("NOT_FOUND", "model not found"):
        call(stub, nameless, ("mm-model-id", "no-such-model"))
    with run.check("unknown vmodel by metadata"), refused("NOT_FOUND", "vmodel not found"):
        call(stub, nameless, ("mm-vmodel-id", "no-such-vmodel"))
    with run.check("fewer values than the shape says"), refused("INVALID_ARGUMENT", "features"):
        message = request(iris, iris.rows)
        del message.inputs[0].contents.fp32_contents[-1:]
        call(stub, message)
    with run.check("negative size in the shape"), refused("INVALID_ARGUMENT", "features"):
        message = request(iris, iris.rows)
        message.inputs[0].shape[0] = -1
        call(stub, message)
    with run.check("a shape of 2^62 elements"), refused("INVALID_ARGUMENT", "features"):
        message = request(iris, iris.rows)
        message.inputs[0].shape[:] = [2**60, 4]
        call(stub, message)
    with run.check("contents of another type than the datatype"), refused("INVALID_ARGUMENT", "features"):
        message = request(iris, iris.rows)
        message.inputs[0].contents.Clear()
        message.inputs[0].contents.int64_contents.extend([1] * iris.rows.size)
        call(stub, message)
    with run.check("raw and typed contents together"), refused("INVALID_ARGUMENT"):
        message = request(iris, iris.rows)
        message.raw_input_contents.append(iris.rows.tobytes())
        call(stub, message)
    with run.check("raw contents cut short"), refused("INVALID_ARGUMENT", "features"):
        message = request(iris, iris.rows)
        message.inputs[0].contents.Clear()
        message.raw_input_contents.append(iris.rows.tobytes()[:-1])
        call(stub, message)
    with run.check("a method that does not exist"):
        try:
            unknown = channel.unary_unary("/inference.GRPCInferenceService/NoSuchMethod")
            unknown(b"", timeout=TIMEOUT, metadata=(("mm-model-id", "iris"),))
        except grpc.RpcError as err:
            assert err.code() == grpc.StatusCode.UNIMPLEMENTED, err
        else:
            raise AssertionError("was answered")
    with run.check("answers after all that"):
        answer = call(stub, request(iris, iris.rows))
        checks.same(arrays(answer), iris.reference(iris.rows))


def main():
    arguments = checks.arguments(__doc__)
    run = checks.Checks()
    models = list(reference.load_models())
    with grpc.insecure_channel(arguments.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        check_standard_services(run, channel)
        check_inference(run, stub, models)
        check_errors(run, channel, stub, models[0])
    run.exit()


if __name__ == "__main__":
    main()
