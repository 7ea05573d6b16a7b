"""Integer codes that know their sentence: why something ended, or what it is."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """An enum whose members are declared as ``NAME = code, "a sentence"``.

    The members are integers, so that one array of codes can hold the reasons of a batch.

    Examples
    --------
    >>> class Weather(Reason):
    ...     DRY = 0, "It does not rain."
    >>> int(Weather.DRY), Weather.DRY.sentence
    (0, 'It does not rain.')
    >>> print(Weather.DRY)
    DRY: It does not rain.
    """

    sentence: str

    def __new__(cls, code: int, sentence: str = "") -> Reason:
        """Make a member that is an integer and has a sentence."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else str(self)
