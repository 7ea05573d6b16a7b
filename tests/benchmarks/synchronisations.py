"""How often the host waits for a device: counted where an array's numbers come to the host."""

from contextlib import contextmanager

# `nonzero` returns an array whose length the host must know; all others return numbers
METHODS = (
    *("__bool__", "__int__", "__float__", "__complex__", "__index__"),
    *("__array__", "__dlpack__", "__iter__", "get", "item", "tolist"),
)
FUNCTIONS = ("nonzero",)


class Count:
    """How many synchronisations there have been."""

    def __init__(self):
        self.total = 0
        self._depth = 0

    def watch(self, call):
        """Return the call, counted; what it calls itself belongs to it."""

        def counted(*arguments, **options):
            self.total += self._depth == 0
            self._depth += 1
            try:
                return call(*arguments, **options)
            finally:
                self._depth -= 1

        return counted


@contextmanager
def synchronisations(array_type, module):
    """Count, within the context, those of an array type and of its library's functions."""
    count = Count()
    places = [(array_type, METHODS), (module, FUNCTIONS)]
    owned = [(place, name) for place, names in places for name in names if hasattr(place, name)]
    before = [(place, name, name in vars(place), getattr(place, name)) for place, name in owned]
    for place, name, _, call in before:
        setattr(place, name, count.watch(call))
    try:
        yield count
    finally:
        for place, name, own, call in before:
            if own:
                setattr(place, name, call)
            else:
                delattr(place, name)
