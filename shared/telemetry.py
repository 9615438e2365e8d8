"""Logs: events with fields, as JSON in production and readable on a terminal. No secrets in either.

Each line of a request carries its `request_id`, and as soon as they are known its `actor` (a handle) and
`package`; each line of a job its `job_id`. They travel in contextvars, so no function passes them on.
"""

from __future__ import annotations

import logging
import sys

import structlog

from shared.settings import Settings

SHARED_PROCESSORS: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure_logging(settings: Settings) -> None:
    """Set up structlog, once for each process, and warn of variables that no setting has.

    The command line calls it; library modules never do.
    """
    # The default for terminals would show local variables in tracebacks, which may be secrets.
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    rendering: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*SHARED_PROCESSORS, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _format_libraries(max(level, logging.WARNING), rendering)
    for name, nearest in settings.unknown_variables.items():
        structlog.get_logger().warning("unknown_variable", variable=name, nearest=nearest)


def _format_libraries(level: int, rendering: list[structlog.typing.Processor]) -> None:
    """Format the log lines of libraries like our own, and drop those below a warning."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED_PROCESSORS, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
