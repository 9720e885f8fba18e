"""Run a test command, show all that it prints, and end with one page: what ran, what failed, what was skipped and why.

The exit code is the command's own.
"""

import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SUITE = re.compile(r"^ +(?:Running .*/(?P<program>[^/]+)-[0-9a-f]+\)|(?P<examples>Doc-tests .+))$")
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; .* finished in ([\d.]+)s$")
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED$")
SKIPPED = re.compile(r"SKIPPED: (.+)$")


@dataclass
class Suite:
    """One test program, and what is known of it so far."""

    name: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    finished: bool = False
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)


def read(line: str, suites: list[Suite]) -> None:
    """Take from a line what the page needs."""
    line = COLOURS.sub("", line).rstrip("\n")
    if started := SUITE.match(line):
        suites.append(Suite(started["program"] or started["examples"]))
    elif not suites:
        return
    elif skipped := SKIPPED.search(line):
        suites[-1].skips.append(skipped[1])
    elif failed := FAILED.match(line):
        suites[-1].failures.append(failed[1])
    elif result := RESULT.match(line):
        suite = suites[-1]
        suite.passed, suite.failed = int(result[1]), int(result[2])
        suite.seconds, suite.finished = float(result[3]), True


def page(suites: list[Suite], seconds: float) -> str:
    """Lay out the page."""
    told = [suite for suite in suites if suite.passed or suite.failed or not suite.finished]
    width = max((len(suite.name) for suite in told), default=0)
    lines = ["", f"{'suite':<{width}}  passed  failed   time"]
    lines += [
        f"{suite.name:<{width}}  {suite.passed:>6}  {suite.failed:>6}  {suite.seconds:>4.0f}s"
        + ("" if suite.finished else "  no count of its own")
        for suite in told
    ]
    totals = (sum(suite.passed for suite in told), sum(suite.failed for suite in told))
    lines.append(f"{'in all':<{width}}  {totals[0]:>6}  {totals[1]:>6}  {seconds:>4.0f}s")
    for title, of_suite in (("FAILED", "failures"), ("SKIPPED", "skips")):
        entries = [f"  {suite.name}: {entry}" for suite in told for entry in dict.fromkeys(getattr(suite, of_suite))]
        lines += [f"{title}:", *entries] if entries else [f"{title}: nothing"]
    return "\n".join(lines)


def main(command: list[str]) -> int:
    """Run the command to its end."""
    start = time.monotonic()
    suites: list[Suite] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            for line in process.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                read(line, suites)
        except KeyboardInterrupt:
            process.wait()
    print(page(suites, time.monotonic() - start))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
