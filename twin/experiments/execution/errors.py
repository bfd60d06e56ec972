"""Errors of executors."""

from formats.installation import install_command


class ExecutorError(Exception):
    """Tasks cannot be run; the message says why and what to do."""


def missing_package(package: str, extra: str) -> ExecutorError:
    """Return the error for an optional package that is not installed."""
    return ExecutorError(f"requires {package}, which is not installed: {install_command(extra)}")
