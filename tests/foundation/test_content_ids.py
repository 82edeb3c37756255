"""Ids are kept in stores, databases and topics: these are the values of version 0.1, and none may change."""

from connectors.base import DeadLetter
from connectors.dead_letters import dead_letter_id
from connectors.file_reader import fingerprint as head_fingerprint
from engine.drift.event import DriftEvent
from engine.offline.labelled_lines import fingerprint as template_fingerprint
from engine.steps.alert import alert_id
from federation.storage.encryption import PlainCipher
from federation.storage.eviction import priority
from foundation.content_ids import document_id
from models.base import template_id

TEMPLATE = "session opened for <*> \udce9"


def test_ids_of_documents() -> None:
    drift = DriftEvent("drift", "psi", 0.4, 0.2, since_ns=1, time_ns=2, windows=300, model="m", version=3)
    assert alert_id("north", "logs/0", "blk_1\udcff", 3, 9) == "cb3c8ed99656b29c1b8c9237873aea60"
    assert drift.id("north", "0/1") == "7e9256061857d41067a73f8787eacad8"
    assert dead_letter_id(DeadLetter("logs/0/7", "no time", b"x", 1)) == "8c28eccc19a382476e726ae640bd9d2d"


def test_ids_of_templates() -> None:
    assert template_id(TEMPLATE) == 2455423513819603289
    assert template_fingerprint(TEMPLATE) == "59e15b2aad6a1322"


def test_ids_of_stored_names_and_files() -> None:
    assert PlainCipher().digest(b"name").hex() == "93f6e9810a54c34fecfdd042cac3bced"
    assert priority(b"name") == 8726538861997274016
    assert head_fingerprint(b"head") == "aeca5a3f16bc287d813aa64f"


def test_parts_of_an_id_are_kept_apart() -> None:
    assert document_id("ab", "c") != document_id("a", "bc")
