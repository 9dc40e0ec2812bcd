"""AES-256-GCM and the derivation of its keys: the one home of ``cryptography``."""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SECRET_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SCRYPT_COST = 2**15

_ONE_CALL = 2**31 - 1  # bytes that AES-GCM takes at once
_PIECE = 1 << 26

RandomBytes = Callable[[int], bytes]


class FrameCipher:
    """Seals the frames of one object; its key is derived from the secret and the object's key in the store.

    An object is written once and a frame's number is its nonce, so that no nonce is used twice under a key.
    """

    overhead = TAG_BYTES
    sealed = True

    def __init__(self, secret: bytes, object_key: str) -> None:
        self._cipher = AESGCM(_derived(secret, f"object {object_key}"))

    def close(self, binding: bytes, number: int, data: bytes | memoryview) -> bytes:
        return self._cipher.encrypt(number.to_bytes(NONCE_BYTES, "big"), data, binding)

    def open(self, binding: bytes, number: int, data: bytes | memoryview) -> bytes:
        try:
            return self._cipher.decrypt(number.to_bytes(NONCE_BYTES, "big"), bytes(data), binding)
        except InvalidTag as error:
            raise ValueError("it is not what was sealed there") from error


def seal(secret: bytes, name: str, data: bytes, random_bytes: RandomBytes = os.urandom) -> bytes:
    """Bytes bound to a name that may be written again: a random nonce, then the sealed bytes, in pieces if too many for
    one call."""
    nonce = random_bytes(NONCE_BYTES)
    if len(data) > _ONE_CALL:
        cipher, view = FrameCipher(secret, _large(name, nonce)), memoryview(data)
        count = -(-len(data) // _PIECE)
        pieces = (view[n * _PIECE : (n + 1) * _PIECE] for n in range(count))
        return b"".join((nonce, *(cipher.close(_binding(n, count), n, piece) for n, piece in enumerate(pieces))))
    return nonce + AESGCM(_derived(secret, f"document {name}")).encrypt(nonce, data, name.encode())


def unseal(secret: bytes, name: str, data: bytes) -> bytes:
    """What ``seal`` sealed; ValueError if it is not that."""
    nonce, sealed = data[:NONCE_BYTES], memoryview(data)[NONCE_BYTES:]
    if len(sealed) > _ONE_CALL + TAG_BYTES:
        cipher, step = FrameCipher(secret, _large(name, nonce)), _PIECE + TAG_BYTES
        count = -(-len(sealed) // step)
        pieces = (sealed[n * step : (n + 1) * step] for n in range(count))
        return b"".join(cipher.open(_binding(n, count), n, piece) for n, piece in enumerate(pieces))
    try:
        return AESGCM(_derived(secret, f"document {name}")).decrypt(nonce, sealed, name.encode())
    except (InvalidTag, ValueError) as error:
        raise ValueError("it is not what was sealed there") from error


def _large(name: str, nonce: bytes) -> str:
    """What stands for the object's key: a new one each time, for the numbers of the pieces are their nonces."""
    return f"{name} {nonce.hex()}"


def _binding(number: int, count: int) -> bytes:
    return b"%d of %d" % (number, count)


def stretched(key: bytes, salt: bytes, cost: int = SCRYPT_COST) -> bytes:
    """A key from what may be a passphrase, by scrypt: slow on purpose."""
    return Scrypt(salt=salt, length=SECRET_BYTES, n=cost, r=8, p=1).derive(key)


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=f"tiervdb {purpose}".encode()).derive(secret)
