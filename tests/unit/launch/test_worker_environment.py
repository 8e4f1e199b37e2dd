"""Threads of a worker beside other programs: how long they wait for each other, and how many there are."""

import pytest

from tunewright.launch import worker_environment as subject

ALONE, BESIDE = ({"GOMP_SPINCOUNT": str(n)} for n in (subject.TURNS_ALONE, subject.TURNS_BESIDE_OTHERS))


@pytest.mark.parametrize(
    ("num_cpus", "busy_share", "expected"),
    [
        (2, 0.0, ALONE),
        (2, 0.5, BESIDE),
        (2, 1.0, BESIDE),
        (16, 0.01, ALONE),
        (16, 1 / 16, {**ALONE, "OMP_NUM_THREADS": "15"}),
        (16, 0.5, {**BESIDE, "OMP_NUM_THREADS": "8"}),
        (4, 1.0, {**BESIDE, "OMP_NUM_THREADS": "2"}),
    ],
)
def test_threads_sleep_sooner_and_are_fewer_beside_others(num_cpus, busy_share, expected):
    assert subject.thread_settings({}, num_cpus, busy_share) == expected


@pytest.mark.parametrize("name", subject.WAIT_SETTINGS)
def test_what_a_person_set_about_waiting_stays(name):
    assert subject.thread_settings({name: "x"}, 16, 0.5) == {"OMP_NUM_THREADS": "8"}


def test_what_a_person_set_about_the_number_stays():
    assert subject.thread_settings({"OMP_NUM_THREADS": "3"}, 16, 0.5) == BESIDE


def test_a_worker_gets_them_beside_what_all_workers_get(monkeypatch):
    monkeypatch.setattr(subject.machine_info, "busy_share", lambda: 0.9)
    for name in (*subject.WAIT_SETTINGS, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    environment = subject.worker_environment()
    assert environment.items() >= (subject.WORKER_ENVIRONMENT | BESIDE).items()


def test_one_thread_waits_for_nobody(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(subject.machine_info, "busy_share", lambda: pytest.fail("no look at the machine"))
    environment = subject.worker_environment()
    assert environment == subject.WORKER_ENVIRONMENT
    assert environment is not subject.WORKER_ENVIRONMENT  # what is added for one run is not there for the next
