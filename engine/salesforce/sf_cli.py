"""Using the session of the `sf` command-line tool. No secret is ever passed as an argument.

Its versions differ: old ones print the token in ``org display``; new ones redact it there and have
``org auth show-access-token``; some between print it only when ``SF_TEMP_SHOW_SECRETS`` is set.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from engine.model.errors import Blocked
from engine.model.surroundings import plain
from engine.salesforce.faults import shortened

_DEADLINE_S = 120.0
_LONGEST_OUTPUT = 1024 * 1024
_OF_SF = {
    "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "DBUS_SESSION_BUS_ADDRESS", "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}  # fmt: skip
_SETTINGS_OF_SF = ("SF_", "SFDX_", "XDG_")
"""What `sf` needs beyond what every program does: its logins, the keyring, the proxy. No secret of ours."""
_REDACTED = "[REDACTED]"
_BRACES = 100
"""Places where the JSON may begin: warnings before it may hold a brace, but seldom many."""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class SfCli:
    """Asks `sf` for the token of an org it is logged in to; `sf` renews it by itself."""

    def __init__(self, target_org: str | None, *, command: str = "sf") -> None:
        self._target = ("--target-org", target_org) if target_org else ()
        self._command = command

    async def token(self) -> tuple[str, str]:
        """Access token and instance URL. Raises Blocked with the message of the tool."""
        shown = await self._result("org", "display")
        instance_url = _text(shown, "instanceUrl")
        token = _text(shown, "accessToken")
        if not token or token.startswith(_REDACTED):
            token = await self._revealed()
        if not token or token.startswith(_REDACTED) or not instance_url:
            raise Blocked("sf shows no access token", hint="Run `sf update`, then `sf org login web`.")
        return token, instance_url

    async def _revealed(self) -> str:
        try:
            return _text(await self._result("org", "auth", "show-access-token"), "accessToken")
        except Blocked:
            return _text(await self._result("org", "display", show_secrets=True), "accessToken")

    async def _result(self, *words: str, show_secrets: bool = False) -> Mapping[str, Any]:
        """``result`` of one `sf … --json` call."""
        doing = f"sf {' '.join(words)}"
        environment = plain(os.environ, _OF_SF, _SETTINGS_OF_SF) | {"SF_DISABLE_AUTOUPDATE": "true", "NO_COLOR": "1"}
        if show_secrets:
            environment["SF_TEMP_SHOW_SECRETS"] = "true"
        answer = first_object(await self._run(doing, [*words, *self._target, "--json"], environment))
        result = answer.get("result")
        if answer.get("status") not in (0, None) or not isinstance(result, dict):
            said = shortened(_text(answer, "message") or "no result")
            raise Blocked(f"`{doing}` failed: {said}", hint="Log in with `sf org login web`, and check target_org.")
        return result

    async def _run(self, doing: str, arguments: list[str], environment: Mapping[str, str]) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                self._command,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                limit=_LONGEST_OUTPUT,
            )
        except OSError:
            raise Blocked(
                "the sf command cannot be started",
                hint="Install the Salesforce CLI, or choose another salesforce.auth.",
            ) from None
        try:
            async with asyncio.timeout(_DEADLINE_S):
                output, _ = await process.communicate()
        except TimeoutError:
            raise Blocked(f"`{doing}` did not answer within {_DEADLINE_S:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return output.decode("utf-8", "replace")


def first_object(output: str) -> Mapping[str, Any]:
    """The first JSON object in the tool's output, behind warnings and colours. Raises Blocked when there is none."""
    text = _ANSI.sub("", output)
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(_BRACES):
        if start < 0:
            break
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        if isinstance(found, dict):
            return found
    raise Blocked("sf answered without JSON", hint="Run `sf org display --json` by hand to see what it says.")


def _text(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if isinstance(value, str) else ""
