"""The schedule for a total latency: which are tried, and which is taken."""

import json
from dataclasses import replace

import pytest

from snnconvert.calibration.schedule_choice import Candidate, candidates, choose_schedule
from snnconvert.calibration.schedules import (
    apply_schedule,
    describe_timing,
    pipelined_steps,
    waiting_layers,
)
from snnconvert.convert.network import Network, with_reset
from tests.deep_networks import deep


@pytest.mark.parametrize("latency", [1, 2, 7, 32, 64, 300])
@pytest.mark.parametrize("layers", [0, 1, 3, 18])
@pytest.mark.parametrize("plain", [True, False])
def test_every_candidate_keeps_within_the_latency(latency: int, layers: int, plain: bool) -> None:
    found = candidates(latency, layers, plain=plain)
    assert found[0] == Candidate(latency, 0)
    assert len(set(found)) == len(found)
    for candidate in found:
        assert candidate.timesteps + layers * candidate.holdoff <= latency
        assert candidate.timesteps >= min(2, latency)


def test_full_and_three_quarters_are_as_long_as_they_can_be() -> None:
    found = candidates(64, 3)
    assert Candidate(16, 16) in found
    assert Candidate(19, 15) in found
    assert all(c.holdoff not in (1, 2) for c in found)  # the windows would be long
    assert Candidate(61, 1) in candidates(64, 3, plain=False)


@pytest.mark.parametrize(
    ("candidate", "name"),
    [(Candidate(8, 0), "none"), (Candidate(8, 8), "full"), (Candidate(8, 6), "6")],
)
def test_candidates_have_the_names_of_schedules(candidate: Candidate, name: str) -> None:
    assert candidate.schedule == name


def test_latencies_are_what_the_schedule_gives() -> None:
    _, network, _ = deep(depth=4)
    layers = waiting_layers(network)
    assert layers == 3  # the first is fed by constant currents
    for candidate in candidates(40, layers):
        staged, _ = apply_schedule(network, candidate.schedule, candidate.timesteps)
        assert staged.latency(candidate.timesteps) <= 40


@pytest.mark.parametrize(("schedule", "every"), [("none", 8), ("3", 11), ("full", 16)])
def test_a_membrane_is_busy_for_window_and_holdoff(schedule: str, every: int) -> None:
    _, network, _ = deep(depth=3)
    staged, _ = apply_schedule(network, schedule, 8)
    assert pipelined_steps(staged, 8) == every
    assert f"one sample every {every} steps" in describe_timing(staged, 8)


def test_the_least_error_wins() -> None:
    graph, network, samples = deep(depth=3, rows=24)
    candidate, record = choose_schedule(
        24, lambda T: network, lambda network, c: True, graph, samples
    )
    tried = record["schedule"]["tried"]
    label = f"{candidate.schedule}, T = {candidate.timesteps}"
    assert tried[label] == min(tried.values())
    assert len(tried) >= 3
    assert json.loads(json.dumps(record)) == record


def test_what_the_target_cannot_run_is_not_tried() -> None:
    graph, network, samples = deep(depth=3, rows=24)

    def refuse(network: Network, candidate: Candidate) -> bool:
        return False

    candidate, record = choose_schedule(24, lambda T: network, refuse, graph, samples)
    assert candidate == Candidate(24, 0)
    assert list(record["schedule"]["tried"]) == ["none, T = 24"]


def test_reset_to_zero_is_not_staged() -> None:
    graph, network, samples = deep(depth=3, rows=24)
    hard = with_reset(network, "zero")
    hard = hard.replace_nodes(replace(p, v_init=0 * p.v_init) for p in hard.populations)
    candidate, _ = choose_schedule(24, lambda T: hard, lambda network, c: True, graph, samples)
    assert candidate == Candidate(24, 0)
