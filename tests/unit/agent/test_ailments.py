"""What is wrong with a mount that stands, what is worth knowing of a step, and what a plan makes of both."""

from agent.reconcile.phase import Fault, Phase, Step, StepKind, begin, retry, succeed, suffer
from tests.parts.shares import bind
from weft.errors import ErrorCode
from weft.wire.digest import share_digest

A = bind("a")
GOAL = share_digest(A)
HUNG = Fault(ErrorCode.HUNG, "it hangs", is_standing=True)
EXPIRED = Fault(ErrorCode.AUTH, "the keys have expired", is_standing=True)
LOST = Fault(ErrorCode.EXITED, "its client ended")
REMARK = Fault(ErrorCode.BUSY, "pid 7 holds it")


def mount_step() -> Step:
    return Step(StepKind.MOUNT, A, GOAL, frozenset({A.mount_point}))


def lose_often(times: int) -> Phase:
    """Lose a mount *times* in a row, one second after each repair."""
    phase = Phase(GOAL, mounted_s=0.0)
    for number in range(times):
        now_s = number * 2.0 + 1.0
        phase = suffer(phase, LOST, now_s=now_s, jitter=1.0)
        if number < times - 1:
            phase = succeed(begin(phase, mount_step()), now_s=now_s + 1.0)
    return phase


def test_what_stands_is_not_dead_whatever_is_wrong_with_it() -> None:
    """It is degraded, and no step is due for it."""
    for ailment in (HUNG, EXPIRED):
        phase = suffer(Phase(GOAL, mounted_s=0.0), ailment, now_s=5.0, jitter=0.0)
        assert not phase.is_dead
        assert phase.losses == 0


def test_only_hangs_and_losses_make_a_mount_unsafe_to_walk_into() -> None:
    """A mount whose keys have expired answers, so its children go one by one."""
    assert Phase(GOAL, ailment=HUNG).is_sick
    assert Phase(GOAL, ailment=LOST).is_sick
    assert not Phase(GOAL, ailment=EXPIRED).is_sick


def test_a_hang_that_becomes_a_loss_is_repaired() -> None:
    """Its client was stopped, or its connection aborted."""
    phase = suffer(Phase(GOAL, mounted_s=0.0, ailment=HUNG), LOST, now_s=100.0, jitter=0.0)
    assert phase.is_dead
    assert phase.due_s == 100.0


def test_a_recovery_ends_the_ailment() -> None:
    """And nothing else."""
    phase = suffer(Phase(GOAL, mounted_s=1.0, ailment=HUNG), None, now_s=5.0, jitter=0.0)
    assert phase == Phase(GOAL, mounted_s=1.0)


def test_a_fight_over_a_mount_point_is_slowed_and_named() -> None:
    """The first repair is immediate; of each further loss soon after, the repair waits longer."""
    assert lose_often(1).due_s == 1.0
    delays_s = [lose_often(times).due_s - (times * 2.0 - 1.0) for times in (2, 3, 4)]
    assert delays_s == [1.0, 2.0, 4.0]
    ailment = lose_often(3).ailment
    assert ailment is not None
    assert "3 times in a row" in ailment.message


def test_a_stable_mount_ends_the_fight() -> None:
    """A loss after a quiet minute counts as the first again."""
    phase = succeed(begin(lose_often(4), mount_step()), now_s=10.0)
    assert suffer(phase, LOST, now_s=80.0, jitter=1.0).losses == 0
    assert retry(phase).losses == 0


def test_a_remark_lives_from_its_step_to_the_next() -> None:
    """It is made while the step is in flight."""
    during = begin(Phase(GOAL), mount_step())
    during = Phase(during.goal, attempts=1, running=during.running, remark=REMARK)
    after = succeed(during, now_s=1.0)
    assert after.remark == REMARK
    assert begin(after, mount_step()).remark is None
