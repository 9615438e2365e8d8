"""`python -m tests.bench`: runs every benchmark, or the named ones."""

from __future__ import annotations

import importlib
import sys

PROGRAMS = {
    "reads": "reads of index files and archives beside nginx and others; freshness, memory",
    "misses": "index files that are not in a reader's memory, on a directory and on S3",
    "private_reads": "processor time of a fast answer in a private registry, beside a public one",
    "private_rates": "rate of reads with a token by wrk in a private registry, beside a public one",
    "html_pages": "HTML pages of 100,000 packages: processor time, files and bytes",
    "pages": "package pages, owners and advisories at 32 connections",
    "fairness": "p50 and p99 at 64 connections of the routes that ask Postgres",
    "publish": "publish until visible, at 1 and 16 publishers, beside the floor, devpi and verdaccio",
    "layers": "processor time of each middleware around a handler",
    "s3_publish": "publishes over S3 whose every answer takes 30 ms, at 1 and 64 publishers",
    "purging": "an edge that waits out a time-to-live beside one that is purged",
    "upload_memory": "memory of the write process while 8 publishers post 60 MiB each",
    "warm_start": "from the command to the first answer of a registry",
    "hostile": "good publishes and reads while one bad publisher keeps four connections busy",
    "growth": "the catalog, and what a publish costs, at 100 to 100,000 packages",
    "busy": "publishes while a stopped worker holds the lock of another package",
    "overload": "publishes at four times what the machine can take, and reads meanwhile",
    "search": "searches among 100,000 packages beside a plain LIKE",
    "log": "the transparency log of 100,000 packages, and how soon a publish is in it",
    "index_rebuild": "an index file of 1, 100 and 1,000 versions made and published again",
    "long_packages": "one more version of a package of 1 to 5,000 versions",
    "mirror": "first run of a mirror beside export and wget --mirror; changes followed",
}


def main(names: list[str]) -> None:
    """Run programs by name, or all if none is named; an unknown name prints the list."""
    if any(name not in PROGRAMS for name in names):
        listed = "\n".join(f"  {name:<15} {about}" for name, about in PROGRAMS.items())
        sys.exit(f"usage: python -m tests.bench [PROGRAM ...]\n{listed}")
    for name in names or PROGRAMS:
        importlib.import_module(f"tests.bench.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
