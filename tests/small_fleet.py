"""`tracker up` with small real children in the place of the fleet: `python -m tests.small_fleet`.

Settings come from the environment as always. The API is a few lines of HTTP server; `idle` sleeps;
`hopeless` ends at once with exit code 3.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tracker import config
from tracker.config import Settings
from tracker.embedded import supervisor
from tracker.embedded.child import Child
from tracker.embedded.fleet import child_environment
from tracker.embedded.folder import DataFolder
from tracker.embedded.servers import ServerUrls
from tracker.errors import TrackerError

API = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        items = [{"name": "a source", "state": "unreachable", "height": None,
                  "last_error": "no route to host", "next_try": "2026-01-01T00:00:00Z"}]
        body = json.dumps({"items": items, "next": None}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
address = (os.environ["TRACKER_HOST"], int(os.environ["TRACKER_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def small_fleet(settings: Settings, folder: DataFolder, urls: ServerUrls) -> Sequence[Child]:
    """Three children: one serves, one idles, one dies at once."""
    environment = child_environment(settings, urls)
    python = (sys.executable, "-X", f"tracker={folder.root}", "-c")
    return (
        Child("api", (*python, API), environment),
        Child("idle", (*python, "import time; time.sleep(600)"), environment),
        Child("hopeless", (*python, "raise SystemExit(3)"), environment),
    )


def main() -> int:
    """Exit code of the supervisor, or 2 with the error on stderr."""
    try:
        return supervisor.run(config.load(), children=small_fleet, prepare=lambda _: None)
    except TrackerError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
