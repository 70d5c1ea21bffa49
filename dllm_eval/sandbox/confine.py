"""Locks up the process that will run one generated program.

Three moves: the server leaves the network and makes every file read-only once, for all programs,
since the kernel takes milliseconds to build and tear down such namespaces; the warden of each
program asks for a pid namespace, which takes in only its children; the program's own process gives
up its rights. Knows nothing of what will run. Called by `server.py` and `warden.py`.

What it holds off: the network, every other process, writing any file outside an empty scratch
folder in memory, forking, memory, file size and time. What it does not: a program that takes its
own interpreter apart in search of the pass token, and (for an unprivileged user) reading that
user's files, which it has no way to send anywhere.
"""

import os
import resource
import sys
from typing import Final

from dllm_eval.sandbox import kernel

NOBODY: Final = 65534
SCRATCH_BYTES: Final = 16 * 2**20
FILE_BYTES: Final = 8 * 2**20
NUM_OPEN_FILES: Final = 64
_FOR_ALL: Final = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET
_FOR_EACH: Final = kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC
_LIBRARY: Final = os.path.dirname(os.__file__)  # noqa: PTH120 - runs without pathlib loaded
_LIBRARY_COPY: Final = "/mnt"
_SCRATCH_CANDIDATES: Final = ("/tmp", "/var/tmp", "/opt")


def leave_network_and_files() -> str:
    """Leaves the network and all writable files behind; returns the one folder left to write in.

    Root drops to `nobody` only later, since limits on processes do not bind root; it needs no
    user namespace. Anyone else gets the rights to mount from a user namespace of their own.

    Raises:
        OSError: The kernel refuses.
    """
    is_root = os.geteuid() == 0
    if is_root:
        kernel.unshare(_FOR_ALL)
    else:
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(kernel.CLONE_NEWUSER | _FOR_ALL)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    kernel.make_mounts_private()
    if is_root:
        # The library may lie in root's home, closed to the user that the program runs as.
        kernel.bind(_LIBRARY, _LIBRARY_COPY)
        _find_library_at(_LIBRARY_COPY)
    kernel.make_files_read_only()
    scratch = _scratch_folder()
    kernel.mount_empty(scratch, f"size={SCRATCH_BYTES},nr_inodes=1024,mode=0755")
    for hidden in ("/proc", "/run"):
        kernel.mount_empty(hidden, "size=4096,mode=0555")
    return scratch


def leave_other_processes() -> None:
    """The next child of this process sees no process but its own descendants, and ends with it."""
    kernel.unshare(_FOR_EACH)


def give_up_rights(*, timeout_s: float, memory_bytes: int) -> None:
    """Sets every limit on this process and drops what it was allowed to do."""
    _limit(resource.RLIMIT_CPU, int(timeout_s) + 2)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    _limit(resource.RLIMIT_NOFILE, NUM_OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.forbid_new_privileges()
    kernel.drop_capabilities()


def _find_library_at(folder: str) -> None:
    packages = [vars(module).get("__path__") for module in list(sys.modules.values())]
    for paths in (sys.path, *packages):
        if isinstance(paths, list):
            paths[:] = [path.replace(_LIBRARY, folder) for path in paths]
    sys.path_importer_cache.clear()


def _limit(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        value = min(value, most)
    resource.setrlimit(kind, (value, value))


def _scratch_folder() -> str:
    for folder in _SCRATCH_CANDIDATES:
        if os.path.isdir(folder) and not _LIBRARY.startswith(f"{folder}/"):  # noqa: PTH112
            return folder
    raise OSError(f"none of {', '.join(_SCRATCH_CANDIDATES)} can be covered by a scratch folder")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - runs without pathlib loaded
        file.write(text)
