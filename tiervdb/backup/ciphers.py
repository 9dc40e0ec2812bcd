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

RandomBytes = Callable[[int], bytes]


class FrameCipher:
    """Seals the frames of one object; its key is derived from the secret and the object's key in the store.

    An object is written once and a frame's number is its nonce, so that no nonce is used twice under a key.
    """

    overhead = TAG_BYTES
    sealed = True

    def __init__(self, secret: bytes, object_key: str) -> None:
        self._cipher = AESGCM(_derived(secret, f"object {object_key}"))

    def close(self, binding: bytes, number: int, data: bytes) -> bytes:
        return self._cipher.encrypt(number.to_bytes(NONCE_BYTES, "big"), data, binding)

    def open(self, binding: bytes, number: int, data: bytes | memoryview) -> bytes:
        try:
            return self._cipher.decrypt(number.to_bytes(NONCE_BYTES, "big"), bytes(data), binding)
        except InvalidTag as error:
            raise ValueError("it is not what was sealed there") from error


def seal(secret: bytes, name: str, data: bytes, random_bytes: RandomBytes = os.urandom) -> bytes:
    """Small bytes bound to a name that may be written again: a random nonce, then the sealed bytes."""
    nonce = random_bytes(NONCE_BYTES)
    return nonce + AESGCM(_derived(secret, f"document {name}")).encrypt(nonce, data, name.encode())


def unseal(secret: bytes, name: str, data: bytes) -> bytes:
    """What ``seal`` sealed; ValueError if it is not that."""
    try:
        cipher = AESGCM(_derived(secret, f"document {name}"))
        return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], name.encode())
    except (InvalidTag, ValueError) as error:
        raise ValueError("it is not what was sealed there") from error


def stretched(key: bytes, salt: bytes, cost: int = SCRYPT_COST) -> bytes:
    """A key from what may be a passphrase, by scrypt: slow on purpose."""
    return Scrypt(salt=salt, length=SECRET_BYTES, n=cost, r=8, p=1).derive(key)


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=f"tiervdb {purpose}".encode()).derive(secret)
