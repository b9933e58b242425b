"""Copies ranges of ids, and of masks, out of memory maps: many at a time, by their addresses.

An address is valid as long as its map is: whoever calls keeps the maps open until the copy is made.
"""

from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic

import metalang.kernels  # noqa: F401 - it says where compiled kernels are kept


@intrinsic
def _elements(typing_context: Any, address: Any, like: Any) -> Any:
    """A pointer to elements of the type of the array `like`, at an address."""
    signature = types.CPointer(like.dtype)(address, like)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@njit(cache=True)
def copy_ids(addresses: np.ndarray, like: np.ndarray, table: np.ndarray, out: np.ndarray) -> bool:
    """Fills each row of `out` (n, length) int64 with the ids that lie at its address (n,), of the type of `like`.

    `table`: what each stored id becomes; empty: itself. An address of 0 leaves its row. False: an id is past the table.
    """
    for row in range(len(addresses)):
        if addresses[row] == 0:
            continue
        ids = carray(_elements(addresses[row], like), out.shape[1])
        if len(table) == 0:
            for place in range(out.shape[1]):
                out[row, place] = ids[place]
            continue
        for place in range(out.shape[1]):
            stored = ids[place]
            if stored < 0 or stored >= len(table):
                return False
            out[row, place] = table[stored]
    return True


@njit(cache=True)
def copy_masks(addresses: np.ndarray, like: np.ndarray, out: np.ndarray) -> None:
    """Fills each row of `out` (n, length) bool with the mask, bytes, at its address (n,); 0 leaves the row."""
    for row in range(len(addresses)):
        if addresses[row] != 0:
            flags = carray(_elements(addresses[row], like), out.shape[1])
            for place in range(out.shape[1]):
                out[row, place] = flags[place] != 0
