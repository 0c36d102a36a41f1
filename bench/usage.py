"""What a process has used, from Linux's /proc (proc(5))."""

import contextlib
import os
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# In /proc/PID/stat after the command's name, which ends with the last ")".
_UTIME, _STIME = 11, 12


def cpu_s(pid: int) -> float:
    """User and system time of all threads, ended ones too, in seconds; steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_S


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory in MB (10**6 bytes): now (VmRSS) or at most so far (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no {field} in the status of process {pid}")


def restart_own_peak() -> float:
    """Let this process's peak of resident memory (VmHWM) begin with what it has now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident_mb(os.getpid())


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs, parents first."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


class Others:
    """The share of a core that processes use that are not ours, from its making on."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()
        self._used_s = _others_cpu_s()

    def share(self) -> float:
        """So far."""
        return (_others_cpu_s() - self._used_s) / (time.monotonic() - self._begin_s)


def _others_cpu_s() -> float:
    """All that was not used by this process, its children, and those that it has waited for."""
    ended = os.times()
    ours = ended.children_user + ended.children_system
    for pid in (os.getpid(), *descendants(os.getpid())):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ours += cpu_s(pid)
    return machine_cpu_s() - ours


def machine_cpu_s() -> float:
    """Time that all processors of this machine have worked since boot, in seconds."""
    _, user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
        Path("/proc/stat").read_text("ascii").partition("\n")[0].split()
    )
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / _TICKS_PER_S
