"""What Kafka source and sink share: connection settings, and knowing whether a broker is there."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connectors.base import SettingsError

SECRET_WORDS = ("password", "secret", "key.pem", "oauthbearer.config", "sasl.jaas", "token")
"""A free option whose name holds one of these is masked wherever it is shown."""


class KafkaSettings(BaseModel):
    """How to reach the brokers; source and sink add their own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brokers: str = Field(description="Bootstrap servers, `host:port` separated by commas.")
    topic: str = Field(min_length=1, description="The topic.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Kafka's `security.protocol`."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = Field(
        None, description="SASL mechanism."
    )
    sasl_username: str | None = Field(None, description="SASL user.")
    sasl_password: SecretStr | None = Field(None, description="SASL password.")
    ssl_ca: str | None = Field(None, description="Path of the CA certificates that brokers are checked against.")
    ssl_certificate: str | None = Field(None, description="Path of the client's certificate (mTLS).")
    ssl_key: str | None = Field(None, description="Path of the client's private key (mTLS).")
    ssl_key_password: SecretStr | None = Field(None, description="Password of the client's private key.")
    options: Mapping[str, SecretStr | str | int | float | bool] = Field(
        default_factory=dict,
        description="Further librdkafka options by name. They override the other settings, except for the options "
        "that delivery guarantees depend on.",
    )

    def __repr_args__(self) -> Any:
        """Fields for `repr` with secrets masked, those among the free options too."""
        for name, value in super().__repr_args__():
            yield name, masked(value) if name == "options" else value

    def client_options(self) -> dict[str, Any]:
        """For librdkafka, in clear: never to be logged."""
        named = {
            "bootstrap.servers": self.brokers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca,
            "ssl.certificate.location": self.ssl_certificate,
            "ssl.key.location": self.ssl_key,
            "ssl.key.password": self.ssl_key_password,
            # Errors arrive in the callbacks and are reported once; librdkafka would print every attempt.
            "log_level": 0,
            **self.options,
        }
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in named.items()
            if value is not None
        }


def masked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they may be shown."""
    return {n: "**********" if any(w in n.lower() for w in SECRET_WORDS) else v for n, v in options.items()}


class Connection:
    """The last error that librdkafka reported about the brokers, from its callbacks.

    Attributes:
        brokers: Bootstrap servers, for messages.
        last_error: The last error reported, "" where there was none; stays after recovery.
        down: Why no broker can be reached now, "" where one can.
        refused: Why the brokers refuse this client, "" where they do not; a broker that is lost afterwards leaves it.
        epoch: Of an idempotent producer: raised by librdkafka whenever a broker does not accept its
            place in the producer's sequence; looked at once a second.
    """

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self.last_error = ""
        self.down = ""
        self.refused = ""
        self.epoch = 0

    def options(self) -> dict[str, Any]:
        """Callbacks for a client; they run inside its `poll`, `consume` and `flush`."""
        return {"error_cb": self._on_error, "stats_cb": self._on_stats, "statistics.interval.ms": 1000}

    def error_options(self) -> dict[str, Any]:
        """The callback of errors alone, for a client that asks one question."""
        return {"error_cb": self._on_error}

    def no_answer(self, client: Any, error: KafkaError) -> str:  # librdkafka's clients have no common type
        """A sentence about a question of `client`, which has the callback of errors, that got no answer."""
        client.poll(0)  # serves the callback of errors
        return f"Kafka brokers {self.brokers} do not answer: {self.refused or error.str()}"

    def _on_error(self, error: KafkaError) -> None:
        self.last_error = error.str()
        self.refused = refusal(error) or self.refused
        if error.code() in _DOWN or self.refused:
            self.down = self.refused or error.str()

    def _on_stats(self, text: str) -> None:
        if not self.down and '"eos"' not in text:
            return
        figures = json.loads(text)
        if any(broker["state"] == "UP" for broker in figures["brokers"].values()):
            self.down = self.refused = ""
        self.epoch = figures.get("eos", {}).get("producer_epoch", 0)


_DOWN = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._SSL,
        KafkaError._RESOLVE,
    }
)


_PLACE_AND_TIME = re.compile(r"^\S+://\S+: | \(after \d+ms in state \w+\)$")


def refusal(error: KafkaError) -> str:
    """Why the brokers refuse this client, or it them, with the setting to check; "" for any other error."""
    text = _PLACE_AND_TIME.sub("", error.str())
    if error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return f"the login is refused, check sasl_username and sasl_password ({text})"
    if "alert" in text and "certificate" in text:
        return (
            "the client's certificate is refused, check that ssl_certificate has not expired and is signed by an "
            f"authority that the brokers know ({text})"
        )
    if "certificate verify failed" in text:
        return (
            "the broker's certificate is not trusted, check that it has not expired and that ssl_ca holds the "
            "authority that signed it"
        )
    return ""


def build_client(
    kind: Callable[[dict[str, Any]], Any], settings: KafkaSettings, options: Mapping[str, Any]
) -> Any:  # librdkafka's clients have no common type
    """A Consumer, Producer or AdminClient.

    Raises:
        SettingsError: librdkafka refuses an option; the message names it, never its value.
    """
    try:
        return kind({**settings.client_options(), **options})
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if error.args and isinstance(error.args[0], KafkaError) else str(error)
        for value in settings.client_options().values():
            if isinstance(value, str) and value and value in reason and value != settings.brokers:
                reason = reason.replace(value, "**********")
        raise SettingsError(f"Kafka client for topic {settings.topic!r} on {settings.brokers}: {reason}") from error


def topic_partitions(
    client: Consumer | Producer, settings: KafkaSettings, timeout_s: float, connection: Connection
) -> list[int]:
    """The partition numbers of the topic, ascending.

    Args:
        client: Built with `connection.error_options()`.
        settings: Of the topic.
        timeout_s: How long the brokers may take.
        connection: What is known of the brokers.

    Raises:
        LookupError: the topic does not exist, or the brokers do not answer; the message distinguishes them.
    """
    try:
        metadata = client.list_topics(settings.topic, timeout=timeout_s)
    except KafkaException as error:
        raise LookupError(connection.no_answer(client, error.args[0])) from error
    topic = metadata.topics.get(settings.topic)
    if topic is None or topic.error is not None or not topic.partitions:
        reason = topic.error.str() if topic is not None and topic.error is not None else "no such topic"
        raise LookupError(f"Kafka topic {settings.topic!r} on {settings.brokers} cannot be used: {reason}")
    return sorted(topic.partitions)
