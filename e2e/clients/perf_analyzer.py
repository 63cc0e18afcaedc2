"""Triton's perf_analyzer over gRPC and HTTP: its load modes, what it reads of a model, and the answers that it got.

Its profile holds every request with its answer, and each answer is compared with onnxruntime's. What it writes down of a
text tensor is only right for a single element, so each request asks for one row.
"""

import json
import pathlib
import subprocess
import tempfile
import urllib.request

import numpy as np

import checks

TIMEOUT = 120  # Seconds; of one run.
FAILED = 99  # Its exit code for whatever went wrong.
REQUESTS = 12
# What each run adds to a call over that protocol.
GRPC = {
    "unary": [],
    "asynchronous": ["-a"],
    "compressed": ["--grpc-compression-algorithm", "gzip"],
    "streaming": ["--streaming", "-a"],
}
HTTP = {
    "binary": [],
    "asynchronous": ["-a"],
    "JSON in": ["--input-tensor-format", "json"],
    "JSON out": ["--output-tensor-format", "json"],
    "JSON": ["--input-tensor-format", "json", "--output-tensor-format", "json"],
}
LOADS = {
    "one at a time": ["--concurrency-range", "1"],
    "four at a time": ["--concurrency-range", "4"],
    "at a rate": ["--request-rate-range", "12"],
}


class Runs:
    """Runs it against one server."""

    def __init__(self, grpc, rest, folder):
        self.rest = rest
        self.protocols = {"grpc": ["-i", "grpc", "-u", grpc], "http": ["-i", "http", "-u", rest]}
        self.folder = folder
        self.number = 0

    def run(self, protocol, model, *options):
        """What it printed, and its profile, which it writes to a new file each time."""
        self.number += 1
        profile = self.folder / f"{self.number}.json"
        command = ["perf_analyzer", *self.protocols[protocol], "-m", model, "-v", *options]
        command += ["--request-count", str(REQUESTS), "--profile-export-file", str(profile)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        text = done.stdout + done.stderr
        if done.returncode != 0:
            return done.returncode, text, []
        return 0, text, json.loads(profile.read_text())["experiments"][0]["requests"]

    def input_data(self, sample):
        """One entry per row; it takes only numbers with a fraction for floats."""
        rows = [[float(value) for value in row.reshape(-1)] for row in sample.rows]
        shape = [1, *sample.rows.shape[1:]]
        data = [{sample.input: {"content": row, "shape": shape}} for row in rows]
        path = self.folder / f"{sample.model}-rows{sample.version}.json"
        path.write_text(json.dumps({"data": data}))
        return ["--input-data", str(path)]

    def statistics(self, model, version):
        path = f"{model}/versions/{version}" if version else model
        url = f"http://{self.rest}/v2/models/{path}/stats"
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            (stats,) = json.load(answer)["model_stats"]
        return stats


def check_answers(sample, requests):
    """Each answer is that of the row which was asked for."""
    assert len(requests) >= REQUESTS, f"{len(requests)} requests"
    for request in requests:
        asked = np.array(request["request_inputs"][sample.input], np.float32)
        row = next(k for k, row in enumerate(sample.rows) if (row.reshape(-1) == asked).all())
        (answer,) = request["response_outputs"]
        expected = {name: values[row : row + 1] for name, values in sample.expected.items()}
        got = {name: np.array(answer[name], values.dtype).reshape(values.shape) for name, values in expected.items()}
        checks.same(got, expected)


def check_runs(run, runs, protocol, ways, samples):
    iris = next(sample for sample in samples if sample.model == "iris")
    for number, (way, options) in enumerate(ways.items()):
        # Every load in the first way, and the one that tries hardest in the others.
        loads = LOADS if number == 0 else {"four at a time": LOADS["four at a time"]}
        for load, more in loads.items():
            with run.check(f"{protocol}, {way}, {load}"):
                before = runs.statistics("iris", "")
                code, text, requests = runs.run(protocol, "iris", *runs.input_data(iris), *options, *more)
                assert code == 0, text
                check_answers(iris, requests)
                check_counted(before, runs.statistics("iris", ""), len(requests))
                # It reads the server's counters before and after, and shows the difference.
                assert "Server:" in text and "Successful request count:" in text, text
    for sample in samples:
        with run.check(f"{protocol}, {sample.model} {sample.version}".rstrip()):
            version = ["-x", sample.version] if sample.version else []
            code, text, requests = runs.run(protocol, sample.model, *runs.input_data(sample), *version)
            assert code == 0, text
            check_answers(sample, requests)


def check_counted(before, after, requests):
    """Whatever it sent was counted once, by every counter of an answered request."""

    def difference(stats):
        return [
            stats["inference_count"],
            stats["execution_count"],
            *(stats["inference_stats"][name]["count"] for name in ("success", "queue")),
            *(stats["inference_stats"][f"compute_{name}"]["count"] for name in ("input", "infer", "output")),
        ]

    counted = {late - early for early, late in zip(difference(before), difference(after), strict=True)}
    assert len(counted) == 1, counted
    # It may have sent more than the profile holds: what ended after the measurement.
    assert min(counted) >= requests, (counted, requests)
    assert after["inference_stats"]["fail"] == before["inference_stats"]["fail"], after


def check_errors(run, runs, protocol, iris):
    wrong = [
        ("unknown model", "no-such-model", [], ["model not found"]),
        ("unknown version", "iris", ["-x", "77", "--shape", "features:1,4"], ["version"]),
        ("wrong shape", "iris", ["--shape", "features:1,5"], ["features", "[-1, 4]", "[1, 5]"]),
        # The configuration says that the batch is part of the shape.
        ("a batch on top", "iris", ["-b", "2", "--shape", "features:1,4"], ["batch size"]),
        ("no shape for a dimension without one", "iris", [], ["features", "dynamic shape"]),
    ]
    for title, model, options, words in wrong:
        with run.check(f"{protocol}, {title}"):
            code, text, _ = runs.run(protocol, model, *options)
            assert code == FAILED, (code, text)
            for word in words:
                assert word in text, text


def main():
    arguments = checks.arguments(__doc__, "grpc", "rest")
    run = checks.Checks()
    samples = list(checks.samples())
    iris = next(sample for sample in samples if sample.model == "iris")
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(arguments.grpc, arguments.rest, pathlib.Path(folder))
        for protocol, ways in (("grpc", GRPC), ("http", HTTP)):
            check_runs(run, runs, protocol, ways, samples)
            check_errors(run, runs, protocol, iris)
    run.exit()


if __name__ == "__main__":
    main()
