"""Settings of Flower's programs; imports nothing of Flower, so that settings load without it."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from federation.region.region_policy import PrivacyDemand

AbsolutePath = Annotated[Path, AfterValidator(Path.resolve)]
"""A path in settings, relative to the folder in which the command starts; its programs run in other folders."""


class NodeSettings(BaseModel):
    """How a region takes part in rounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlink: str = Field(
        "127.0.0.1:9092", description="host:port of the coordinator, or of the proxy in front of it."
    )
    folder: AbsolutePath = Field(
        description="Folder for the node's socket, secrets and logs; not shared with other programs."
    )
    root_certificates: AbsolutePath | None = Field(
        None,
        description="Certificate of the authority that signed the coordinator's certificate. Without it, "
        "connections are not encrypted.",
    )
    key: AbsolutePath | None = Field(
        None, description="The node's private key, as `driftline federate keys` writes it."
    )
    privacy: PrivacyDemand = Field(
        default_factory=PrivacyDemand, description="The privacy that the region requires of every round."
    )
    encoders: tuple[str, ...] = Field(
        (), description="Text encoders that a round may name in addition to those of the region's current models in "
                        "[model] and [classify]. A round that names another one is rejected.",
    )  # fmt: skip
    nice: Annotated[int, Field(ge=0, le=19)] = Field(
        10, description="Niceness of the trainer, so that the engine on the same machine has priority."
    )
    job_limit_s: Annotated[float, Field(gt=0)] = Field(
        600.0, description="Seconds after which a training is killed, even if the round would wait longer."
    )


class SuperLinkSettings(BaseModel):
    """Where the coordinator's SuperLink runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: AbsolutePath = Field(
        description="Folder for its database, its logs and Flower's files; not shared with other programs."
    )
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(9092, description="Port on the loopback interface.")
    certificate: AbsolutePath | None = Field(
        None, description="Its certificate. Without it, connections are not encrypted."
    )
    certificate_key: AbsolutePath | None = Field(None, description="Private key of `certificate`.")
    authority: AbsolutePath | None = Field(
        None, description="Certificate of the authority that signed `certificate`. If all three are set, only nodes "
        "with registered keys may take part.",
    )  # fmt: skip

    @property
    def secure(self) -> bool:
        """Whether connections are encrypted and nodes have to authenticate."""
        return self.certificate is not None
