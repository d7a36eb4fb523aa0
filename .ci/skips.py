"""Print every skipped test with its reason; fail on one that the committed list does not allow.

The list holds one pattern a line (``fnmatch``, over ``test id: reason``); ``#`` starts a comment.
"""

import fnmatch
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path


def read_skips(report: Path) -> Iterator[str]:
    """Yield ``test id: reason`` for each skipped test of a JUnit report."""
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        for skip in case.iter("skipped"):
            yield f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}"


def main() -> int:
    """Compare the reports' skips with the allowed ones."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    allowed = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    skips = [skip for report in sys.argv[2:] for skip in read_skips(Path(report))]
    unexpected = [
        skip for skip in skips if not any(fnmatch.fnmatchcase(skip, entry) for entry in allowed)
    ]
    for skip in skips:
        verdict = "NOT ALLOWED" if skip in unexpected else "allowed"
        sys.stdout.write(f"skipped ({verdict}): {skip}\n")
    sys.stdout.write(f"{len(skips)} skips, {len(unexpected)} not allowed\n")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
