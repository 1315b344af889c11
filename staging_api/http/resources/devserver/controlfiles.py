"""``controlfiles`` and ``list_suite_controls``: the tests of a build, and their control files."""

import falcon

from staging_api.http.resources.devserver.answers import say
from staging_api.http.resources.devserver.help import DevserverResource, help_of
from staging_api.http.resources.devserver.query import Query


class DevserverControlFiles(DevserverResource):
    """The control files of a build, one path per line; with control_path, the text of that file.

    With suite_name, only the control files of one suite, if the build has a map of its suites.
    """

    usage = "controlfiles?build=TARGET/BUILD[&suite_name=bvt][&control_path=PATH]"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List control files, or show one."""
        query = Query(req)
        if not query:
            say(resp, help_of(type(self)))
            return
        build, path = query.required("build").strip("/"), query.get("control_path")
        if path is None:
            say(resp, "\n".join(self.services.controls.paths(build, query.get("suite_name"))))
        else:
            say(resp, self.services.controls.text(build, path.lstrip("/")))


class ListSuiteControls(DevserverResource):
    """The control files of a build, or of one of its suites, as JSON: each path with its text."""

    usage = "list_suite_controls?build=TARGET/BUILD[&suite_name=bvt]"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List all control files with their texts."""
        query = Query(req)
        build = query.required("build").strip("/")
        resp.media = self.services.controls.texts(build, query.get("suite_name"))
