"""Make a challenge from the results of a study, or score a submission.

python -m epsigma.challenge make RESULTS FOLDER
python -m epsigma.challenge score FOLDER SUBMISSION
"""

import argparse
import os
import sys
from pathlib import Path

from epsigma.surroundings import settle


def main() -> None:
    """Read the command line, and make or score."""
    parser = argparse.ArgumentParser(
        prog="python -m epsigma.challenge", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make a folder from the results of a study")
    make.add_argument("results", type=Path, help="of a study that was run, as results/")
    make.add_argument("folder", type=Path, help="to make, as challenge/")
    score = commands.add_parser("score", help="score a filter or an adversarial set")
    score.add_argument("folder", type=Path, help="that `make` made")
    score.add_argument("submission", type=Path, help="NAME.py or NAME.safetensors")
    given = parser.parse_args()
    settle()
    # The study's own modules lie where it was started.
    sys.path.append(os.getcwd())
    from epsigma.challenge.rules import SubmissionError

    try:
        if given.command == "make":
            _make(given.results, given.folder)
        else:
            _score(given.folder, given.submission)
    except SubmissionError as error:
        sys.exit(f"{given.submission}: {error}")
    except (ValueError, OSError) as error:
        sys.exit(f"{given.folder}: {error}")


def _make(results: Path, folder: Path) -> None:
    from epsigma.challenge.making import make_challenge

    make_challenge(results, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder} is made, {size / 1e6:.1f} MB: {folder / 'README.md'} says what to do with it")


def _score(folder: Path, submission: Path) -> None:
    from epsigma.challenge.page import describe, write_page
    from epsigma.challenge.rules import read_rules
    from epsigma.challenge.scoring import score

    scored = score(submission, folder)
    write_page(folder, read_rules(folder))
    for line in describe(scored, folder):
        print(line)
    if not scored.confined:
        print(f"This system has no Landlock of Linux 6.2: {submission} could change your files.")
    print(f"{folder / 'scores.csv'} has the rows, {folder / 'scores.html'} shows them")


if __name__ == "__main__":
    main()
