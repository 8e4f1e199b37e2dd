"""An adapter or a merged model as a private repository of the Hugging Face Hub.

Only the login that the person made (`hf auth login`, or HF_TOKEN) is used; the token is read by huggingface_hub itself and
never passed on. The network code was tested against a stand-in of the Hub's API.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tunewright.errors import error
from tunewright.i18n import N_, _
from tunewright.reporting import Reporter
from tunewright.security import redact

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
    """Raises: HubError E701 where the Hub is switched off, E702 where it does not answer, E707 without a login that it takes, or
    if the repository exists already.
    """
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
    """Make the private repository and upload every file of the folder in one commit; its address. No repository is left where
    that fails. Raises: HubError E702, E707.
    """
    api = huggingface_hub.HfApi()
    reporter.note(_("Uploading to {url}, private").format(url=target.url))
    try:
        with _new_repository(api, target, reporter):
            api.upload_folder(repo_id=target.name, folder_path=folder, commit_message="Upload with Tunewright")
    except (HfHubHTTPError, OSError) as fault:
        raise _no_answer(target, fault) from fault
    return target.url


@contextmanager
def _new_repository(api: huggingface_hub.HfApi, target: HubRepository, reporter: Reporter) -> Iterator[None]:
    """Make the private repository; it is removed again where what follows fails, as the next try would be refused for it."""
    api.create_repo(target.name, private=True, exist_ok=False)
    try:
        yield
    except BaseException:
        try:
            api.delete_repo(target.name)
        except (HfHubHTTPError, OSError):
            reporter.note(_("{url} is there, but not whole: delete it before the next try").format(url=target.url))
        raise


def _no_answer(target: HubRepository, fault: Exception) -> Exception:
    reason = redact((str(fault) or type(fault).__name__).splitlines()[0])
    if isinstance(fault, HfHubHTTPError) and fault.response.status_code in (401, 403):
        return error("E707", name=target.name, reason=reason, login="hf auth login")
    return error("E702", name=target.name, reason=reason)
