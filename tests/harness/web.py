"""An https server of files that tests fill, change and close, with an authority of its own.

Separate because a Dataset's files come over https only, so that a client must be told whom to trust. Called by tests of
the puller.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import pki, ranged


@dataclass
class Web:
    """Files by their path; `moved` are redirects, `password` what basic authentication must say ("user:word").

    `bare` are paths that answer without ETag, length check and ranges, as programs that make their answers do.
    """

    authority: Path
    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    bare: set[str] = field(default_factory=set)
    password: str = ""
    token: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    traffic: ranged.Traffic = field(default_factory=ranged.Traffic)

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{urllib.parse.quote(path)}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client trust it."""
        return {"SSL_CERT_FILE": str(self.authority)}


class _Handler(ranged.Handler):
    def do_GET(self) -> None:
        web: Web = self.server.told
        path = urllib.parse.unquote(self.path.partition("?")[0])
        web.asked.append((self.command, path, self.headers.get("Range") or ""))
        said = self.headers.get("Authorization")
        wanted = f"Bearer {web.token}" if web.token else ""
        if web.password:
            wanted = f"Basic {base64.b64encode(web.password.encode()).decode()}"
        if wanted and said != wanted:
            self.send_said(403 if said else 401, b"who are you?", **{"WWW-Authenticate": 'Basic realm="x"'})
        elif path in web.moved:
            self.send_said(302, b"", Location=web.moved[path])
        elif path not in web.files:
            self.send_said(404, b"no such file")
        elif path in web.bare:
            self.send_said(200, web.files[path])
        else:
            content = web.files[path]
            self.send_file(content, etag=f'"{hashlib.md5(content).hexdigest()}"')

    do_HEAD = do_GET


def context(pair: pki.Pair) -> ssl.SSLContext:
    """What a server with this certificate serves by."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    return tls


@contextmanager
def running(folder: Path) -> Iterator[Web]:
    """A server until the end of the block; its certificate is in `folder`."""
    authority = pki.Authority(folder)
    tls = context(authority.server("web", hosts=("127.0.0.1", "localhost")))
    web = Web(authority=authority.pair.certificate)
    with ranged.serving(ranged.Server(("127.0.0.1", 0), _Handler, web, web.traffic), tls=tls) as port:
        web.port = port
        yield web
