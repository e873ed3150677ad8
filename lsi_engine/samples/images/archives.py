"""Published archives: fetched once, checked against their published MD5, and unpacked without trusting them."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent

CHUNK = 1 << 20
#: Nothing published here unpacks to more: Imagenette at full size is 1.5 GB.
MAX_UNPACKED_BYTES = 8 << 30
MAX_MEMBERS = 1_000_000


@dataclass(frozen=True)
class Archive:
    """A published ``.tgz``: what it is, where it lies, its MD5, and the folder that it unpacks to."""

    what: str
    url: str
    md5: str
    folder: str

    def missing(self, looked_in: Path, option: str = "--download") -> InputError:
        """What to tell someone whose folder does not hold it."""
        return InputError(
            f"{self.what} is not in {looked_in}: it would be the folder {self.folder} there. "
            f"{option} fetches it from {self.url}, or give the folder that you have."
        )


#: By source and variant. Addresses and MD5 sums are those that torchvision.datasets uses.
ARCHIVES: dict[str, Archive] = {
    "cifar10": Archive(
        "CIFAR-10 (python version, 163 MB)",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
        "cifar-10-batches-py",
    ),
    "cifar100": Archive(
        "CIFAR-100 (python version, 161 MB)",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
        "cifar-100-python",
    ),
    "imagenette-full": Archive(
        "Imagenette at full size (1.5 GB)",
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz",
        "fe2fc210e6bb7c5664d602c3cd71e612",
        "imagenette2",
    ),
    "imagenette-320": Archive(
        "Imagenette at 320 px (326 MB)",
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
        "3df6f0d01a2c9592104656642f5e78a3",
        "imagenette2-320",
    ),
    "imagenette-160": Archive(
        "Imagenette at 160 px (94 MB)",
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",
        "e793b78cc4c9e9a4ccc0c1155377a412",
        "imagenette2-160",
    ),
}


def fetch(archive: Archive, folder: Path, *, progress: Progress = silent) -> Path:
    """The unpacked ``archive`` below ``folder``, downloaded unless it is there already.

    Stage "download", counted in bytes. What is there is believed; what arrives is not: another MD5 is refused and
    nothing is unpacked. Raises ``InputError`` that names the address, what was wanted from it, and where to put it.
    """
    target = folder / archive.folder
    if target.is_dir():
        return target
    packed = folder / Path(archive.url).name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not packed.is_file() or _md5(packed) != archive.md5:
            _download(archive, packed, progress)
        unpack(packed, folder, expected=archive.folder)
    except (OSError, urllib.error.URLError) as error:
        raise InputError(
            f"{archive.what} cannot be had. Wanted: {archive.url}. Looked for: {target} and {packed}. "
            f"The attempt ended with: {error}. Copy one of the two there from a machine with internet access."
        ) from error
    return target


def _download(archive: Archive, packed: Path, progress: Progress) -> None:
    partial = packed.with_name(f".{packed.name}.{uuid.uuid4().hex}.part")
    total = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(archive.url, timeout=30) as answer, partial.open("wb") as file:
            size, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                total.update(chunk)
                done += len(chunk)
                progress("download", done, max(size, done))
        if total.hexdigest() != archive.md5:
            raise InputError(
                f"{archive.url} sent something else than {archive.what}: MD5 {total.hexdigest()}, published "
                f"{archive.md5}. Nothing was kept; try again, or fetch the file by other means into {packed}."
            )
        os.replace(partial, packed)
    finally:
        partial.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def unpack(packed: Path, folder: Path, *, expected: str) -> None:
    """Unpack the tar file ``packed`` so that ``folder / expected`` appears, entirely or not at all.

    Only plain files and folders below ``expected`` are accepted: a member that is a link or a device, or whose path
    leads anywhere else, makes the archive suspect, and nothing of it is kept. Raises ``InputError`` naming the member.
    """
    work = folder / f".{expected}.{uuid.uuid4().hex}.part"
    try:
        work.mkdir()
        with tarfile.open(packed) as archive:
            unpacked = members = 0
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if not (member.isfile() or member.isdir()) or parts[:1] != (expected,) or ".." in parts:
                    raise InputError(f"{packed} is not unpacked: its member {member.name!r} does not belong in it")
                unpacked, members = unpacked + member.size, members + 1
                if unpacked > MAX_UNPACKED_BYTES or members > MAX_MEMBERS:
                    raise InputError(f"{packed} is not unpacked: it holds over {MAX_UNPACKED_BYTES >> 30} GB")
                archive.extract(member, work, filter="data")
        if not (work / expected).is_dir():
            raise InputError(f"{packed} does not hold the folder {expected}")
        os.replace(work / expected, folder / expected)
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{packed} cannot be unpacked: {error}") from error
    finally:
        if work.is_dir():
            for path in [work, *work.rglob("*")]:
                if path.is_dir():
                    path.chmod(path.stat().st_mode | stat.S_IRWXU)  # an archive may lock its own folders
            shutil.rmtree(work)


def unpacked(folder: Path, archive: str) -> Path:
    """Where ``archive`` lies when people name ``folder``: what was fetched there earlier, else the folder itself."""
    fetched = folder / ARCHIVES[archive].folder
    return fetched if fetched.is_dir() else folder
