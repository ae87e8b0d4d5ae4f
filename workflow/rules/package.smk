# Where the workflow lies, and its Python package with it: ROOT. Another workflow may import this one
# from a folder, or from a git repository, of which Snakemake itself brings the Snakefiles only.
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def copy_of_revision(repository, revision):
    """Copy a revision out of a git repository, once for each commit, and say where it lies."""
    git = ["git", "-C", str(repository)]
    commit = subprocess.check_output([*git, "rev-parse", f"{revision}^{{commit}}"], text=True)
    copy = Path(".snakemake", "epsigma", commit.strip()).absolute()
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=copy.parent))
        packed = subprocess.check_output([*git, "archive", commit.strip(), "workflow", "envs"])
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(made, filter="data")
        try:
            made.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(made)
    return copy


# workflow/rules, as Snakemake knows it.
rules_folder = workflow.current_basedir
if hasattr(rules_folder, "hosted_repo"):  # github(…), gitlab(…)
    ROOT = copy_of_revision(rules_folder.hosted_repo.repo_clone, rules_folder.ref)
elif hasattr(rules_folder, "repo_path"):  # gitfile(…)
    ROOT = copy_of_revision(rules_folder.repo_path, rules_folder.ref)
else:
    ROOT = Path(rules_folder.get_path_or_uri(secret_free=True)).parents[1]

# Before what is installed, the package and the user's own modules: models of the kind `factory`.
sys.path[:0] = [str(ROOT / "workflow"), os.getcwd()]
