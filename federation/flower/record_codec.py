"""Encodes Flower's records as bytes, for the socket between client and trainer; imports no torch."""

from flwr.app import RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from federation.errors import TrainerError


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
