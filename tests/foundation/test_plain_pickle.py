import os
import pickle
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foundation import plain_pickle
from foundation.plain_pickle import PlainPickleError
from foundation.supervision import Supervised
from models.base import Windows


class Calls:
    """Pickled data of it calls a harmless function when it is read."""

    def __reduce__(self):
        return os.getenv, ("HOME",)


@dataclass
class Foreign:
    """A dataclass of no package of the program."""

    value: int = field(default=1)


ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.sets(st.integers())
    ),
)


@given(PLAIN)
def test_built_in_values_come_back_equal(value):
    assert plain_pickle.load(plain_pickle.dump(value)) == value
    assert plain_pickle.load_builtins(pickle.dumps(value)) == value


@given(arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, min_side=0)))
def test_arrays_come_back_equal_and_writable(array):
    found = plain_pickle.load(plain_pickle.dump({"a": array}))["a"]
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable
    assert found.flags.owndata or found.base is None or found.base.flags.owndata


def test_single_values_of_numpy_keep_their_type():
    found = plain_pickle.load(plain_pickle.dump([np.float32(1.5), np.int64(-3)]))
    assert found == [1.5, -3]
    assert [type(value) for value in found] == [np.float32, np.int64]


def test_records_of_the_program_come_back_field_by_field():
    windows = Windows.of([[1, 2], [3]])
    found = plain_pickle.load(plain_pickle.dump((windows, "x")))[0]
    assert isinstance(found, Windows)
    for name in ("ids", "offsets", "closed"):
        assert np.array_equal(getattr(found, name), getattr(windows, name))


@pytest.mark.parametrize("value", [Calls(), Foreign(), OrderedDict(a=1), print, Supervised, np.array([{}])])
def test_other_values_cannot_be_saved(value):
    with pytest.raises(PlainPickleError, match=r"a value of type .* cannot be saved"):
        plain_pickle.dump({"inside": [value]})


@pytest.mark.parametrize("value", [Calls(), Foreign(), OrderedDict(a=1), print])
def test_data_that_names_anything_else_is_refused_before_it_is_called(value, monkeypatch):
    called = []
    monkeypatch.setattr(os, "getenv", called.append)
    data = pickle.dumps({"inside": [value]})
    for load in (plain_pickle.load, plain_pickle.load_builtins):
        with pytest.raises(PlainPickleError, match="the data names"):
            load(data)
    assert called == []


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "getenv"), ("engine.clock", "SystemClock"), ("models.base", "np"), ("engine.nowhere", "Nothing")],
)
def test_only_dataclasses_of_the_program_become_records(module, name):
    class Names:
        def __reduce__(self):
            return plain_pickle._record, (module, name, [])

    with pytest.raises(PlainPickleError, match=f"a record {module}.{name}, which this program does not have"):
        plain_pickle.load(pickle.dumps(Names()))


@pytest.mark.parametrize("data", [b"", b"\x80\x04", plain_pickle.dump([1] * 100)[:-20], b"garbage"])
def test_damaged_data_is_one_sentence(data):
    with pytest.raises(PlainPickleError, match="the data is damaged"):
        plain_pickle.load(data)


def test_arrays_of_objects_are_refused():
    class Objects:
        def __reduce__(self):
            return plain_pickle._array, ("O", (1,), b"\0" * 8)

    with pytest.raises(PlainPickleError, match="damaged"):
        plain_pickle.load(pickle.dumps(Objects()))
