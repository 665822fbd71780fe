# SPDX-License-Identifier: Apache-2.0
"""A container's life in any order: verbs, and the death of its init. After each step `state` says
what a small model says, and each verb succeeds where the model allows it and nowhere else."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from faults.sampling import ALL
from faults.verbs import status_of
from fuzzing import short
from life.runtimes import Container, eventually
from needs import needs

pytestmark = [needs("root"), pytest.mark.pyrun_only("its peers allow and refuse other things")]

GONE, CREATED, RUNNING, PAUSED, STOPPED = "", "created", "running", "paused", "stopped"
LIVES = (CREATED, RUNNING, PAUSED)


class Life(RuleBasedStateMachine):
    """`container` is set before it runs."""

    container: Container
    status = GONE

    @initialize()
    def begin(self) -> None:
        self.container.delete("--force")

    def expect(self, code: int, allowed: tuple[str, ...], status: str) -> None:
        """That a verb did what the model says."""
        if self.status in allowed:
            assert code == 0, self.status
            self.status = status
        else:
            assert code != 0, self.status

    @rule()
    def create(self) -> None:
        self.expect(self.container.create("sleep 100").code, (GONE,), CREATED)

    @rule()
    def start(self) -> None:
        self.expect(self.container.start().code, (CREATED,), RUNNING)

    @rule()
    def kill(self) -> None:
        self.expect(self.container.kill().code, LIVES, STOPPED)
        self.reap()

    @precondition(lambda self: self.status in (CREATED, RUNNING))
    @rule()
    def crash(self) -> None:
        os.kill(self.container.pid, signal.SIGKILL)
        self.status = STOPPED
        self.reap()

    @precondition(lambda self: self.status != CREATED)
    @rule()
    def pause(self) -> None:
        self.expect(self.container.runtime("pause", self.container.id).code, (RUNNING,), PAUSED)

    @rule()
    def resume(self) -> None:
        self.expect(self.container.runtime("resume", self.container.id).code, (PAUSED,), RUNNING)

    @precondition(lambda self: self.status != CREATED)
    @rule()
    def enter(self) -> None:
        self.expect(self.container.exec("print up").code, (RUNNING,), RUNNING)

    @rule()
    def update(self) -> None:
        words = ("update", "--pids-limit", "50", self.container.id)
        self.expect(self.container.runtime(*words).code, LIVES, self.status)

    @rule()
    def delete(self) -> None:
        self.expect(self.container.delete().code, (CREATED, STOPPED), GONE)

    @rule()
    def force(self) -> None:
        assert self.container.delete("--force").code == 0
        self.status = GONE

    @invariant()
    def the_model_is_right(self) -> None:
        if self.status == STOPPED:
            assert eventually(lambda: status_of(self.container) == STOPPED)
        else:
            assert status_of(self.container) == self.status

    def reap(self) -> None:
        """As a shim does, so that it is stopped also for those who look at processes."""
        if self.status == STOPPED:
            with contextlib.suppress(AssertionError, ChildProcessError, FileNotFoundError):
                self.container.wait()


def test_any_order(container: Container) -> None:
    Life.container = container
    run_state_machine_as_test(
        Life,
        settings=settings(short(300 if ALL else 4), stateful_step_count=20),
    )
