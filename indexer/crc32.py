"""Combines CRC-32 checksums of parts into that of the whole, without reading the parts again. Pure.

The checksum is that of gzip (RFC 1952, 8). A CRC is a remainder of polynomials over GF(2), so appending N
bytes multiplies it by x to the power of 8 N, modulo the polynomial. Bit 31 is the coefficient of x to the
power of 0. zlib's crc32_combine_op() does the same; Python's module does not offer it.
"""

from __future__ import annotations

from typing import Final

POLYNOMIAL: Final = 0xEDB88320
ONE: Final = 1 << 31
BITS_OF_LENGTH: Final = 64


def shift_of(length_bytes: int) -> int:
    """What a checksum is multiplied by when this many bytes follow. length_bytes: 0 or more."""
    shift = ONE
    for power, bits in zip(_POWERS_OF_BYTES, range(BITS_OF_LENGTH), strict=True):
        if length_bytes >> bits & 1:
            shift = _product(power, shift)
    return shift


def combined(first: int, second: int, shift: int) -> int:
    """The checksum of two parts, one after the other. shift: shift_of the second part's length."""
    return _product(shift, first) ^ second


def _product(one: int, other: int) -> int:
    """The product of two polynomials, modulo POLYNOMIAL."""
    product, bit = 0, ONE
    while one:
        if one & bit:
            product ^= other
            one ^= bit
        bit >>= 1
        other = other >> 1 ^ POLYNOMIAL if other & 1 else other >> 1
    return product


def _powers_of_bytes() -> tuple[int, ...]:
    """x to the power of 8, 16, 32 … as remainders: what 1, 2, 4 … bytes multiply by."""
    powers = [ONE >> 8]
    while len(powers) < BITS_OF_LENGTH:
        powers.append(_product(powers[-1], powers[-1]))
    return tuple(powers)


_POWERS_OF_BYTES: Final = _powers_of_bytes()
