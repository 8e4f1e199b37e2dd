"""Keys and values of a text that is being written, with room for more of it.

transformers' cache is copied as a whole for each new token, in each layer; this one each `ROOM` tokens. What attention reads
is the same, number by number.
"""

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

ROOM = 64
APART = (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer)  # windows are copied as upstream does it


class _RoomyLayer(DynamicLayer):
    """`keys` and `values`, (B, heads, T, head size), are the beginning of longer tensors whose rest is not used yet."""

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        assert layer.keys is not None and layer.values is not None
        self.dtype, self.device = layer.dtype, layer.device
        # In mixed precision rotations leave keys in fp32, and each product would round all of them again.
        self.keys, self.values = layer.keys.to(layer.values.dtype), layer.values
        self.is_initialized = True
        self._with_room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append to both; the result holds all of them."""
        assert self.keys is not None and self.values is not None
        length = self.keys.shape[-2]
        end = length + key_states.shape[-2]
        if self._with_room is None or self._with_room[0].shape[-2] < end:
            self._with_room = _with_room(self.keys, end + ROOM), _with_room(self.values, end + ROOM)
        keys, values = self._with_room
        keys[..., length:end, :] = key_states
        values[..., length:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows alone."""
        super().batch_select_indices(indices)
        self._with_room = None


def _with_room(tensor: Tensor, length: int) -> Tensor:
    """A tensor of `length` places that begins with this one."""
    longer = tensor.new_empty((*tensor.shape[:-2], length, tensor.shape[-1]))
    longer[..., : tensor.shape[-2], :] = tensor
    return longer


def make_room(cache: object) -> bool:
    """Give a cache room where its rows are apart in every layer; False for another kind, or one not in use: it stays as it is."""
    if not isinstance(cache, DynamicCache) or any(type(layer) not in APART for layer in cache.layers):
        return False
    if not cache.get_seq_length():
        return False
    cache.layers = [_RoomyLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return True


def spread(cache: DynamicCache, padding: Tensor) -> bool:
    """From one text to rows that begin with it, each behind its padding (B); False where a layer does not hold all of it.

    The rows are cut to the length of the text, so that a row has so much less of its end as it has padding. What lies in
    the padding is not read.
    """
    length = cache.get_seq_length()
    layers = [layer for layer in cache.layers if type(layer) is not DummyLayer]
    if any(layer.keys is None or layer.keys.shape[-2] != length for layer in layers):
        return False
    places_BT = (torch.arange(length, device=padding.device) - padding[:, None]).clamp(min=0)
    for layer in layers:
        layer.keys, layer.values = (text[0][:, places_BT].transpose(0, 1) for text in (layer.keys, layer.values))
    return True
