"""``index`` and ``doc``: the paths that exist, and the devserver's paths that do not."""

import inspect
from collections.abc import Mapping
from typing import Protocol

import falcon

from staging_api.http.dependencies import AppDependencies
from staging_api.http.resources.devserver.answers import not_there, say

#: Paths of the devserver that this service lacks, with the reasons.
OUT_OF_SCOPE: Mapping[str, str] = {
    "update": "payloads are staged and served here, update checks (Omaha) are not answered",
    "build": "packages are not built here",
    "cros_au": "no device is updated from here: that is the lab's own provisioning",
    "get_au_status": "no device is updated from here, so there is no status of it",
    "handler_cleanup": "no device is updated from here, so there is nothing to clean up",
    "kill_au_proc": "no device is updated from here, so there is no process of it",
    "collect_cros_au_log": "no device is updated from here, so there are no logs of it",
    "xbuddy": "there are no aliases here: stage takes the archive_url of a build",
    "xbuddy_translate": "there are no aliases here: stage takes the archive_url of a build",
    "xbuddy_list": "GET /api/v1.0/artifacts lists what is staged",
    "xbuddy_capacity": "there is no fixed number of builds here",
    "list_member": "extract takes a member out of a tar; it lists no offsets of members",
    "gscache/list_member": "extract takes a member out of a tar; it lists no offsets of members",
    "setup_telemetry": "staged files are not unpacked here for programs to run",
    "api/hostinfo": "update checks are not answered here, so there is no information on hosts",
    "api/hostlog": "update checks are not answered here, so there are no logs of hosts",
    "api/setnextupdate": "update checks are not answered here",
}


class DocumentedResource(Protocol):
    """A resource with a usage line; its docstring explains its purpose."""

    usage: str


class DevserverResource:
    """A path of the devserver, whose use cases are `services`."""

    usage: str

    def __init__(self, deps: AppDependencies) -> None:
        self.services = deps.devserver


def help_of(resource: type[DocumentedResource]) -> str:
    """Return the usage line and the purpose of a resource."""
    return f"{resource.usage}\n\n{inspect.cleandoc(resource.__doc__ or '')}"


class Index:
    """The list of all paths with their arguments."""

    usage = "index"

    def __init__(self, resources: Mapping[str, type[DocumentedResource]]) -> None:
        """Take the resources to list, by path."""
        self._resources = resources

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List every path with its arguments."""
        lines = [resource.usage for resource in self._resources.values()]
        say(resp, "\n".join(["Paths of the dev server that staging_api serves:", *lines]))


class StaticHelp:
    """A staged file, with byte ranges; for a folder its list, as JSON, or as HTML for browsers."""

    usage = "static/PATH"


class PathHelp:
    """The purpose and the arguments of a path."""

    usage = "doc/NAME"

    def __init__(self, resources: Mapping[str, type[DocumentedResource]]) -> None:
        """Take the resources to describe, by path."""
        self._resources = resources

    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str = "") -> None:
        """Describe one path; without a name, explain how to request that."""
        name = name.strip("/") or "doc"
        if name in self._resources:
            say(resp, help_of(self._resources[name]))
        else:
            not_there(resp, OUT_OF_SCOPE.get(name, f"there is no {name} here; see index"))


class OutOfScope:
    """A path of the devserver that this service lacks; answers with the reason."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        self._reason = reason

    def on_get(self, _req: falcon.Request, resp: falcon.Response, rest: str = "") -> None:
        """Answer with the reason."""
        not_there(resp, self._reason)

    on_post = on_get
