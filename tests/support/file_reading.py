"""A file source as tests read it."""

from pathlib import Path

from connectors.base import LineBatch
from connectors.files import FilePartition, FileSettings, FileSource


def append(path: Path, data: bytes) -> None:
    """Writes more to a file, which it creates where it is missing."""
    with path.open("ab") as file:
        file.write(data)


class Reading:
    """A file source read step by step, restarted from its snapshot at will."""

    def __init__(self, *paths: Path, follow: bool = True, **settings: object) -> None:
        self.source = FileSource(
            FileSettings(paths=tuple(map(str, paths)), follow=follow, rescan_s=0, **settings), monotonic_s=lambda: 0.0
        )
        self.batches: list[LineBatch] = []
        self.reader = self.open(None)

    def open(self, state: dict | None) -> FilePartition:
        return self.source.open(self.source.partitions()[0], state)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        self.state = self.reader.snapshot()
        self.reader.close()

    def start(self) -> None:
        self.reader = self.open(self.state)

    def lines(self) -> list[bytes]:
        """What is new since the last call."""
        got: list[bytes] = []
        idle = 0
        while idle < 200:  # a long line gives nothing for many blocks
            try:
                batch = self.reader.next_batch()
            except StopIteration:
                break
            idle = idle + 1 if batch is None else 0
            if batch is not None:
                self.batches.append(batch)
                got += [batch.line(i) for i in range(len(batch))]
        return got

    def places(self) -> list[str]:
        return [self.source.describe(b.partition, int(p)) for b in self.batches for p in b.positions]
