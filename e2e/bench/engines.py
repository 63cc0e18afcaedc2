"""`onnxruntime` for the bench of the engines: one thread, questions and answers are lines of JSON."""

import json
import statistics
import sys
import time

import numpy
import onnxruntime


def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def flat(output):
    # ZipMap: a dictionary for each row.
    if isinstance(output, list):
        return [value for row in output for value in row.values()]
    return output.ravel().tolist()


def measure(session, inputs, seconds, warm_up):
    for _ in range(warm_up):
        session.run(None, inputs)
    times = []
    end = time.perf_counter() + seconds
    while True:
        started = time.perf_counter()
        session.run(None, inputs)
        ended = time.perf_counter()
        times.append(ended - started)
        if ended >= end:
            return statistics.median(times) * 1e6


def main():
    session = None
    for line in sys.stdin:
        question = json.loads(line)
        if "load" in question:
            session = load(question["load"])
            answer = {}
        else:
            tensor = numpy.fromfile(question["file"], dtype="<f4").reshape(question["shape"])
            inputs = {question["name"]: tensor}
            if "seconds" in question:
                answer = {"median_us": measure(session, inputs, question["seconds"], question["warm_up"])}
            else:
                answer = {"outputs": [flat(output) for output in session.run(None, inputs)]}
        print(json.dumps(answer), flush=True)


main()
