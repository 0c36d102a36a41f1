"""The process that replays: a predictor may be slow, loop or crash without harm to the pages.

A question comes as a line of JSON on its standard input, the answer goes as one to its standard
output. It ends with its input, at once.
"""

import asyncio
import io
import json
import os
import sys
import threading
from queue import Queue
from typing import Any

from broker.config import given_store
from broker.console.present.replay import Question, numbers
from broker.errors import PredictorError
from broker.predictors import BlackBox
from broker.predictors.load import load
from broker.recorder.opening import open_reader
from broker.recorder.reader import Span
from quartet.errors import StoreError

# Samples and answers come first.
_NICE = 10


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # where a predictor prints
    os.nice(_NICE)
    questions: Queue[bytes] = Queue(1)
    threading.Thread(target=_listen, args=(questions,), name="questions", daemon=True).start()
    black_box = None
    while True:
        question = json.loads(questions.get())
        try:
            black_box = black_box or load(question["use"], question["options"])
            answer = _answer(question, black_box)
        except (PredictorError, StoreError) as error:
            answer = {"charts": [], "remark": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(questions: "Queue[bytes]") -> None:
    """Take questions. At their end nobody waits for an answer, also where a predictor loops."""
    for line in io.FileIO(0, closefd=False):  # holds no lock that an exit would wait for
        questions.put(line)
    os._exit(0)


def _answer(question: dict[str, Any], black_box: BlackBox) -> dict[str, Any]:
    span = Span(question["since_ns"], question["until_ns"])
    asked = Question(question["agent"], span, question["most"])
    return asyncio.run(
        numbers(open_reader(given_store(question["store"]), prefers_standby=True), black_box, asked)
    )


if __name__ == "__main__":
    main()
