"""What a paper prints, and the texts of the reasons: the ``claims.toml`` of its wing.

A table for each statement: ``source``, ``statement``, ``printed`` and the ``experiment`` that
measures it; ``why``, a text with fields for what is measured; further texts, which the code asks
for where they apply; and ``power``, which says what difference would have been seen where the rule
does not say it by itself. Texts that several statements share are in the table ``texts``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from string import Formatter
from typing import Any

import numpy as np

from ..runner.results import Measured
from ..statistics import POWER, SCALES, Comparison

SEEN = {
    "shares": "{smallest:.2g} away",
    "means": "{smallest:.2g} away",
    "resampled": "{smallest:.3g} away",
    "ratios": "{times:.3g} times the printed number",
    "about": "{times:.3g} times the printed number",
    "shown": "short of the bound, or past it by less than {smallest:.2g}",
    "never": "exceptions, where they are {smallest:.2g} of all or more",
    "found": "none, where they are {smallest:.2g} of all or fewer",
}
"""What each rule would have seen with probability ``POWER``."""

Outcome = bool | Comparison | Mapping[str, bool | Comparison]


def _seen(compared: Comparison) -> str:
    times = 1.0 + compared.smallest / compared.printed if compared.printed else np.inf
    text = SEEN[compared.rule] if compared.smallest else "any other value"
    return text.format(smallest=compared.smallest, times=times)


class Statements:
    """The statements of one wing, by their ids.

    Parameters
    ----------
    wing : str
        The folder's name.
    constants : dict, optional
        The names of a module, ``globals()``: a field in capitals is the constant of that name.
    """

    def __init__(self, wing: str, constants: Mapping[str, Any] | None = None):
        self.constants = constants or {}
        text = files(__package__).joinpath(wing, "claims.toml").read_text("utf-8")
        self.printed: dict[str, dict[str, Any]] = tomllib.loads(text)
        self.texts = self.printed.pop("texts", {})

    def text(self, id: str, *names: str, **numbers: Any) -> str:
        """Return the texts of a statement with their fields filled in.

        Raises
        ------
        KeyError
            If there is no such text, or constant.
        ValueError
            If a field has no number, or a number no field.
        """
        template = " ".join((self.texts | self.printed[id])[name] for name in names)
        fields = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
        constants = {name: self.constants[name] for name in fields if name.isupper()}
        fields -= constants.keys()
        if fields != numbers.keys():
            missing, unused = sorted(fields - numbers.keys()), sorted(numbers.keys() - fields)
            raise ValueError(f"{id}: no number for {missing}, no field for {unused}")
        return template.format(**constants, **numbers)

    def measured(
        self,
        id: str,
        value: Any,
        outcome: Outcome,
        *also: str,
        verdict: str | None = None,
        interval: tuple[float, float] | None = None,
        **numbers: Any,
    ) -> dict[str, Measured]:
        """Return what was measured of a statement, under its id.

        Parameters
        ----------
        id : str
        value : number, str or list
        outcome : bool, Comparison or dict of them
            Whether the statement holds: all of a dictionary must.
        *also : str
            The names of further texts after ``why``.
        verdict : str, optional
            In place of "reproduced" or "differs".
        interval : (float, float), optional
            Of the value; by default that of the comparison, if it is the value's.
        **numbers
            For the fields of the texts.
        """
        parts = outcome if isinstance(outcome, Mapping) else {"": outcome}
        compared = {name: c for name, c in parts.items() if isinstance(c, Comparison)}

        def holds(scale: int | None = None) -> bool:
            return all(
                part
                if not isinstance(part, Comparison)
                else part.agrees
                if scale is None
                else part.scaled[scale]
                for part in parts.values()
            )

        if interval is None:
            known = (c.interval for c in compared.values() if c.value == value)
            interval = next((pair for pair in known if pair[0] < pair[1]), None)
        seen = [f"{name} {_seen(c)}".strip() for name, c in compared.items()]
        if seen:
            seen[0] = f"Seen with probability {POWER:g}: {seen[0]}"
        if "power" in self.printed[id]:
            seen.append(self.printed[id]["power"])
        return {
            id: Measured(
                value,
                verdict or ("reproduced" if holds() else "differs"),
                self.text(id, "why", *also, **numbers),
                interval,
                "; ".join(seen),
                compared,
                tuple(not verdict and holds(k) != holds() for k in range(len(SCALES))),
            )
        }
