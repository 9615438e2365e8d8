"""`x07-registry log …`: the transparency log (docs/log.md)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.mirror_folder import open_copies
from deploy.cli.options import AsJson, TokenFile, checked_vkey, print_json, read_token
from shared.text import counted

if TYPE_CHECKING:
    from indexer.log.recovery import Recovered
    from shared.settings import Settings

Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of a registry or a mirror: https://, http:// or file://.",
        show_default="the storage of the settings",
    ),
]
InStorage = Annotated[
    bool, typer.Option("--storage", help="Read the storage of the settings, as without --url.")
]
Vkey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Key that must have signed the log.",
        show_default="the key that config.json names",
        callback=checked_vkey,
    ),
]
LongerLog = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="MIRROR",
        exists=True,
        file_okay=False,
        help="A mirror, made by `export`: entries that only its log has are taken from it.",
    ),
]

app = typer.Typer(
    help="The transparency log: every line that readers see, append-only and signed.", no_args_is_help=True
)


@app.command()
def recover(copies: LongerLog = None, as_json: AsJson = False) -> None:
    """Make database and storage agree about the log, after one of them was restored from a backup.

    The longest history is used if it begins with the shorter ones. A fork is reported, and storage is not
    changed. Run the command before a worker starts.
    """
    import asyncio
    from dataclasses import asdict

    from deploy.cli.settings import command_settings

    settings = command_settings()
    done = asyncio.run(_recover(settings, copies))
    if as_json:
        print_json(asdict(done))
    else:
        done_text = f"{done.taken} added to the database, {counted(done.written, 'file')} written"
        print(f"the log has {counted(done.size, 'entry')}: {done_text}")


async def _recover(settings: Settings, copies: Path | None) -> Recovered:
    """Recover the log. Raises LogDiverged, SettingsError."""
    from indexer.log.recovery import recover as recover_log
    from indexer.log.sequencer import open_sequencer
    from shared.variables import SettingsError
    from worker.process import open_parts

    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(settings))
        mirror = await stack.enter_async_context(open_copies(copies))
        sequencer = open_sequencer(settings, parts.database, parts.storage, parts.notifier)
        if sequencer is None:
            raise SettingsError("X07_REGISTRY_LOG_KEY_B64 is not set; without it there is no log")
        return await recover_log(sequencer, mirror)


@app.command()
def verify(
    url: Url = None,
    storage: InStorage = False,
    vkey: Vkey = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Check every tile and entry, the tree, the signature, and every index line against the log.

    Prints each difference. Exits with 0 if there is none, 1 if there are some.
    """
    from deploy.cli.stoppable import run_stoppable

    _require_one(url, storage)
    token = read_token(token_file)
    count = run_stoppable(lambda: _verify(url, vkey, token, as_json))
    raise typer.Exit(1 if count else 0)


@app.command()
def prove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A package.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="One of its versions.")],
    url: Url = None,
    storage: InStorage = False,
    vkey: Vkey = None,
    token_file: TokenFile = None,
) -> None:
    """Print a proof (c2sp.org/tlog-proof@v1) that the log has the line that the index shows now.

    Exits with 1 if the log does not have it. `log check-proof` checks a proof without a network.
    """
    import asyncio
    import sys

    _require_one(url, storage)
    sys.stdout.buffer.write(asyncio.run(_prove(name, version, url, vkey, read_token(token_file))))


@app.command("check-proof")
def check_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The output of `log prove`.")],
    vkey: Annotated[str, typer.Option(metavar="KEY", help="Key that must have signed the log.")],
    witness: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Key of a witness that must have cosigned it; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a proof, without a network, and print the line that it proves.

    Exits with 1 if the proof is wrong.
    """
    from deploy.cli.log_source import parse_key, refusing
    from indexer.log.entry import parse_entry
    from indexer.log.proof import TlogProof

    with refusing():
        proof = TlogProof.parse(file.read_bytes())
        witnesses = [parse_key(text, "--witness") for text in witness or ()]
        checkpoint = proof.check([parse_key(vkey)], witnesses=witnesses)
        entry = parse_entry(proof.entry)
    if as_json:
        found = {"origin": checkpoint.origin, "size": checkpoint.size, "index": proof.index, "entry": entry}
        print_json(found)
    else:
        release, log = f"{entry.name} {entry.version}", checkpoint.origin
        print(f"{release} is entry {proof.index} of {checkpoint.size} of the log {log}:")
        print(proof.entry.decode())


@app.command()
def monitor(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of a registry or a mirror.")],
    vkey: Annotated[str, typer.Option(metavar="KEY", help="Key that must have signed the log.")],
    state: Annotated[Path, typer.Option(metavar="FILE", help="Stores the checkpoint that was seen last.")],
    once: Annotated[bool, typer.Option("--once", help="Check once, then exit.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time between two checks.")] = 10.0,
    log_only: Annotated[
        bool, typer.Option("--log-only", help="Do not compare the index with the log.")
    ] = False,
    audit_every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Time between two comparisons of the whole index.")
    ] = 3600.0,
    token_file: TokenFile = None,
) -> None:
    """Follow a log: each checkpoint must continue the last one. Prints new entries as lines of JSON.

    The index is compared with the log as by `log verify`: all of it at the first check and every hour, and
    the packages of new entries at each check. Prints each difference on standard error and then exits with 1.
    Exits with 3 on a fork or a rollback, and keeps both checkpoints beside FILE as evidence.
    """
    from deploy.cli.log_monitor import watch
    from deploy.cli.stoppable import run_stoppable

    every_s, audit_every_s = None if once else every, None if log_only else audit_every
    token = read_token(token_file)
    run_stoppable(lambda: watch(url, vkey, state, every_s, audit_every_s, token))


def _require_one(url: str | None, storage: bool) -> None:
    """Raise BadParameter if both an address and the storage are given."""
    if url is not None and storage:
        raise typer.BadParameter("give either --url or --storage", param_hint="--url")


async def _verify(url: str | None, vkey: str | None, token: str | None, as_json: bool) -> int:
    """Verify the log and print every difference. Returns their number."""
    from deploy.cli.findings import Findings
    from deploy.cli.log_source import open_source, refusing
    from deploy.cli.progress import open_walk
    from deploy.cli.verify import fields_of, line_of
    from indexer.upkeep.log_verification import LogVerification

    count = 0
    async with AsyncExitStack() as stack:
        with refusing():
            source = await stack.enter_async_context(open_source(url, vkey, token))
        with open_walk() as progress, Findings("log verify", as_json=as_json) as findings:
            verification = LogVerification(
                source.reader, source.names, source.index_file, source.published, progress
            )
            with refusing():
                async for difference in verification.run():
                    findings.add(line_of(difference), **fields_of(difference))
                    count += 1
            entries = counted(verification.size, "entry")
            text = counted(count, "difference") if count else f"{entries}, no difference"
            findings.end(count == 0, text, differences=count, size=verification.size)
    return count


async def _prove(name: str, version: str, url: str | None, vkey: str | None, token: str | None) -> bytes:
    """The text of the proof. Exits with 1 if there is none."""
    from deploy.cli.log_source import open_source, refusing
    from indexer.upkeep.line_proof import prove_line

    with refusing():
        async with open_source(url, vkey, token) as source:
            return (await prove_line(source.reader, source.index_file, name, version)).render()
