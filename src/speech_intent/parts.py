"""A file as a decoder written in C is given it."""

import io
from typing import Any, BinaryIO


class Part(io.RawIOBase):
    """The bytes of a file from one place on, as a file for a decoder written in C.

    Such a decoder cannot pass exceptions on, so that there are none: what a system refuses is kept.
    """

    def __init__(self, stream: BinaryIO, start: int):
        self.stream = stream
        self.start = start
        self.patches: dict[int, int] = {}  # place -> byte that is read there
        self.blanks: list[range] = []  # where zeros are read
        self.failure: OSError | None = None
        self.size = stream.seek(0, io.SEEK_END) - start
        self.seek(0)

    def patch(self, place: int, data: bytes) -> None:
        """Have other bytes read at a place."""
        self.patches.update(enumerate(data, place))

    def blank(self, start: int, end: int) -> None:
        """Have zeros read from one place to another."""
        self.blanks.append(range(start, end))

    def end_at(self, size: int) -> None:
        """Leave out what lies behind a number of bytes."""
        self.size = min(self.size, size)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read in any order."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; give it. Stays where it is and gives -1 for a place before the first."""
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}
        place = bases[whence] + offset
        if place < 0:
            return -1
        return self.stream.seek(self.start + min(place, self.size)) - self.start

    def tell(self) -> int:
        """Give the place of the next byte."""
        return self.stream.tell() - self.start

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; give the number of bytes, 0 at the end."""
        place = self.tell()
        try:
            data = self.stream.read(min(len(buffer), self.size - place))
        except OSError as error:
            self.failure = error
            return 0
        n_bytes = len(data)
        buffer[:n_bytes] = data
        for blank in self.blanks:
            first = max(blank.start, place) - place
            last = min(blank.stop, place + n_bytes) - place
            if first < last:
                buffer[first:last] = bytes(last - first)
        for at, byte in self.patches.items():
            if place <= at < place + n_bytes:
                buffer[at - place : at - place + 1] = bytes([byte])
        return n_bytes
