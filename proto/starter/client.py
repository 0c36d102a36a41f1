"""An agent in few lines: it streams the rows of a CSV, and prints `id,prediction` for each.

python client.py [HOST:PORT [CSV]]    (default: 127.0.0.1:8061 sensors.csv)
"""

import csv
import sys
from collections.abc import Iterator
from itertools import zip_longest

import grpc
from databroker_pb2 import BrokerRequest
from databroker_pb2_grpc import BrokerServiceStub

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8061"
path = sys.argv[2] if len(sys.argv) > 2 else "sensors.csv"
with open(path, newline="") as file:
    rows = [[float(value) for value in row[1:5]] for row in csv.reader(file)]


def samples() -> Iterator[BrokerRequest]:
    for number, (a, b, c, d) in enumerate(rows):
        yield BrokerRequest(id=number, sensor1=a, sensor2=b, sensor3=c, sensor4=d)


try:
    with grpc.insecure_channel(address) as channel:
        answers = BrokerServiceStub(channel).BidirectionalStreaming(samples())
        for number, answer in zip_longest(range(len(rows)), answers):
            if answer is None or answer.id != number:
                sys.exit(f"expected the answer to sample {number}, got {answer}")
            print(f"{answer.id},{int(answer.prediction)}")
except grpc.RpcError as error:
    sys.exit(f"{address}: {error.code().name}: {error.details()}")
