"""Memory of this process, as Linux counts it. The `ru_maxrss` of a child begins with that of its parent."""

from pathlib import Path


def resident_mib() -> float:
    """Return the present resident memory."""
    return _field("VmRSS")


def peak_mib() -> float:
    """Return the largest resident memory since the program was started."""
    return _field("VmHWM")


def _field(name: str) -> float:
    """Return a field of proc_pid_status(5) in MiB."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
