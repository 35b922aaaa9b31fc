"""File names from prompts: a prompt is any text, a file name is not."""

import hashlib
import re
import unicodedata

SLUG_LENGTH = 60


def safe_name(prompt: str, *, index: int, seed: int) -> str:
    """`INDEX_SEED_SLUG_HASH`: readable, in order, and right for every file system.

    Only lower-case letters, digits, `-` and `_` occur, so no prompt can leave its folder, hide its
    file or meet a reserved name; two prompts with one slug differ by their hashes.

    >>> safe_name("A red circle, moving right!", index=3, seed=42)
    '0003_42_a-red-circle-moving-right_ec6e5b81'
    >>> safe_name("../../etc/passwd", index=0, seed=0)
    '0000_0_etc-passwd_3754d6cb'
    >>> safe_name("", index=0, seed=0)
    '0000_0_e3b0c442'
    """
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:SLUG_LENGTH].strip("-")
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "_".join(part for part in (f"{index:04d}", str(seed), slug, digest) if part)
