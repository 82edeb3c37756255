"""The consumer in the docs, run as it stands there against a broker."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connectors.broker import EmbeddedBroker

PAGE = Path(__file__).resolve().parents[1] / "docs" / "channels.md"
TOPIC = "driftline.alerts"


def consumer_code(brokers: str) -> str:
    code = re.search(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]
    assert "127.0.0.1:9092" in code
    assert TOPIC in code
    return code.replace("127.0.0.1:9092", brokers)


def alert(identity: str, session: str) -> bytes:
    schema = json.loads((PAGE.parent / "alert.schema.json").read_text("utf-8"))
    document = dict.fromkeys(schema["required"], "")
    document |= {"id": identity, "session": session, "score": 0.987654, "model": "bert_cnn", "version": 3}
    return json.dumps(document | {"first_place": "logs/0/17"}).encode()


@pytest.mark.process
def test_the_consumer_prints_each_alert_once():
    with EmbeddedBroker() as broker:
        broker.create_topic(TOPIC)
        producer = Producer({"bootstrap.servers": broker.brokers})
        for identity, session in (("a", "blk_1"), ("a", "blk_1"), ("b", "blk_2")):
            producer.produce(TOPIC, alert(identity, session))
        assert producer.flush(30) == 0
        command = [sys.executable, "-u", "-c", consumer_code(broker.brokers)]
        # The time-out of the test bounds the reading, should nothing come.
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
            try:
                lines = [consumer.stdout.readline() for _ in range(2)]
            finally:
                consumer.kill()
    assert lines == [
        "blk_1: 0.988 by bert_cnn v3, logs/0/17\n",
        "blk_2: 0.988 by bert_cnn v3, logs/0/17\n",
    ]
