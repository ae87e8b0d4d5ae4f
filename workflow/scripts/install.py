"""Install requirements, and say in a line how far that is.

    install.py REQUIREMENTS

pip prints a page of lines, or with `--quiet` nothing for minutes. Here a line moves in a terminal;
elsewhere one is printed now and then. What pip says is kept, and printed if it fails.
"""

import re
import subprocess
import sys
import sysconfig
import threading
import time

# Of what pip says, what it is about to do with which package.
STEP = re.compile(
    r"\s*(Collecting|Downloading|Using cached|Installing collected packages) ?([^ (]*)"
)
PACKAGES = sysconfig.get_path("purelib")
# Seconds between two lines where none can move, and of what pip says the last so many lines.
PAUSE, LAST = 30, 20


class Line:
    """A line that says what is done, and for how long all has taken."""

    def __init__(self) -> None:
        self.step = "starting pip"
        self._began = time.monotonic()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """Remove the line; how many seconds it was there."""
        self._is_over.set()
        self._thread.join()
        return time.monotonic() - self._began

    def _tell(self) -> None:
        moves = sys.stderr.isatty()
        begin, end = ("\r\033[K", "") if moves else ("", "\n")
        while not self._is_over.wait(0.5 if moves else PAUSE):
            seconds = time.monotonic() - self._began
            said = f"installing, {seconds:.0f} s: {self.step}"[:78]
            print(begin, said, end=end, sep="", file=sys.stderr, flush=True)
        print(begin, end="", file=sys.stderr, flush=True)


def compile_all() -> None:
    """Compile what is installed, on all cores; pip has one, and compiles tests of packages, too."""
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-x", r"[/\\]tests?[/\\]"]
    # Some packages bring templates that are no Python: they stay as they are, as pip leaves them.
    subprocess.run([*command, PACKAGES], capture_output=True, check=False)


def install(requirements: str) -> int:
    """Install requirements into this Python's environment; pip's exit status."""
    print(f"installing {requirements}: some minutes, the first time", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    command = [*pip, "--progress-bar", "off", "--no-compile", "-r", requirements]
    said = []
    line = Line()
    try:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as pip_process:
            for text in pip_process.stdout or ():
                said.append(text)
                if found := STEP.match(text):
                    # Of a wheel's file name the package and its version.
                    what = "-".join(found[2].rpartition("/")[2].split("-")[:2])
                    if found[1].startswith("Installing"):
                        what = f"{text.count(',') + 1} packages"
                    line.step = f"{found[1].split()[0].lower()} {what}"
        if not pip_process.returncode:
            line.step = "compiling"
            compile_all()
    finally:
        seconds = line.end()
    if pip_process.returncode:
        print(*said[-LAST:], sep="", end="", file=sys.stderr)
        print(
            f"pip could not install {requirements}; `make doctor` says what may be wrong",
            file=sys.stderr,
        )
    else:
        print(f"installed {requirements} in {seconds:.0f} s", file=sys.stderr)
    return pip_process.returncode


if __name__ == "__main__":
    sys.exit(install(sys.argv[1]))
