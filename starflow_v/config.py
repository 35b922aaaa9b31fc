"""Configuration: frozen dataclasses, filled from a YAML file and `key=value` overrides.

A configuration is a frozen, keyword-only dataclass whose fields are numbers, strings, lists,
dictionaries or other such dataclasses. This file is the only one that knows OmegaConf, which reads
YAML, resolves `${...}` and converts types:

    settings = load_config(CodecSettings, "configs/embedded_vae.yaml", ["trainer.steps=100"])

A key that the dataclass does not have is an error that names the nearest one that it has: a
misspelt learning rate must not train for an hour with the default.

A field may be one of several dataclasses, see `one_of`: the keys that are given choose.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

T = TypeVar("T")

ALTERNATIVES = "alternatives"


def one_of(*schemas: type) -> Mapping[str, Any]:
    """Metadata of a field of the outermost dataclass that is one of several dataclasses: the first
    one whose required keys are all given. The last one has no required key; the field's type is
    their common base:

        data: Base = field(default_factory=Usual, metadata=one_of(Special, Usual))
    """
    return {ALTERNATIVES: schemas}


def load_config(
    schema: type[T], path: str | Path | None = None, overrides: Sequence[str] = ()
) -> T:
    """Fill `schema` from a YAML file (None: defaults alone), then from overrides `key=value`."""
    layers = [_read_yaml(Path(path))] if path is not None else []
    layers += [_read_override(text) for text in overrides]
    return _fill(schema, layers, source=f" of {path}" if path is not None else "")


def read_dictionary(path: str | Path) -> dict[str, Any]:
    """A YAML (or JSON) file as it stands, for those who must look before they choose a schema."""
    content = OmegaConf.to_container(_read_yaml(Path(path)), resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def from_dictionary(
    schema: type[T], values: Mapping[str, Any], *, path: str | Path | None = None
) -> T:
    """What `to_dictionary` made, read back and checked; errors name the path that it is from."""
    source = f" of {path}" if path is not None else ""
    return _fill(schema, [OmegaConf.create(dict(values))], source=source)


def to_dictionary(settings: Any) -> dict[str, Any]:
    """A configuration as plain dictionaries, lists and numbers, ready for JSON."""
    return asdict(settings)


def to_yaml(settings: Any) -> str:
    """A configuration as the YAML text that `load_config` reads back."""
    return OmegaConf.to_yaml(OmegaConf.create(to_dictionary(settings)))


def _fill(schema: type[T], layers: Sequence[DictConfig], *, source: str) -> T:
    """The schema's defaults under the layers, later ones on top."""
    given = OmegaConf.to_container(OmegaConf.merge(*layers), resolve=False) if layers else {}
    _check_keys(schema, given, prefix="")
    assert isinstance(given, dict)
    try:
        merged = OmegaConf.merge(_structured(schema, given), *layers)
        loaded = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        raise ValueError(f"the configuration{source} lacks {error.full_key}") from error
    except OmegaConfBaseException as error:
        raise ValueError(f"the configuration{source} does not fit: {error}") from error
    assert isinstance(loaded, schema)
    return loaded


def _structured(schema: type, given: Mapping[Any, Any]) -> DictConfig:
    """The schema as OmegaConf knows it, each field that is one of several as it is chosen."""
    structured = OmegaConf.structured(schema)
    with read_write(structured):
        for it in fields(schema):
            if ALTERNATIVES in it.metadata:
                structured[it.name] = OmegaConf.structured(_chosen(it, given.get(it.name)))
    return structured


def _chosen(it: Field[Any], given: Any) -> type:
    """Of the dataclasses that a field may be, the one that is meant."""
    keys = set(given) if isinstance(given, dict) else set()
    schemas: tuple[type, ...] = it.metadata[ALTERNATIVES]
    return next(schema for schema in schemas if set(_required(schema)) <= keys)


def _required(schema: type) -> list[str]:
    """Fields that have no default."""
    return [
        it.name for it in fields(schema) if it.default is MISSING and it.default_factory is MISSING
    ]


def _read_yaml(path: Path) -> DictConfig:
    """One YAML file whose outermost level is a mapping."""
    if not path.is_file():
        raise ValueError(f"no configuration file at {path}")
    try:
        layer = OmegaConf.load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(layer, DictConfig):
        raise ValueError(f"{path} must hold `key: value` lines at its outermost level")
    return layer


def _read_override(text: str) -> DictConfig:
    """`a.b=value`, the value written as in YAML."""
    key, equals, _ = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"an override is written key=value, got {text!r}")
    try:
        return OmegaConf.from_dotlist([text])
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(
            f"the value of the override {text!r} is not valid YAML: {error}"
        ) from error


def _check_keys(schema: type, given: Any, prefix: str) -> None:
    """Refuse keys that no field of the dataclass (or of a dataclass inside it) has."""
    if not isinstance(given, dict):
        return
    hints = get_type_hints(schema)
    known = {it.name: it for it in fields(schema)}
    for key, value in given.items():
        if key not in known:
            raise ValueError(_unknown_key(str(key), list(known), prefix))
        if ALTERNATIVES in known[key].metadata:
            _check_alternatives(known[key], value, prefix=f"{prefix}{key}.")
            continue
        inner = _inner_dataclass(hints[key])
        if inner is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            _check_keys(inner, item, prefix=f"{prefix}{key}.")


def _check_alternatives(it: Field[Any], given: Any, prefix: str) -> None:
    """The same for a field that is one of several dataclasses. A key of another one than is meant
    needs that one's required keys; a key of none is compared with the keys of all."""
    chosen = _chosen(it, given)
    own = [other.name for other in fields(chosen)]
    for key in given if isinstance(given, dict) else ():
        homes = [s for s in it.metadata[ALTERNATIVES] if key in {f.name for f in fields(s)}]
        if homes and key not in own:
            needed = " or ".join(prefix + name for home in homes for name in _required(home))
            place = f"goes with {needed}" if needed else "does not go with the others"
            raise ValueError(
                f"configuration key {prefix + str(key)!r} {place}; known here: {', '.join(own)}"
            )
        if not homes:
            known = [f.name for s in it.metadata[ALTERNATIVES] for f in fields(s)]
            raise ValueError(_unknown_key(str(key), list(dict.fromkeys(known)), prefix))
    _check_keys(chosen, given, prefix)


def _inner_dataclass(hint: Any) -> type | None:
    """The dataclass named in a type such as `Model`, `Model | None` or `list[Model]`, if there is
    one."""
    if is_dataclass(hint):
        return hint  # type: ignore[return-value]
    if get_origin(hint) is dict:
        return None
    return next((found for inner in get_args(hint) if (found := _inner_dataclass(inner))), None)


def _unknown_key(key: str, known: list[str], prefix: str) -> str:
    """The message for a key nobody knows, with the nearest known ones."""
    near = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
    advice = (
        f"did you mean {' or '.join(prefix + name for name in near)}?"
        if near
        else f"known here: {', '.join(known)}"
    )
    return f"unknown configuration key {prefix + key!r}: {advice}"
