"""Cuts the received bytes of a connection into heads and pieces of bodies, never across the end of a message.

The parser gets each piece separately. The next head is therefore looked for exactly where the parser saw the
end of a message, and no byte of a body is read as a head, or the other way round.
"""

from __future__ import annotations

from shared.http.request_head import END_OF_HEAD, MAX_HEAD_BYTES, canonical_head, require_begun_head

# The longest first part of an END_OF_HEAD that is split between two pieces.
_MOST: int = len(END_OF_HEAD) - 1


class Framing:
    """Finds the ends of the messages on one connection."""

    def __init__(self) -> None:
        self._head = bytearray()
        # For a body of known length: the bytes still to come. For a chunked one: its last bytes, to find its
        # end.
        self._body_left = 0
        self._body_tail = b""

    @property
    def head_bytes(self) -> int:
        """The size of an incomplete head."""
        return len(self._head)

    def take_head(self, data: bytes, start: int) -> tuple[bytes, int]:
        """A complete head in canonical form, and the position of the bytes after it.

        The head is empty if it is incomplete; what has arrived is kept. Raises HeadRefused.
        """
        if not self._head and (found := data.find(END_OF_HEAD, start)) >= 0:
            end = found + len(END_OF_HEAD)
            return canonical_head(data[start:end]), end
        before = len(self._head)
        self._head += data[start : start + MAX_HEAD_BYTES + 1]
        found = self._head.find(END_OF_HEAD, max(before - _MOST, 0))
        if found < 0:
            require_begun_head(bytes(self._head), max(before - 1, 0))
            return b"", len(data)
        end = found + len(END_OF_HEAD)
        head = canonical_head(bytes(self._head[:end]))
        self._head.clear()
        return head, start + end - before

    def begin_body(self, length: int) -> None:
        """Note that a head was read. length: of its body; 0 if there is none or it comes in chunks."""
        self._body_left, self._body_tail = length, b""

    def end_of_piece(self, data: bytes, start: int) -> int:
        """The position up to which the bytes from start belong to the body.

        Chunks end with an empty line, like heads.
        """
        if self._body_left > 0:
            end = min(start + self._body_left, len(data))
            self._body_left -= end - start
            return end
        tail, self._body_tail = self._body_tail, b""
        across = (tail + data[start : start + _MOST]).find(END_OF_HEAD)
        if across >= 0:
            return start + across + len(END_OF_HEAD) - len(tail)
        found = data.find(END_OF_HEAD, start)
        if found >= 0:
            return found + len(END_OF_HEAD)
        self._body_tail = (tail + data[max(start, len(data) - _MOST) :])[-_MOST:]
        return len(data)

    def forget(self) -> None:
        """Release the buffer, because nothing more is read."""
        self._head.clear()
