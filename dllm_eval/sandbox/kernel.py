"""The few Linux calls a program is locked up with, through ctypes.

Knows nothing of programs or verdicts. Called by `confine.py` in the fork
server's own interpreter, so it imports nothing beyond the standard library.
"""

import ctypes
import os
import sys
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_MOUNT_SETATTR: Final = 442  # the same number on every architecture, Linux 5.12
_MOUNT_ATTR_READ_ONLY: Final = 1
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise OSError(f"no namespaces on {sys.platform}")
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Moves this process (its future children, for pids) into new namespaces."""
    _check(_libc().unshare(flags), "unshare")


def make_mounts_private() -> None:
    """No later mount or unmount is seen outside this mount namespace."""
    _check(_libc().mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount private")


def bind(source: str, target: str) -> None:
    """Shows the folder `source` at the folder `target` too."""
    _check(_libc().mount(source.encode(), target.encode(), None, _MS_BIND, None), "mount bind")


def mount_empty(target: str, options: str) -> None:
    """Covers a folder with an empty one that lives in memory and goes with the namespace."""
    flags = _MS_NOSUID | _MS_NODEV
    result = _libc().mount(b"tmpfs", target.encode(), b"tmpfs", flags, options.encode())
    _check(result, f"mount tmpfs on {target}")


def make_files_read_only() -> None:
    """Every file system of this mount namespace becomes read-only."""
    attributes = _MountAttributes(set=_MOUNT_ATTR_READ_ONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    result = _libc().syscall(
        _MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, ctypes.byref(attributes), size
    )
    _check(result, "mount_setattr")


def forbid_new_privileges() -> None:
    """No file that this process starts can raise its rights."""
    _check(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl no_new_privs")


def drop_capabilities() -> None:
    """Gives up every capability of this process, for good once new privileges are forbidden."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc().capset(header, nothing), "capset")
