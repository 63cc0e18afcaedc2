"""KServe's SDK: its REST client in V1 and V2, its gRPC client, tensors as JSON, as typed contents and as binary."""

import asyncio
import contextlib
import logging

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.errors import UnsupportedProtocol
from kserve.protocol.infer_type import RequestedOutput

import checks

TIMEOUT = 60.0  # Seconds; of any one call, a model's load included.


def infer_request(model, name, rows, binary, datatype="FP32", outputs=None):
    tensor = InferInput(name, list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(model, [tensor], request_id="a-1", request_outputs=outputs)


def arrays(answer):
    return {output.name: output.as_numpy() for output in answer.outputs}


class Refused(Exception):
    """The SDK's exceptions in the shape that `checks.refused` reads; HTTP's status is a number, gRPC's a code."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = lambda: status


@contextlib.contextmanager
def refused(status, *words):
    """The block must raise the SDK's exception with this status and a message that holds the words."""
    with checks.refused(Refused, status, *words):
        try:
            yield
        except httpx.HTTPStatusError as err:
            raise Refused(err.response.status_code, str(err)) from err
        except grpc.RpcError as err:
            raise Refused(err.code(), err.details()) from err


def check_predictions(got, want):
    """V1 has no shapes: rows of one output, or of objects with one member per output."""
    names = list(want)
    columns = {names[0]: got} if len(names) == 1 else {name: [row[name] for row in got] for name in names}
    checks.same({name: np.array(columns[name], want[name].dtype) for name in names}, want)


async def check_v2(run, url):
    config = RESTConfig(protocol="v2", timeout=TIMEOUT)
    async with InferenceRESTClient(config) as client:
        with run.check("V2: the server is live and ready"):
            assert await client.is_server_live(url) is True
            assert await client.is_server_ready(url) is True
        with run.check("V2: readiness of models"):
            assert await client.is_model_ready(url, "iris") is True
            assert await client.is_model_ready(url, "no-such-model") is False
        for sample in checks.samples():
            # The SDK knows no versions; one that is not served by the bare name is reached as M:V.
            model = f"{sample.model}:{sample.version}" if sample.version else sample.model
            for binary in (True, False):
                with run.check(f"V2: {model} answers, {'binary' if binary else 'JSON'}"):
                    request = infer_request(model, sample.input, sample.rows, binary)
                    answer = await client.infer(url, request, model_name=model)
                    assert answer.id == "a-1", answer.id
                    checks.same(arrays(answer), sample.expected)
            with run.check(f"V2: {model} answers one output in binary"):
                name = list(sample.expected)[-1]
                outputs = [RequestedOutput(name, {"binary_data": True})]
                request = infer_request(model, sample.input, sample.rows, True, outputs=outputs)
                headers = {}
                answer = await client.infer(url, request, model_name=model, response_headers=headers)
                assert int(headers["inference-header-content-length"]) > 0, headers
                checks.same(arrays(answer), {name: sample.expected[name]})
        await check_v2_errors(run, client, url)


async def check_v2_errors(run, client, url):
    for binary in (True, False):
        kind = "binary" if binary else "JSON"
        wrong = [
            ("unknown model", "no-such-model", np.ones((1, 4), np.float32), "FP32", (404, "model not found")),
            ("wrong shape", "iris", np.ones((1, 5), np.float32), "FP32", (400, "features", "[-1, 4]", "[1, 5]")),
            ("wrong datatype", "iris", np.ones((1, 4), np.int64), "INT64", (400, "features", "FP32", "INT64")),
        ]
        for title, model, rows, datatype, expected in wrong:
            with run.check(f"V2: {title}, {kind}"), refused(*expected):
                request = infer_request(model, "features", rows, binary, datatype)
                await client.infer(url, request, model_name=model)


async def check_v1(run, url):
    config = RESTConfig(protocol="v1", timeout=TIMEOUT)
    async with InferenceRESTClient(config) as client:
        with run.check("V1: the server is live"):
            assert await client.is_server_live(url) is True
        with run.check("V1: readiness of models"):
            assert await client.is_model_ready(url, "iris") is True
            assert await client.is_model_ready(url, "no-such-model") is False
        with run.check("V1 has no readiness of servers"):
            try:
                await client.is_server_ready(url)
            except UnsupportedProtocol:
                pass
            else:
                raise AssertionError("was answered")
        for sample in checks.samples():
            model = f"{sample.model}:{sample.version}" if sample.version else sample.model
            with run.check(f"V1: {model} predicts"):
                answer = await client.infer(url, {"instances": sample.rows.tolist()}, model_name=model)
                check_predictions(answer["predictions"], sample.expected)
        rows = [[5.1, 3.5, 1.4, 0.2]]
        for title, model, instances, expected in [
            ("unknown model", "no-such-model", rows, (404, "model not found")),
            ("wrong shape", "iris", [[1.0, 2.0]], (400, "features", "[-1, 4]", "[1, 2]")),
            ("wrong datatype", "iris", [["a", "b", "c", "d"]], (400, "instances")),
        ]:
            with run.check(f"V1: {title}"), refused(*expected):
                await client.infer(url, {"instances": instances}, model_name=model)
        with run.check("V1: there are no explanations"), refused(405):
            await client.explain(url, "iris", {"instances": rows})


async def check_grpc(run, address):
    async with InferenceGRPCClient(address, timeout=TIMEOUT) as client:
        with run.check("gRPC: the server is live and ready"):
            assert await client.is_server_live() is True
            assert await client.is_server_ready() is True
        with run.check("gRPC: readiness of models"):
            assert await client.is_model_ready("iris") is True
            assert await client.is_model_ready("no-such-model") is False
        for sample in checks.samples():
            model = f"{sample.model}:{sample.version}" if sample.version else sample.model
            for binary in (True, False):
                with run.check(f"gRPC: {model} answers {'raw' if binary else 'typed'} contents"):
                    request = infer_request(model, sample.input, sample.rows, binary)
                    answer = await client.infer(request)
                    assert answer.id == "a-1", answer.id
                    checks.same(arrays(answer), sample.expected)
        code = grpc.StatusCode
        for title, model, rows, datatype, expected in [
            ("unknown model", "no-such-model", np.ones((1, 4), np.float32), "FP32", (code.NOT_FOUND, "model not found")),
            ("wrong shape", "iris", np.ones((1, 5), np.float32), "FP32", (code.INVALID_ARGUMENT, "features", "[1, 5]")),
            ("wrong datatype", "iris", np.ones((1, 4), np.int64), "INT64", (code.INVALID_ARGUMENT, "features", "INT64")),
        ]:
            with run.check(f"gRPC: {title}"), refused(*expected):
                await client.infer(infer_request(model, "features", rows, True, datatype))


async def main():
    arguments = checks.arguments(__doc__, "grpc", "rest")
    # The SDK logs every refusal with a stack trace.
    logging.disable(logging.CRITICAL)
    run = checks.Checks()
    url = f"http://{arguments.rest}"
    await check_v2(run, url)
    await check_v1(run, url)
    await check_grpc(run, arguments.grpc)
    run.exit()


if __name__ == "__main__":
    asyncio.run(main())
