"""Encodes Flower's records as bytes, for the trainer's socket and for small messages; imports no torch.

Flower stores every record, array and part of an array of a message as an object of its own, with requests of its
own for each. The records of a small message therefore travel as the bytes of a single one.
"""

from flwr.app import ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from federation.errors import TrainerError

PACKED = "packed"
"""Name of the record, and of the value in it, that holds the other records."""

MAX_PACKED_BYTES = 1 << 20
"""Larger messages are not packed, because Flower sends an object in one piece, and arrays in parts."""


def pack(records: RecordDict) -> bytes:
    """Encode records as Flower does."""
    return bytes(recorddict_to_proto(records).SerializeToString())


def unpack(raw: bytes) -> RecordDict:
    """Decode what `pack` encoded.

    Raises:
        TrainerError: the bytes are not records.
    """
    try:
        return recorddict_from_proto(RecordDictProto.FromString(raw))
    except (DecodeError, ValueError) as error:
        raise TrainerError(f"{len(raw)} bytes that arrived are not Flower records: {error}") from error


def wrap(raw: bytes) -> RecordDict:
    """What `pack` encoded, as the records of a message."""
    return RecordDict({PACKED: ConfigRecord({PACKED: raw})}) if len(raw) <= MAX_PACKED_BYTES else unpack(raw)


def packed(records: RecordDict) -> RecordDict:
    """The records as those of a message."""
    raw = pack(records)
    return wrap(raw) if len(raw) <= MAX_PACKED_BYTES else records


def raw_of(content: RecordDict) -> bytes:
    """The records of a message as `pack` encodes them."""
    record = content.get(PACKED)
    raw = record.get(PACKED) if isinstance(record, ConfigRecord) else None
    return raw if isinstance(raw, bytes) else pack(content)


def unpacked(content: RecordDict) -> RecordDict:
    """The records of a message.

    Raises:
        TrainerError: the message holds bytes that are not records.
    """
    return unpack(raw_of(content)) if PACKED in content else content
