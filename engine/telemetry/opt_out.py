"""Switches off what third-party libraries would report or serve by themselves."""

from collections.abc import MutableMapping


def silence_third_parties(environ: MutableMapping[str, str]) -> None:
    """Sets the opt-out variables of the libraries in use; call it before importing them."""
    environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environ["DO_NOT_TRACK"] = "1"
    environ["FLWR_TELEMETRY_ENABLED"] = "0"
    environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
    # With any value, even 0, Bytewax serves its flow on all interfaces.
    environ.pop("BYTEWAX_DATAFLOW_API_ENABLED", None)
