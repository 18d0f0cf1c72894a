"""Durations and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.spec.units import duration_text, parse_duration_s, parse_size_bytes, size_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800), ("1.5h", 5400), ("0.5s", 0.5)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("512k", 524_288), ("256m", 268_435_456), ("1g", 1_073_741_824), ("001m", 1_048_576)]
)
def test_a_size_is_a_whole_number_with_a_unit_in_powers_of_1024(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2 h", " 2h", "2h ", "2h\n", "-2h", "+2h", "2H", "2w", "2h30m", "1e3s", "٣s", ".5s", "nans"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration like 90s, 15m or 2h"):
        parse_duration_s(text)


@pytest.mark.parametrize("text", ["", "256", "m", "256 m", "256M", "256mb", "256MiB", "-1m", "1t", "٢g"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size like 256m or 1g"):
        parse_size_bytes(text)


def test_a_size_with_a_fraction_is_refused_because_the_jvm_would() -> None:
    with pytest.raises(ValueError, match=r"'1\.5g' is not a whole number"):
        parse_size_bytes("1.5g")


@pytest.mark.parametrize("text", ["0s", "0ms", "0.0h"])
def test_no_time_at_all_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be more than zero"):
        parse_duration_s(text)


def test_no_bytes_at_all_are_no_size() -> None:
    with pytest.raises(ValueError, match="must be more than zero"):
        parse_size_bytes("0m")


def test_what_no_machine_can_count_is_too_large() -> None:
    with pytest.raises(ValueError, match="is too large"):
        parse_duration_s("9" * 400 + "d")
    with pytest.raises(ValueError, match="is too large"):
        parse_size_bytes("9007199254740992k")


@given(st.integers(1, 2**40))
def test_whole_numbers_of_kibibytes_are_exact(number: int) -> None:
    assert parse_size_bytes(f"{number}k") == number * 1024


@given(st.text())
def test_any_text_is_a_positive_duration_or_a_value_error(text: str) -> None:
    seconds, refusal = 0.0, ""
    try:
        seconds = parse_duration_s(text)
    except ValueError as error:
        refusal = str(error)
    assert (repr(text) in refusal) is (seconds <= 0)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (57_566_822, "54.9 MiB"),
        (1024**3, "1.0 GiB"),
        (5 * 1024**5, "5120.0 TiB"),
    ],
)
def test_a_size_is_shown_in_the_largest_unit_that_it_fills(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"),
        (8.4, "8 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7207, "2 h"),
        (7800, "2 h 10 min"),
        (4 * 86400 + 3600, "4 d 1 h"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
