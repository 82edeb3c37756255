"""What the settings of every sink share: how several writers get along, and what a topic or file forgets."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class BaseSinkSettings(BaseModel):
    """Settings of a sink; a subclass overrides what differs for its kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def for_writer(self, number: str) -> Self:
        """The settings for one of several writers of the same documents.

        Args:
            number: Number of the worker or shard.

        Returns:
            The same settings where several writers may share the destination, else a destination of
            the writer's own.
        """
        return self

    def forgets(self, timeout_s: float) -> str:
        """Say why the destination may lose the latest document of a key, for documents that are read back.

        Args:
            timeout_s: How long the other side may take to answer.

        Returns:
            One sentence with the remedy; empty where the latest document of every key is kept.

        Raises:
            ConnectorError: The other side cannot be asked.
        """
        return ""
