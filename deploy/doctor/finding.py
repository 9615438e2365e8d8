"""What the doctor says of one thing it looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, Literal

import msgspec

Status = Literal["ok", "failed", "off"]

TIMEOUT_S: Final = 20.0


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. mend: what to do; empty unless the status is `failed`."""

    check: str
    status: Status
    detail: str
    mend: str = ""


def ok(check: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", detail)


def off(check: str, detail: str) -> Finding:
    """Not configured, and need not be."""
    return Finding(check, "off", detail)


def failed(check: str, detail: str, mend: str) -> Finding:
    """Something to mend."""
    return Finding(check, "failed", detail, mend)


async def examined(check: str, mend: str, examination: Awaitable[list[Finding]]) -> list[Finding]:
    """What an examination finds; one finding if it is cut short, by whatever error.

    mend: what to do then. A doctor that dies of what it meets helps nobody, so every error is told.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await examination
    except TimeoutError:
        return [failed(check, f"no answer within {TIMEOUT_S:.0f} s", mend)]
    except Exception as error:
        return [failed(check, cause_of(error), mend)]


def cause_of(error: BaseException) -> str:
    """What lies behind an error of ours, as the driver or the system says it, on one line."""
    while (cause := error.__cause__) is not None:
        error = cause
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
