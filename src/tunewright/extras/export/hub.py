"""An adapter or a merged model as a private repository of the Hugging Face Hub.

Only the login that the person made (`hf auth login`, or HF_TOKEN) is used; the token is read by huggingface_hub itself and
never passed on. The network code was tested against a stand-in of the Hub's API.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tunewright.errors import error
from tunewright.i18n import N_, _
from tunewright.reporting import Reporter
from tunewright.security import redact

REFUSALS = (401, 403)
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class HubRepository:
    """A repository by its name OWNER/NAME."""

    name: str

    @property
    def url(self) -> str:
        return f"{constants.ENDPOINT}/{self.name}"


def repository(word: str) -> HubRepository:
    """The repository of a name. Raises: HubError E707 for a word that is no OWNER/NAME."""
    if not REPOSITORY.fullmatch(word):
        raise error("E707", name=word, reason=N_("a repository is named OWNER/NAME"))
    return HubRepository(word)


def refuse_unready(target: HubRepository) -> None:
    """Raises: HubError E701 where the Hub is switched off, E707 without a login, or if the repository exists already."""
    if constants.HF_HUB_OFFLINE:
        raise error("E701", name=target.name, why="HF_HUB_OFFLINE")
    if huggingface_hub.get_token() is None:
        raise error("E707", name=target.name, reason=N_("nobody is logged in here"), login="hf auth login")
    try:
        huggingface_hub.HfApi().repo_info(target.name)
    except RepositoryNotFoundError:
        return
    except (HfHubHTTPError, OSError) as fault:
        raise _no_answer(target, fault) from fault
    raise error("E707", name=target.name, reason=N_("it exists already, and nothing is overwritten"))


def upload(folder: Path, target: HubRepository, reporter: Reporter) -> str:
    """Make the private repository and upload every file of the folder in one commit; its address.

    A repository that was made and not filled is removed again, so that the same call can be repeated.
    Raises: HubError E702, E707.
    """
    api = huggingface_hub.HfApi()
    reporter.note(_("Uploading to {url}, private").format(url=target.url))
    is_made = False
    try:
        api.create_repo(target.name, private=True, exist_ok=False)
        is_made = True
        api.upload_folder(repo_id=target.name, folder_path=folder, commit_message="Upload with Tunewright")
    except (HfHubHTTPError, OSError) as fault:
        if is_made:
            with suppress(HfHubHTTPError, OSError):
                api.delete_repo(target.name)
        raise _no_answer(target, fault) from fault
    return target.url


def _no_answer(target: HubRepository, fault: Exception) -> Exception:
    reason = redact((str(fault) or type(fault).__name__).splitlines()[0])
    if isinstance(fault, HfHubHTTPError) and fault.response.status_code in REFUSALS:
        return error("E707", name=target.name, reason=reason, login="hf auth login")
    return error("E702", name=target.name, reason=reason)
