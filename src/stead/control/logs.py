"""Where the server's own words go: stderr, one line each, as text for people or as JSON.

Contract: `configure(level)` once at start. Requests are not logged, so that no address (they may carry a ticket) is;
tracebacks show no values of variables, which may be secrets.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Sets up structlog and the standard library's logging alike."""
    number = logging.getLevelNamesMapping()[level.upper()]
    stamps: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*stamps, structlog.processors.format_exc_info, shown],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamps,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                shown,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("stead").setLevel(number)
