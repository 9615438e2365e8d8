"""A finding: the result of one check of the doctor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, Literal

import msgspec

from shared.causes import cause_of

Status = Literal["ok", "failed", "off"]

TIMEOUT_S: Final = 20.0


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. mend: how to fix it; empty unless the status is `failed`."""

    check: str
    status: Status
    detail: str
    mend: str = ""


def ok(check: str, detail: str) -> Finding:
    """A check that passed."""
    return Finding(check, "ok", detail)


def off(check: str, detail: str) -> Finding:
    """A check of something that is not configured or does not exist yet."""
    return Finding(check, "off", detail)


def failed(check: str, detail: str, mend: str) -> Finding:
    """A check that failed."""
    return Finding(check, "failed", detail, mend)


async def examined(check: str, mend: str, examination: Awaitable[list[Finding]]) -> list[Finding]:
    """The findings of an examination, or one finding that names the error that ended it.

    mend: how to fix that error. Every exception becomes a finding, so that the other checks still run.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await examination
    except TimeoutError:
        return [failed(check, f"no answer within {TIMEOUT_S:.0f} s", mend)]
    except Exception as error:
        return [failed(check, cause_of(error), mend)]
