"""Peer of serve-predict: the same model behind plain FastAPI, which calls it line by line.

Started as `python -m bench.peers.plain_classify_api STORE NAME PORT`.
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from engine.offline.classify import load_scorer
from models.classify.base import CLASSES, LineClassifier, Lines


class PlainRequest(BaseModel):
    """Lines to classify."""

    logs: list[str]


def plain_app(classifier: LineClassifier) -> FastAPI:
    """One route that gives each line to the model; nothing is parsed, masked or remembered."""
    app = FastAPI()

    @app.post("/predict")
    def predict(given: PlainRequest) -> list[dict[str, object]]:
        answers: list[dict[str, object]] = []
        for line in given.logs:
            row = classifier.probabilities(Lines.of([line]))[0].tolist()
            best = max(range(len(row)), key=row.__getitem__)
            shares = dict(zip(CLASSES, row, strict=True))
            answers.append({"raw": line, "class_name": CLASSES[best], "probabilities": shares})
        return answers

    return app


if __name__ == "__main__":
    store, name, port = sys.argv[1:]
    uvicorn.run(plain_app(load_scorer(store, name).classifier), port=int(port), log_level="warning")
