"""Remove the lock that a killed Snakemake left in a folder, if no Snakemake works there.

    unlock.py [FOLDER]

Looks at the processes of this machine only: where other machines share the folder, use
`snakemake --unlock` by hand.
"""

import subprocess
import sys
from pathlib import Path

import psutil


def holders(folder: Path) -> list[int]:
    """List the processes that may be a Snakemake at work in a folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if any("snakemake" in Path(word).name for word in process.info["cmdline"] or ()):
            try:
                elsewhere = Path(process.cwd()) != folder
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                elsewhere = False
            if not elsewhere:
                found.append(process.info["pid"])
    return found


def main() -> None:
    """Read the command line and unlock."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    if not any((folder / ".snakemake" / "locks").glob("*")):
        return
    pids = holders(folder)
    if pids:
        sys.exit(
            f"{folder} is locked, and process {', '.join(map(str, pids))} may be at work there"
        )
    print(f"{folder} is locked by a Snakemake that is gone: unlocking", file=sys.stderr)
    snakefile = Path(__file__).resolve().parents[2] / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--unlock"]
    sys.exit(subprocess.run([*command, "--directory", str(folder)]).returncode)


if __name__ == "__main__":
    main()
