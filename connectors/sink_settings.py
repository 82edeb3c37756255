"""What the settings of every sink share: how several writers get along."""

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
