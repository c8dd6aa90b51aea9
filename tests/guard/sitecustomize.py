"""Put first on PYTHONPATH, this guards a process and its children: whatever goes beyond this machine is refused and noted.

Connections and names are looked at where the standard library asks the system for them; the note is a line in `$CONNECTIONS`.
"""

import os
import socket

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


def _guarded(original, place):
    def call(*arguments, **named):
        target = arguments[place]
        host = target[0] if isinstance(target, tuple) else target
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if isinstance(target, tuple | str | bytes) and not _local(arguments[0], host):
            with open(os.environ["CONNECTIONS"], "a", encoding="utf-8") as file:
                file.write(f"{original.__name__} {target}\n")
            raise OSError(f"guarded: {target}")
        return original(*arguments, **named)

    return call


def _local(connection, host):
    unix = getattr(connection, "family", None) == socket.AF_UNIX
    return unix or host in (None, "", socket.gethostname()) or str(host).startswith(LOCAL)


class _Guarded(socket.socket):
    connect = _guarded(socket.socket.connect, 1)
    connect_ex = _guarded(socket.socket.connect_ex, 1)
    sendto = _guarded(socket.socket.sendto, -1)


if "CONNECTIONS" in os.environ:
    socket.socket = _Guarded
    socket.getaddrinfo = _guarded(socket.getaddrinfo, 0)
