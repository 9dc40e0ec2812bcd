"""The database and a plain model do the same things."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.long_machine import LongMachine
from tests.model.machine import DatabaseMachine

FIXED = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def test_the_database_does_what_the_model_does() -> None:
    run_state_machine_as_test(DatabaseMachine, settings=settings(FIXED, max_examples=80, stateful_step_count=30))


def test_with_time_and_other_processes() -> None:
    run_state_machine_as_test(LongMachine, settings=settings(FIXED, max_examples=60, stateful_step_count=30))


@pytest.mark.slow
def test_the_database_does_what_the_model_does_for_long() -> None:
    run_state_machine_as_test(DatabaseMachine, settings=settings(FIXED, max_examples=3000, stateful_step_count=60))


@pytest.mark.slow
def test_with_time_and_other_processes_for_long() -> None:
    run_state_machine_as_test(LongMachine, settings=settings(FIXED, max_examples=3000, stateful_step_count=60))
