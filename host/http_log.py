"""What our HTTP servers say of requests that they could not handle: one line, whoever sent what.

Owns a logger for `web.AppRunner(logger=...)`. The library's own prints a traceback with the sender's
bytes in it for each malformed request, so that anyone could fill a log with anything.
"""

import logging


def one_line_logger(name: str) -> logging.Logger:
    """Return the logger of one server, which names the error and shows neither trace nor content."""
    logger = logging.getLogger(f"replicatoor.http.{name}")
    if not logger.filters:
        logger.addFilter(_shorten)
    return logger


def _shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    record.exc_info, record.exc_text = None, None
    if error is not None:
        record.msg, record.args = "a request was not handled: %s", (type(error).__name__,)
    return True
