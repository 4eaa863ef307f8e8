"""A file on its way out of a thread that can be told to stop."""

from __future__ import annotations

import threading
from typing import BinaryIO


class Content:
    """What boto3 reads an upload from. Once `halt` is called a read fails, and with it the upload.

    error: why the file itself could not be read; boto3 takes that for a failure of the network.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._halted = threading.Event()
        self.error: OSError | None = None

    def halt(self) -> None:
        self._halted.set()

    def read(self, size: int = -1) -> bytes:
        if self._halted.is_set():
            raise InterruptedError
        try:
            return self._file.read(size)
        except OSError as error:
            self.error = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
