"""Figures of the benchmark: medians, ratios, percentiles, and whether a promise was kept."""

from __future__ import annotations

import pytest

from bench.frame import Figure, above, below, percentile, ratio
from bench.output import build_document, shown, target_text


def figure(*samples: float, target: object = None) -> Figure:
    return Figure("f", "ms", samples, target)  # type: ignore[arg-type]


def test_the_median_and_the_spread_are_those_of_the_samples() -> None:
    """One slow round moves the maximum and nothing else."""
    measured = figure(3.0, 1.0, 100.0)
    assert (measured.median, measured.low, measured.high) == (3.0, 1.0, 100.0)


def test_a_figure_without_samples_is_refused() -> None:
    """What was not measured has no median."""
    with pytest.raises(ValueError, match="no samples"):
        figure()


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        pytest.param(below(3.0), True, id="at most its value is below"),
        pytest.param(below(2.9), False, id="more is not"),
        pytest.param(above(3.0), True, id="at least its value is above"),
        pytest.param(above(3.1), False, id="less is not"),
        pytest.param(None, None, id="nothing was promised"),
    ],
)
def test_the_median_decides_whether_a_target_is_met(target: object, is_met: bool | None) -> None:
    """The best and the worst round do not."""
    assert figure(1.0, 3.0, 9.0, target=target).is_met is is_met


def test_a_ratio_compares_round_by_round() -> None:
    """What disturbed a round disturbed both of its figures."""
    assert ratio("r", figure(2.0, 40.0), figure(1.0, 20.0)).samples == (2.0, 2.0)


def test_a_ratio_of_different_numbers_of_rounds_compares_medians() -> None:
    """Rounds cannot be paired then."""
    assert ratio("r", figure(2.0, 4.0, 9.0), figure(1.0, 3.0)).samples == (2.0,)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0.5, 1)])
def test_a_percentile_is_the_smallest_sample_that_covers_so_many(percent: float, expected: float) -> None:
    """No value is made up between two samples."""
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234 ms"), (12.34, "12.3 ms"), (0.1234, "0.123 ms")])
def test_numbers_are_shown_with_three_digits(value: float, text: str) -> None:
    """More would claim a precision that no round repeats."""
    assert shown(value, "ms") == text


def test_the_document_keeps_every_sample_and_the_promise() -> None:
    """A later run can be compared in any way."""
    measured = figure(1.0, 2.0, target=below(5))
    document = build_document({"row": [measured]}, effort="quick")
    kept = document["rows"]["row"][0]
    assert kept["samples"] == [1.0, 2.0]
    assert kept["target"] == {"bound": "below", "value": 5}
    assert kept["is_met"] is True
    assert target_text(measured) == "≤ 5.00 ms"
