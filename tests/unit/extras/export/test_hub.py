"""The Hub: private, with the person's own login, nothing overwritten. A stand-in takes the place of its API."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tests.collecting_reporter import CollectingReporter
from tunewright.errors import HubError
from tunewright.extras.export import hub

SECRET = "hf_secretsecretsecretsecretsecret"


def refusal(status: int) -> HfHubHTTPError:
    return HfHubHTTPError(
        f"{status} for {SECRET}", response=SimpleNamespace(headers={}, request=None, status_code=status)
    )


class StandIn:
    """Knows the repositories that exist, and writes down what it is asked."""

    def __init__(self, existing: set[str]) -> None:
        self.existing, self.calls = existing, []  # type: ignore[var-annotated]
        self.faults: dict[str, BaseException] = {}
        """What a call ends with, by its name."""

    def _fail(self, call: str) -> None:
        if call in self.faults:
            raise self.faults[call]

    def repo_info(self, name: str) -> None:
        if name not in self.existing:
            raise RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))

    def create_repo(self, name: str, **options: Any) -> None:
        self._fail("create")
        self.existing.add(name)
        self.calls.append(("create", name, options))

    def upload_folder(self, **options: Any) -> None:
        self._fail("upload")
        self.calls.append(("upload", options["repo_id"], options))

    def delete_repo(self, name: str) -> None:
        self._fail("delete")
        self.existing.remove(name)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn({"me/taken"})
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: stand_in)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: SECRET)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return stand_in


def test_a_new_repository_is_private_and_gets_the_whole_folder(api: StandIn, tmp_path: Path) -> None:
    target = hub.repository("me/shop")
    hub.refuse_unready(target)
    reporter = CollectingReporter()
    url = hub.upload(tmp_path, target, reporter)
    assert url.endswith("/me/shop") and any("private" in note for note in reporter.notes)
    (create, upload) = api.calls
    assert create == ("create", "me/shop", {"private": True, "exist_ok": False})
    assert upload[2]["folder_path"] == tmp_path
    assert SECRET not in repr(api.calls)


def test_nothing_that_exists_is_changed(api: StandIn) -> None:
    with pytest.raises(HubError, match=r"E707.*exists already"):
        hub.refuse_unready(hub.repository("me/taken"))
    assert api.calls == []


@pytest.mark.parametrize(
    "word", ["shop", "a/b/c", "/tmp/x", "me/", "https://huggingface.co/me/shop", "../me/shop", "-o/x y"]
)
def test_a_word_that_is_no_repository(word: str) -> None:
    with pytest.raises(HubError, match=r"E707.*OWNER/NAME"):
        hub.repository(word)


def test_without_a_login_or_with_the_hub_switched_off(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(HubError, match="hf auth login"):
        hub.refuse_unready(hub.repository("me/shop"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="E701"):
        hub.refuse_unready(hub.repository("me/shop"))


@pytest.mark.parametrize(("status", "code"), [(401, "E707"), (403, "E707"), (500, "E702")])
def test_a_refusal_is_told_without_the_token(api: StandIn, tmp_path: Path, status: int, code: str) -> None:
    api.faults["create"] = refusal(status)
    with pytest.raises(HubError, match=code) as caught:
        hub.upload(tmp_path, hub.repository("me/shop"), CollectingReporter())
    assert SECRET not in str(caught.value)
    assert ("hf auth login" in str(caught.value)) == (code == "E707")


@pytest.mark.parametrize("fault", [refusal(403), ConnectionError("lost"), KeyboardInterrupt()])
def test_the_repository_of_an_upload_that_failed_is_removed(api: StandIn, tmp_path: Path, fault: BaseException) -> None:
    api.faults["upload"] = fault
    with pytest.raises((HubError, KeyboardInterrupt)):
        hub.upload(tmp_path, hub.repository("me/shop"), CollectingReporter())
    assert api.existing == {"me/taken"}


def test_a_repository_that_was_not_made_here_is_never_removed(api: StandIn, tmp_path: Path) -> None:
    api.faults["create"] = refusal(409)
    with pytest.raises(HubError):
        hub.upload(tmp_path, hub.repository("me/taken"), CollectingReporter())
    assert api.existing == {"me/taken"}


def test_a_repository_that_cannot_be_removed_is_told(api: StandIn, tmp_path: Path) -> None:
    api.faults |= {"upload": ConnectionError("lost"), "delete": refusal(403)}
    reporter = CollectingReporter()
    with pytest.raises(HubError, match=r"E702.*lost"):
        hub.upload(tmp_path, hub.repository("me/shop"), reporter)
    assert "me/shop is there" in reporter.notes[-1]
