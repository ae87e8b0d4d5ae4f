"""Files that are known by their published MD5 sums, and downloaded where they are missing."""

from pathlib import Path

from epsigma.storage.files import atomic_write

REMEDY = "remove it to have it downloaded again"


def check_sum(path: Path, md5: str) -> None:
    """Make sure that a file is the published one; a ValueError if its sum is another."""
    from torchvision.datasets.utils import calculate_md5

    if (found := calculate_md5(path)) != md5:
        raise ValueError(
            f"{path} is not the published {'archive' if '.tar' in path.name else 'file'}: its MD5 "
            f"sum is {found}, not {md5} (truncated, altered, or another file under this name): "
            f"{REMEDY}"
        )


def download(url: str, path: Path, *, md5: str, missing: str) -> None:
    """Download a file whole, or not at all.

    Args:
        url, path: from where, and to where.
        md5: its published sum, which is checked.
        missing: what is not there, for an error.

    Raises:
        FileNotFoundError: if it cannot be downloaded.
    """
    from torchvision.datasets.utils import download_url

    try:
        with atomic_write(path) as temporary:
            download_url(url, str(temporary.parent), temporary.name, md5)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"{missing}, and torchvision could not download {path.name} ({str(error).strip()}). "
            "Put it there, or name its folder: --config data_dir=FOLDER"
        ) from error
