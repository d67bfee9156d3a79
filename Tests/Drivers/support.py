"""What several of the driver tests need."""

import pathlib
import threading
import time

PATIENCE = 30.0


def in_threads(count, work):
    """Runs `work(number)` in so many threads at once and raises what the first of them raised."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def until(what, condition):
    """Waits until the condition holds and returns what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s in vain until {what}"
        time.sleep(0.02)
    return found


class Memory:
    """What the processes of a program hold in memory, from now on. In bytes."""

    def __init__(self, process):
        self._processes = family(process)
        self._start = {number: memory(number, "VmRSS") for number in self._processes}

    def growth(self):
        """By how much all processes together have grown at their peaks. A process that is new or gone is a fault."""
        now = family(self._processes[0])
        assert sorted(now) == sorted(self._processes), f"processes were {self._processes} and are {now}"
        return sum(memory(number, "VmHWM") - self._start[number] for number in now)


def family(process):
    """A process and all that descend from it."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = [process]
    for member in found:
        found += [number for number, parent in parents.items() if parent == member]
    return found


def memory(process, field):
    """A field of a process's status that is given in kB, in bytes."""
    for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {process} has no {field}")
