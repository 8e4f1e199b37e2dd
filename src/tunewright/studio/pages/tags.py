"""The tags of a run, as its page has them and changes them: words that the filter of the runs finds it by."""

import re

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import ConfigError
from tunewright.studio import rendering
from tunewright.studio.pages import run_rows

BETWEEN = re.compile(r"[\s,;\uff0c\uff1b\u3001]+")  # Chinese commas too


def change(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/tags`: these tags, and no others. Raises: ConfigError E133 for what is no tag; as `api.replace_tags`."""
    run, typed = run_rows.run_named(request.path_params["name"]), rendering.text_of(form, "tags")
    try:
        api.replace_tags(run.dir, filter(None, BETWEEN.split(typed)))
    except ConfigError as fault:
        if not rendering.is_partial(request):
            raise
        values = {"run": run, "name": run.name, "typed": typed, "problems": fault.problems}
        return rendering.page("tags.html.j2", request, status=409, **values)
    if not rendering.is_partial(request):
        return rendering.see(request, rendering.run_address(run.name))
    return rendering.page("tags.html.j2", request, run=run, name=run.name)


ROUTES = [Route("/runs/{name}/tags", rendering.posted(change), methods=["POST"])]
