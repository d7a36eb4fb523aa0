"""Print the commands of README's first console block: CI runs what people read."""

import re
import sys
from pathlib import Path

EXPECTED = 2


def main() -> int:
    """Print the first block's commands; exit 1 if there are not exactly two."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    block = re.search(r"^```console\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    lines = block.group(1).splitlines() if block else []
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    if len(commands) != EXPECTED:
        sys.stderr.write(f"README's first console block holds {len(commands)} commands, not two.\n")
        return 1
    sys.stdout.write("\n".join(commands) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
